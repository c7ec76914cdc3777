"""The Hypothesis strategies: what they make can be used, and shrinks."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from streamjobs import App
from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.record import Record
from streamjobs.testing import (
    GuaranteeViolatedError,
    TestDriver,
    simulate,
    simulate_random,
    strategies,
)
from streamjobs.testing.simulation.app_runs import APP_FAULTS
from streamjobs.testing.simulation.faults import ALL


def test_keys_come_back_and_some_are_odd() -> None:
    for odd in (None, b"", b"k0", b"k4"):
        find(strategies.keys(), lambda key, odd=odd: key == odd)
    find(st.lists(strategies.keys(2)), lambda keys: keys.count(b"k1") > 1)


@given(strategies.records("clicks", 3))
def test_records_are_of_their_topic(record: Record) -> None:
    assert isinstance(record, Record)
    assert (record.topic, record.partition) == ("clicks", 3)
    assert record.id == f"clicks/3/{record.offset}"


@given(strategies.messages("clicks"))
def test_messages_can_be_written(messages: list[Message]) -> None:
    cluster = MemoryCluster({"clicks": 2}, blocking=False)
    for message in messages:
        assert cluster.append(message).topic == "clicks"


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.messages("clicks", st.sampled_from([b"{}", None, b"no json"])))
def test_an_app_copes_with_all_of_them(messages: list[Message]) -> None:
    app = App("clicks")
    app.stream("clicks")(lambda value: None)
    with TestDriver(app, on_error="retry") as driver:
        for message in messages:
            driver.send(message.topic, message.value, key=message.key)
        driver.run_until_idle()
        driver.check()
        assert sum(driver.committed("clicks").values()) == len(messages)


def test_faults_are_those_that_take_no_records_away() -> None:
    found = find(strategies.faults(), lambda faults: len(faults) > 3)
    assert found <= APP_FAULTS
    assert find(strategies.faults(ALL), lambda faults: "retention" in faults) <= set(ALL)


def test_workloads_make_their_calls_in_order() -> None:
    made: list[int] = []
    calls = st.integers(0, 9).map(lambda number: lambda: made.append(number))

    def descends(workload: Any) -> bool:
        made.clear()
        workload(Random(0))
        return made != sorted(made)

    descends(find(strategies.workloads(calls), descends))

    assert made == [1, 0]


# Dice.


@settings(max_examples=20, deadline=None)
@given(strategies.dice())
def test_dice_run_the_simulation(dice: Random) -> None:
    simulate_random(dice, faults=frozenset({"error", "slow", "rebalance"}))


@given(strategies.dice())
def test_dice_are_dice(dice: Random) -> None:
    assert 0 <= dice.random() < 1
    assert dice.choice("abc") in "abc"
    assert 1 <= dice.randrange(1, 7) < 7
    assert 0.5 <= dice.uniform(0.5, 2) <= 2


def test_the_smallest_dice_fall_low() -> None:
    dice = find(strategies.dice(), lambda dice: True)
    assert repr(dice) == "dice([], seed=0)"
    assert [dice.random() for _ in range(3)] == [Random(0).random(), *_more(2)]


def _more(count: int) -> list[float]:
    random = Random(0)
    random.random()
    return [random.random() for _ in range(count)]


def test_a_bug_is_found_and_made_small() -> None:
    app, seen, calls = App("careless"), list[int](), list[int]()

    @app.job(topic="numbers")  # without a key there is no order
    def take(number: int) -> None:
        seen.append(number)

    def ascending() -> None:
        assert seen == sorted(seen)

    def enqueue(number: int) -> None:
        calls.append(number)
        take.enqueue(number)

    def breaks(drawn: tuple[list[int], Random]) -> bool:
        seen.clear()
        calls.clear()
        numbers, dice = drawn
        try:
            simulate(
                app,
                workload=lambda _: [enqueue(number) for number in sorted(numbers)],
                seeds=[dice],
                faults=frozenset(),
                invariants=[ascending],
            )
        except GuaranteeViolatedError:
            return True
        return False

    numbers = st.lists(st.integers(0, 9), min_size=1, max_size=20)
    found, _ = find(
        st.tuples(numbers, strategies.dice()),
        breaks,
        settings=settings(deadline=None, max_examples=200, database=None),
    )

    assert sorted(found) == [0, 1]


def test_dice_fail_without_a_note_about_a_seed() -> None:
    app = App("broken")
    app.stream("clicks")(lambda value: None)
    with pytest.raises(GuaranteeViolatedError) as found:
        simulate(app, seeds=[Random(0)], invariants=[lambda: False])
    assert getattr(found.value, "__notes__", []) == []
