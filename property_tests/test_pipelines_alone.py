"""With `virtual_partitions=1` the time of a partition may close windows, as on one thread."""

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from quixstreams.dataframe import StreamingDataFrame

from tests.support.pipelines_programs import EVERYTHING, MERGEABLE, late
from tests.support.pipelines_reference import MakeTopic, Program, Reference, Written
from tests.support.pipelines_runs import Step, app_for, by_key, plans, play, records, records_of

KINDS: dict[str, Callable[[StreamingDataFrame], Any]] = {
    "tumbling": lambda sdf: sdf.tumbling_window(4, on_late=late).agg(**EVERYTHING),
    "tumbling, grace": lambda sdf: sdf.tumbling_window(4, grace_ms=3, on_late=late).collect(),
    "hopping": lambda sdf: sdf.hopping_window(6, 2, on_late=late).agg(**EVERYTHING),
    "session": lambda sdf: sdf.session_window(2, on_late=late).agg(**MERGEABLE),
}


def program(kind: str) -> Program:
    def built(sdf: StreamingDataFrame, topic: MakeTopic) -> None:
        KINDS[kind](sdf).final(closing_strategy="partition").to_topic(topic("out"))

    return built


def unordered(written: Iterable[Written]) -> Any:
    """Which of those windows comes first that close together is not said: Quix takes what is in
    memory before what is on disk.
    """
    return {place: sorted(results, key=repr) for place, results in by_key(written).items()}


def expected_of(kind: str, written: list[Written]) -> Any:
    """From stores that are new: these windows are not each key's own."""
    with TemporaryDirectory() as directory:
        reference = Reference(program(kind), Path(directory))
        try:
            return unordered(reference.run(written))
        finally:
            reference.close()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=max(3, settings().max_examples // 20))
@given(written=records(starts=(0, 4)))
def test_the_time_of_the_partition_closes_the_windows_of_all_keys(
    kind: str, written: list[Written]
) -> None:
    assert unordered(play(app_for(program(kind), 1), written)) == expected_of(kind, written)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=max(3, settings().max_examples // 33))
@given(plan=plans())
def test_also_when_the_process_dies_in_between(kind: str, plan: list[Step]) -> None:
    expected = expected_of(kind, records_of(plan))

    assert unordered(play(app_for(program(kind), 1), plan)) == expected
