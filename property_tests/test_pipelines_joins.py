"""Joins and `concat` of two topics give each key what Quix Streams gives it on one thread, where it
reads what is in the logs in the order of its own consumer.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from streamjobs import App
from streamjobs.engine.alignment import Alignment
from streamjobs.engine.generation import Generation
from streamjobs.partitioning import partition_for
from tests.support.pipelines_alignment import aligned
from tests.support.pipelines_joins import JOINS
from tests.support.pipelines_reference import Reference, Written
from tests.support.pipelines_runs import Event, Results, app_for, by_key, play, records

FEW = max(3, settings().max_examples // 12)
"""Examples for each of the programs."""

COUNTS = (1, 8, 64)

TOPICS = ("left", "right")

logs = records(topics=TOPICS)
"""Records of both topics: late within one, and at the same moment in both."""

events = st.lists(
    st.sampled_from(("turn", "turn", "turn", "commit", "restart", "crash")), min_size=2, max_size=12
)
"""What happens after all has been written: what is read later has no order that could be known."""

UNSHRUNK = settings(max_examples=200, phases=[Phase.generate], database=None, derandomize=True)


@pytest.fixture(scope="module", params=JOINS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a program."""
    return str(request.param)


@pytest.fixture(scope="module")
def quix(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    reference = Reference(JOINS[name], tmp_path_factory.mktemp(name), TOPICS)
    yield reference
    reference.close()


@cache
def app(name: str, count: int) -> App:
    return app_for(JOINS[name], count, sources=TOPICS)


def expected(quix: Reference, written: Sequence[Written], partitions: int = 1) -> Results:
    """What one thread makes of it."""

    def partition_of(record: Written) -> int:
        return partition_for(record.key or b"", partitions)

    return by_key(quix.run(aligned(written, TOPICS, partition_of)))


@settings(max_examples=FEW)
@given(written=logs, partitions=st.sampled_from((1, 3)))
def test_each_key_gets_the_results_of_one_thread(
    name: str, quix: Reference, written: list[Written], partitions: int
) -> None:
    once = expected(quix, written, partitions)

    for count in COUNTS:
        assert by_key(play(app(name, count), written, partitions)) == once


@settings(max_examples=FEW)
@given(written=logs, events=events, count=st.sampled_from(COUNTS))
def test_commits_restarts_and_crashes_change_nothing_with_exactly_once(
    name: str, quix: Reference, written: list[Written], events: list[Event], count: int
) -> None:
    plan = chain(written, events)

    assert by_key(play(app(name, count), plan, hasty=True)) == expected(quix, written)


def first_with_something(_: Alignment, company: Sequence[Generation]) -> Generation | None:
    """What an alignment would do that looks at no timestamps."""
    return next((each for each in company if each.unaligned), None)


def test_another_order_of_the_topics_would_be_noticed(
    name: str, quix: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Alignment, "_earliest", first_with_something)

    def differs(written: list[Written]) -> bool:
        return by_key(play(app(name, 8), written)) != expected(quix, written)

    found = find(logs, differs, settings=UNSHRUNK)  # raises where there is none

    assert {record.topic for record in found} == {*TOPICS}
