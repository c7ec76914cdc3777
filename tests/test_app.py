"""Apps: what can be declared, and what is refused with which reason."""

from collections.abc import Iterator
from typing import Any

import pytest

from streamjobs import App, VirtualPartitions
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.errors import ConfigurationError, SettingError
from streamjobs.runtime import Runtime


@pytest.fixture
def app() -> Iterator[App]:
    app = App("accounts", broker=MemoryBroker())
    yield app
    app.close()


def plain(user_id: int) -> None: ...


async def coroutine(user_id: int) -> None: ...


def generator(user_id: int) -> Any:
    yield user_id


async def asynchronous_generator(user_id: int) -> Any:
    yield user_id


@pytest.mark.parametrize("name", ["", "  "])
def test_an_app_needs_a_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a consumer group needs a name"):
        App(name)


def test_an_app_without_handlers_cannot_run(app: App) -> None:
    with pytest.raises(ConfigurationError, match="no jobs and no stream handlers"):
        Runtime(app)


# Jobs.


def test_a_job_is_called_as_its_function(app: App) -> None:
    assert app.job(topic="jobs")(plain).name == "plain"


def test_a_job_may_have_another_name(app: App) -> None:
    job = app.job(topic="jobs", name="users.update")(plain)
    assert repr(job) == "<Job users.update on jobs>"


@pytest.mark.parametrize(
    "wrong, reason",
    [
        ({"topic": ""}, "a topic needs a name"),
        ({"key": "id"}, r"key='id' is none of its parameters \(user_id\)"),
        ({"key": "user_id", "partitioner": lambda job: 1}, "partitioner= or key=, not both"),
        ({"partition_key_type": "partition"}, "needs a partitioner"),
        ({"partition_key_type": "partition_key"}, "needs a partitioner"),
        ({"partition_key_type": "hash"}, "one of 'key', 'partition_key', 'partition'"),
        ({"virtual_partitions": 0}, "a whole number from 1"),
        ({"virtual_partitions": "8"}, "a whole number from 1"),
        ({"virtual_partitions": True}, "a whole number from 1"),
    ],
)
def test_a_job_that_cannot_work_is_refused(app: App, wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        app.job(**{"topic": "jobs"} | wrong)(plain)


def test_a_parameter_that_cannot_travel_is_refused(app: App) -> None:
    def job(lock: memoryview) -> None: ...

    with pytest.raises(ConfigurationError, match=r"job 'job' .*cannot be sent as JSON"):
        app.job(topic="jobs")(job)


def test_two_jobs_of_one_name_on_one_topic_are_refused(app: App) -> None:
    app.job(topic="jobs")(plain)
    with pytest.raises(ConfigurationError, match="two jobs 'plain' on topic 'jobs'"):
        app.job(topic="jobs")(plain)


def test_two_jobs_of_one_name_on_two_topics_are_fine(app: App) -> None:
    app.job(topic="jobs")(plain)
    app.job(topic="others")(plain)
    assert list(app.topics) == ["jobs", "others"]


@pytest.mark.parametrize("function", [generator, asynchronous_generator])
def test_a_generator_function_is_refused(app: App, function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"generator function: .*ctx\.emit"):
        app.job(topic="jobs")(function)
    with pytest.raises(ConfigurationError, match="generator function"):
        app.stream("clicks")(function)


def test_a_coroutine_function_cannot_run_inline(app: App) -> None:
    with pytest.raises(ConfigurationError, match="inline=True takes a plain one"):
        app.job(topic="jobs", inline=True)(coroutine)


def test_what_was_refused_leaves_nothing_behind(app: App) -> None:
    with pytest.raises(ConfigurationError):
        app.job(topic="jobs", inline=True)(coroutine)

    app.job(topic="jobs")(coroutine)

    [(name, options)] = app.topics["jobs"].handlers
    assert (name, options.kind) == ("coroutine", "asyncio")


# Jobs that share a topic.


def test_jobs_of_one_topic_share_its_virtual_partitions(app: App) -> None:
    app.job(topic="jobs", name="a", virtual_partitions=8)(plain)
    app.job(topic="jobs", name="b")(plain)
    app.job(topic="jobs", name="c", virtual_partitions=VirtualPartitions(8))(plain)
    assert app.topics["jobs"].virtual_partitions == VirtualPartitions(8)


def test_jobs_of_one_topic_cannot_split_it_in_two_ways(app: App) -> None:
    app.job(topic="jobs", name="a", virtual_partitions=8)(plain)
    with pytest.raises(ConfigurationError, match="split in two ways"):
        app.job(topic="jobs", name="b", virtual_partitions=9)(plain)


@pytest.mark.parametrize(
    "functions, execution",
    [
        ([plain], "threads"),
        ([coroutine], "asyncio"),
        ([plain, coroutine], "threads"),
    ],
)
def test_jobs_of_several_kinds_share_the_threads(
    app: App, functions: list[Any], execution: str
) -> None:
    for function in functions:
        app.job(topic="jobs")(function)
    assert app.topics["jobs"].execution == execution


# Streams.


def test_a_topic_has_one_stream_handler(app: App) -> None:
    app.stream("clicks")(plain)
    with pytest.raises(ConfigurationError, match="handled by 'plain' already"):
        app.stream("clicks")(coroutine)


def test_a_topic_of_jobs_takes_no_stream_handler(app: App) -> None:
    app.job(topic="jobs")(plain)
    with pytest.raises(ConfigurationError, match="handled by 'plain' already"):
        app.stream("jobs")(plain)


def test_a_topic_of_a_stream_handler_takes_no_job(app: App) -> None:
    app.stream("clicks")(plain)
    with pytest.raises(ConfigurationError, match="has the stream handler 'plain'"):
        app.job(topic="clicks")(plain)


@pytest.mark.parametrize(
    "function", [lambda: None, lambda a, b, c: None, lambda *, value: None], ids=["0", "3", "named"]
)
def test_a_stream_handler_takes_a_value_and_perhaps_a_context(app: App, function: Any) -> None:
    with pytest.raises(ConfigurationError, match="with the value and a Context"):
        app.stream("clicks")(function)


@pytest.mark.parametrize("value", ["avro", 7, None, plain])
def test_an_unknown_kind_of_value_is_refused(app: App, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="is none of"):
        app.stream("clicks", value=value)(plain)


# Settings.


def test_a_wrong_setting_is_told_when_the_settings_are_needed() -> None:
    app = App("accounts", threads=0)
    with pytest.raises(SettingError, match="threads=0"):
        _ = app.settings


def test_an_override_wins_over_an_argument() -> None:
    app = App("accounts", threads=3)
    assert app.settings.threads == 3
    app.override(threads=4, instance=None)
    assert (app.settings.threads, app.resolved.sources["threads"]) == (4, "command line")


def test_a_broker_object_is_used_as_it_is() -> None:
    broker = MemoryBroker()
    app = App("accounts", broker=broker)
    assert app.broker is broker
    assert app.settings.broker == broker.address


def test_closing_an_app_waits_for_what_was_enqueued() -> None:
    cluster = MemoryCluster({"jobs": 1})
    app = App("accounts", broker=MemoryBroker(cluster))
    receipt = app.job(topic="jobs")(plain).enqueue(7)

    app.close()

    assert receipt.done


def test_a_closed_app_can_enqueue_again() -> None:
    cluster = MemoryCluster({"jobs": 1})
    app = App("accounts", broker=MemoryBroker(cluster))
    job = app.job(topic="jobs")(plain)
    job.enqueue(7)
    app.close()

    job.enqueue(8)
    app.close()

    assert len(cluster.log("jobs", 0).records) == 2
