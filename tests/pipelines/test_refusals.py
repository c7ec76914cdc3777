"""What virtual partitions cannot run is refused when the app is composed, with what to do."""

from collections.abc import Callable
from typing import Any

import pytest
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.joins.lookups.base import BaseField, BaseLookup
from quixstreams.dataframe.joins.lookups.buffer import LookupBuffer

from streamjobs import App, VirtualPartitions
from streamjobs.errors import ConfigurationError, PipelineError
from streamjobs.pipelines import parallel

Build = Callable[[StreamingDataFrame], Any]


def refused(app: App, build: Build, **options: Any) -> str:
    """What the app says about a pipeline."""
    app.pipeline("in", name="p", **options)(build)
    with pytest.raises(PipelineError) as error:
        _ = app.topics
    return str(error.value)


def by_partition(sdf: StreamingDataFrame) -> None:
    sdf.tumbling_window(10).count().final(closing_strategy="partition")


def test_windows_that_the_time_of_the_partition_closes_are_refused(app: App) -> None:
    message = refused(app, by_partition, virtual_partitions=2)

    assert message.startswith(
        "pipeline 'p': window 'tumbling_window_10_count' has closing_strategy="
    )
    assert "virtual_partitions=1" in message


@pytest.mark.parametrize(
    "build",
    [
        lambda sdf: sdf.hopping_window(10, 5).count().current(closing_strategy="partition"),
        lambda sdf: sdf.session_window(10).count().final(closing_strategy="partition"),
        lambda sdf: by_partition(sdf.group_by("x")),
        lambda sdf: by_partition(parallel(sdf, abs)),
        lambda sdf: by_partition(sdf[sdf["x"] > 1].concat(sdf[sdf["x"] < 1])),
    ],
    ids=["hopping", "session", "behind group_by", "behind a parallel stage", "behind concat"],
)
def test_they_are_found_wherever_they_stand(app: App, build: Build) -> None:
    assert 'has closing_strategy="partition"' in refused(app, build)


def test_with_one_virtual_partition_they_are_allowed(app: App) -> None:
    app.pipeline("in", virtual_partitions=1)(by_partition)

    assert list(app.topics) == ["in"]


def test_records_in_another_order_than_that_of_their_keys_are_refused(app: App) -> None:
    policy = VirtualPartitions(8, partitioner=lambda record: record.value)

    with pytest.raises(PipelineError, match=r"ordered by a partitioner.*Leave the partitioner out"):
        app.pipeline("in", virtual_partitions=policy)(lambda sdf: None)


def test_state_without_any_order_is_refused(app: App) -> None:
    @app.pipeline("in", virtual_partitions=VirtualPartitions(8, ordering="none"))
    def count(sdf: StreamingDataFrame) -> None:
        sdf.tumbling_window(10).count().final()

    with pytest.raises(ConfigurationError, match='count: ordering="none" keeps no order'):
        _ = app.topics


def test_two_windows_of_one_name_are_refused(app: App) -> None:
    def build(sdf: StreamingDataFrame) -> None:
        sdf.tumbling_window(10).count().final()
        sdf[sdf["x"] > 1].tumbling_window(10).count().final()

    message = refused(app, build)

    assert "would share the store 'tumbling_window_10_count': give one of them a name=" in message


def test_a_second_parallel_stage_is_refused(app: App) -> None:
    message = refused(app, lambda sdf: parallel(parallel(sdf, abs), round))

    assert message.startswith("parallel stage 'round': 'in' has 'abs' already.")
    assert "Call both in one function, or let a topic stand between" in message


@pytest.mark.parametrize(
    "build",
    [
        lambda sdf: parallel(sdf.apply(lambda value, state: value, stateful=True), abs),
        lambda sdf: parallel(sdf.tumbling_window(10).count().final(), abs),
    ],
    ids=["apply", "window"],
)
def test_state_before_a_parallel_stage_is_refused(app: App, build: Build) -> None:
    assert "parallel stage 'abs': there is state before it" in refused(app, build)


def test_a_parallel_stage_behind_a_stream_handler_is_refused(app: App) -> None:
    @app.stream("in")
    def handle(value: int) -> int:
        return value

    @app.pipeline(handle)
    def p(sdf: StreamingDataFrame) -> None:
        parallel(sdf, abs)

    with pytest.raises(PipelineError, match="'abs' would be a second parallel stage"):
        _ = app.topics


def test_a_parallel_stage_takes_a_dataframe_of_a_pipeline_only() -> None:
    class Foreign:
        processing_context = type("Context", (), {"producer": None})

    with pytest.raises(
        PipelineError, match=r"takes the dataframe of a function with @app\.pipeline"
    ):
        parallel(Foreign(), abs)  # type: ignore[arg-type]


def test_a_handler_in_a_process_cannot_feed_a_pipeline(app: App) -> None:
    handle = app.stream("in", process=True, name="handle")(in_a_process)

    with pytest.raises(
        ConfigurationError, match=r"'handle' runs with process=True.*Let it write to"
    ):
        app.pipeline(handle)(lambda sdf: None)


def in_a_process(value: int) -> int:
    return value


class Default(BaseField):
    def missing(self) -> None: ...


class Lookup(BaseLookup[Default]):
    def join(self, *_: Any) -> None: ...


def test_a_lookup_with_a_buffer_is_refused(app: App) -> None:
    def build(sdf: StreamingDataFrame) -> None:
        buffer = LookupBuffer(grace_ms=10_000, is_resolved=bool)
        sdf.join_lookup(Lookup(), {"x": Default()}, buffer=buffer)

    assert "join_lookup(buffer=...) releases records by a clock" in refused(app, build)


def test_a_function_that_raises_is_told_with_its_pipeline(app: App) -> None:
    @app.pipeline("in")
    def p(sdf: StreamingDataFrame) -> None:
        raise KeyError("x")

    with pytest.raises(ConfigurationError, match="pipeline 'p' cannot be built: KeyError: 'x'"):
        _ = app.topics


def test_two_pipelines_on_one_topic_are_refused(app: App) -> None:
    app.pipeline("in", name="first")(lambda sdf: None)

    with pytest.raises(ConfigurationError, match="'in' is handled by 'first' already"):
        app.pipeline("in", name="second")(lambda sdf: None)


def test_a_pipeline_without_a_source_is_refused(app: App) -> None:
    with pytest.raises(ConfigurationError, match="name the topic that it reads"):
        app.pipeline()
