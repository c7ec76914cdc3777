"""Pipelines on virtual partitions do what Quix Streams does on one thread: the same program, the
same records and timestamps, and the same results for each key.
"""

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamjobs import App
from tests.support.pipelines_programs import PROGRAMS
from tests.support.pipelines_reference import Reference, Written
from tests.support.pipelines_runs import (
    Guarantee,
    Step,
    app_for,
    by_key,
    is_replayed,
    plans,
    play,
    records,
    records_of,
)

FEW = max(3, settings().max_examples // 33)
"""Examples for each of the programs: there are many of those."""

COUNTS = (1, 8, 64)


@pytest.fixture(scope="module", params=PROGRAMS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a program."""
    return str(request.param)


@pytest.fixture(scope="module")
def quix(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    reference = Reference(PROGRAMS[name], tmp_path_factory.mktemp(name))
    yield reference
    reference.close()


@cache
def app(name: str, count: int, guarantee: Guarantee = "exactly-once") -> App:
    """Composed once: many drivers may run it."""
    return app_for(PROGRAMS[name], count, guarantee)


@settings(max_examples=FEW)
@given(records=records(), partitions=st.sampled_from((1, 3)))
def test_each_key_gets_the_results_of_one_thread(
    name: str, quix: Reference, records: list[Written], partitions: int
) -> None:
    expected = by_key(quix.run(records))

    for count in COUNTS:
        assert by_key(play(app(name, count), records, partitions)) == expected


@settings(max_examples=FEW)
@given(plan=plans(), count=st.sampled_from(COUNTS))
def test_commits_restarts_and_crashes_change_nothing_with_exactly_once(
    name: str, quix: Reference, plan: list[Step], count: int
) -> None:
    expected = by_key(quix.run(records_of(plan)))

    assert by_key(play(app(name, count), plan)) == expected


@settings(max_examples=FEW)
@given(plan=plans(), count=st.sampled_from(COUNTS))
def test_at_least_once_repeats_results_and_never_changes_one(
    name: str, quix: Reference, plan: list[Step], count: int
) -> None:
    if name.startswith("group_by"):  # there a result that is repeated is counted again
        plan = [step for step in plan if step != "crash"]
    expected = by_key(quix.run(records_of(plan)))

    results = by_key(play(app(name, count, "at-least-once"), plan))

    assert results.keys() == expected.keys()
    for place, once in expected.items():
        assert is_replayed(results[place], once), (place, results[place], once)
