"""An attempt that fails leaves nothing behind: neither state, nor windows, nor what it wrote."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quixstreams.context import message_context
from quixstreams.dataframe import StreamingDataFrame

from streamjobs import Retry, exponential
from streamjobs.pipelines.overlay import Overlay
from tests.support.pipelines_programs import STATEFUL, WINDOWS
from tests.support.pipelines_reference import MakeTopic, Program, Reference, Written
from tests.support.pipelines_runs import (
    NOTES,
    Step,
    app_for,
    by_key,
    input_record,
    plans,
    play,
    records_of,
)

PROGRAMS = STATEFUL | WINDOWS

BAD = "bad"
"""The note of a record whose attempts fail."""

ALWAYS = float("inf")

FEW = max(3, settings().max_examples // 33)

plans_with_failures = plans((*NOTES, BAD))


@pytest.fixture(scope="module", params=PROGRAMS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a program with state."""
    return str(request.param)


@pytest.fixture(scope="module")
def quix(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    reference = Reference(PROGRAMS[name], tmp_path_factory.mktemp(name))
    yield reference
    reference.close()


@settings(max_examples=FEW)
@given(plan=plans_with_failures, count=st.sampled_from((1, 8)))
def test_of_a_record_that_is_given_up_nothing_is_left(
    name: str, quix: Reference, plan: list[Step], count: int
) -> None:
    good = [record for record in records_of(plan) if not is_bad(record)]
    expected = by_key(quix.run(good))

    program = failing(PROGRAMS[name], times=ALWAYS)

    assert by_key(carried_out(program, plan, count, attempts=2)) == expected


@settings(max_examples=FEW)
@given(plan=plans_with_failures, count=st.sampled_from((1, 8)))
def test_a_record_that_succeeds_at_last_is_as_if_it_had_never_failed(
    name: str, quix: Reference, plan: list[Step], count: int
) -> None:
    expected = by_key(quix.run(records_of(plan)))

    program = failing(PROGRAMS[name], times=2)

    assert by_key(carried_out(program, plan, count, attempts=100)) == expected


@pytest.mark.parametrize(
    "kind", ["apply_stateful", "tumbling_collect", "session_final", "sliding_count_collect"]
)
def test_an_undo_that_does_nothing_would_be_seen(
    kind: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Reference(PROGRAMS[kind], tmp_path_factory.mktemp(kind))
    plan = [input_record("a", n, 100 + n, BAD if n == 3 else None) for n in range(6)]
    plan.append(input_record("a", 0, 500))
    expected = by_key(reference.run([each for each in plan if not is_bad(each)]))
    reference.close()
    program = failing(PROGRAMS[kind], times=ALWAYS)
    assert by_key(carried_out(program, plan, 1, attempts=1)) == expected

    monkeypatch.setattr(Overlay, "undo", lambda self: None)

    assert (
        by_key(carried_out(failing(PROGRAMS[kind], times=ALWAYS), plan, 1, attempts=1)) != expected
    )


def is_bad(record: Written) -> bool:
    return b'"note":"bad"' in (record.value or b"")


def failing(program: Program, times: float) -> Program:
    """The program, with an operator behind all that it does, which fails so often for each bad
    record.
    """
    failed: Counter[tuple[str, int]] = Counter()

    def fail(value: object, key: bytes, timestamp: int, headers: object) -> None:
        assert isinstance(value, dict)
        if value.get("note") == BAD:
            place = key.decode(), message_context().offset
            failed[place] += 1
            if failed[place] <= times:
                raise ValueError("bad luck")

    def built(sdf: StreamingDataFrame, topic: MakeTopic) -> None:
        program(sdf, topic)
        sdf.update(fail, metadata=True)

    return built


def carried_out(program: Program, plan: list[Step], count: int, attempts: int) -> list[Written]:
    retry = Retry(attempts=attempts, wait=exponential(first=0.1, maximum=1))
    return play(app_for(program, count, retry=retry), plan, on_error="retry")
