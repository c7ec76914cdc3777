"""The same pipelines through streamjobs, and what both wrote, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from hypothesis import strategies as st

from streamjobs import App
from streamjobs.record import Header
from streamjobs.testing import TestDriver
from tests.support.pipelines_reference import SOURCE, Program, Written

__all__ = (
    "KEYS",
    "NOTES",
    "Guarantee",
    "Result",
    "Results",
    "Step",
    "app_for",
    "by_key",
    "input_record",
    "is_replayed",
    "outputs_of",
    "plans",
    "play",
    "records",
    "records_of",
)

ABANDONED = 3600.0
"""Seconds after which the broker has aborted what a process that died left open."""

KEYS = ("a", "b", "c")

Guarantee = Literal["at-least-once", "exactly-once"]

Event = Literal["turn", "commit", "restart", "crash"]

Step = Written | Event
"""A record that is written, or what happens to the process meanwhile."""


class Result(NamedTuple):
    """A record that came out."""

    value: Any
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]


Results = dict[tuple[str, str], list[Result]]
"""By topic and key, in order."""


# What goes in.


def input_record(
    key: str, n: int, timestamp: int, note: str | None = None, topic: str = SOURCE
) -> Written:
    """A record as the programs expect it."""
    value: dict[str, Any] = {"who": key, "n": n, "kind": "xy"[n % 2]}
    if note is not None:
        value["note"] = note
    headers = (("h", b"1"),) if n == 4 else ()
    return Written(topic, key.encode(), orjson.dumps(value), timestamp, headers)


NOTES = (None, "", "new")


@st.composite
def records(
    draw: st.DrawFn,
    notes: Sequence[str | None] = NOTES,
    starts: Sequence[int] = (1_000,),
    topics: Sequence[str] = (SOURCE,),
) -> list[Written]:
    """Records of a few keys, each at its own time: on, late, at the same moment, far ahead.

    Args:
        draw: Hypothesis's.
        notes: what their notes are.
        starts: where the clocks of keys begin, in milliseconds.
        topics: where they are written.
    """
    clocks = {key: draw(st.sampled_from(starts)) for key in KEYS}
    jumps = st.one_of(st.integers(0, 6), st.sampled_from((0, -3, -9, -40, 11, 300)))
    written = []
    for _ in range(draw(st.integers(1, 16))):
        key = draw(st.sampled_from(KEYS))
        moment = max(0, clocks[key] + draw(jumps))
        clocks[key] = max(clocks[key], moment)
        note = draw(st.sampled_from(notes))
        topic = draw(st.sampled_from(topics))
        written.append(input_record(key, draw(st.integers(0, 5)), moment, note, topic))
    return written


@st.composite
def plans(draw: st.DrawFn, notes: Sequence[str | None] = NOTES) -> list[Step]:
    """Such records, with commits, restarts and crashes between them."""
    events = st.sampled_from((None, None, None, None, "commit", "restart", "crash"))
    plan: list[Step] = []
    for record in draw(records(notes)):
        plan.append(record)
        event: Any = draw(events)
        if event is not None:
            plan.append(event)
    return plan


def records_of(plan: Sequence[Step]) -> list[Written]:
    """What a plan writes."""
    return [each for each in plan if isinstance(each, Written)]


# Through streamjobs.


def app_for(
    program: Program,
    virtual_partitions: int,
    guarantee: Guarantee = "exactly-once",
    sources: Sequence[str] = (SOURCE,),
    **options: Any,
) -> App:
    """An app with this pipeline on the topics of its sources."""
    app = App("pipelines", guarantee=guarantee)

    @app.pipeline(*sources, name="program", virtual_partitions=virtual_partitions, **options)
    def build(*frames: Any) -> None:
        program(*frames, app.topic)

    return app


def play(
    app: App,
    plan: Iterable[Step],
    partitions: int = 1,
    on_error: Literal["raise", "retry"] = "raise",
    hasty: bool = False,
) -> list[Written]:
    """Carry out a plan; what is on the topics that the app writes then.

    Args:
        app: whose.
        plan: what happens.
        partitions: how many its topics have.
        on_error: as the driver has it.
        hasty: whether a process ends in the midst of its work, not when it has run all.
    """
    with TestDriver(app, partitions=partitions, on_error=on_error) as driver:
        for step in plan:
            if isinstance(step, Written):
                driver.send(
                    step.topic,
                    step.value,
                    key=step.key,
                    headers=step.headers,
                    timestamp=step.timestamp,
                )
            elif step == "turn":
                driver.step()
            elif step == "commit":
                driver.advance(1.5)
            else:
                if not hasty:
                    driver.run_until_quiet()
                driver.restart(crash=step == "crash")
        driver.run_until_idle()
        driver.advance(ABANDONED)
        return outputs_of(app, driver)


def outputs_of(app: App, driver: TestDriver) -> list[Written]:
    """What is on the topics that the app writes and does not read itself."""
    names = {name for topic in app.topics.values() for name in topic.outputs} - set(app.topics)
    return [
        Written(name, each.key, each.value, each.timestamp, _pairs(each.headers))
        for name in sorted(names)
        for each in driver.outputs(name)
    ]


def _pairs(headers: Iterable[Header]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text or b"") for name, text in headers)


# What came out.


def by_key(written: Iterable[Written]) -> Results:
    """The values of each key of each topic, in their order."""
    results: Results = {}
    for each in written:
        place = each.topic, (each.key or b"").decode()
        value = None if each.value is None else orjson.loads(each.value)
        results.setdefault(place, []).append(Result(value, each.timestamp, each.headers))
    return results


def is_replayed(written: Sequence[Result], once: Sequence[Result]) -> bool:
    """Whether this is what was to be written once, up to its end, where parts may be repeated: each
    repetition begins somewhere in what was written already, and goes on in order from there.
    """
    places = {0}
    for result in written:
        places = {
            place + 1
            for place in range(max(places) + 1)
            if place < len(once) and once[place] == result
        }
        if not places:
            return False
    return len(once) in places
