"""`DeadLetter(sequenced=True)`: what comes behind a dead record of its key follows it, in order,
until the letters of the key are replayed or purged.
"""

from collections.abc import Iterator

import pytest

from streamjobs import App, DeadLetter, Retry
from streamjobs import headers as names
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.route import Route
from streamjobs.failures.letters import Death, write_letter
from streamjobs.failures.sequence import LetterLog
from streamjobs.policies import VirtualPartitions
from streamjobs.publisher import Topics
from streamjobs.record import Record
from streamjobs.settings import Settings
from streamjobs.testing import TestDriver
from streamjobs.testing.simulation.clock import VirtualClock
from tests.support.engine import nothing

TOPIC, DEAD = "moves", "moves.dead"


class Bank:
    """An account's moves; those that are in `refused` fail."""

    def __init__(self) -> None:
        self.app = App("bank")
        self.refused: set[str] = set()
        self.done: list[str] = []

        @self.app.stream(
            TOPIC,
            value="str",
            retry=Retry(attempts=1),
            dead_letter=DeadLetter(sequenced=True),
        )
        def move(value: str) -> None:
            if value in self.refused:
                raise ValueError(value)
            self.done.append(value)


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def driver(bank: Bank) -> Iterator[TestDriver]:
    with TestDriver(bank.app, on_error="retry") as driver:
        yield driver


def dead(driver: TestDriver) -> list[str]:
    return [(each.value or b"").decode() for each in driver.outputs(DEAD)]


def send(driver: TestDriver, *moves: str, key: str = "ada", **headers: str) -> None:
    pairs = [(name.replace("_", "-"), text.encode()) for name, text in headers.items()]
    for move in moves:
        driver.send(TOPIC, move, key=key, headers=pairs)


def replayed(driver: TestDriver, *offsets: int) -> None:
    """The mark that a replay writes when it is done."""
    value = {"replay": "r1", "offsets": list(offsets)}
    driver.send(DEAD, value, headers=[(names.DEAD_MARK, b"replayed")])


def test_later_records_of_the_key_follow_unattempted(bank: Bank, driver: TestDriver) -> None:
    bank.refused = {"b"}
    send(driver, "a", "b", "c", "d")
    driver.run_until_idle()
    assert bank.done == ["a"]
    assert dead(driver) == ["b", "c", "d"]


def test_other_keys_go_on(bank: Bank, driver: TestDriver) -> None:
    bank.refused = {"b"}
    send(driver, "b")
    send(driver, "x", "y", key="eve")
    driver.run_until_idle()
    assert bank.done == ["x", "y"]


def test_what_follows_says_that_it_was_not_attempted(bank: Bank, driver: TestDriver) -> None:
    bank.refused = {"b"}
    send(driver, "b", "c")
    driver.run_until_idle()
    letters = driver.dead_letters()
    assert [letter.death.attempts for letter in letters] == [1, 0]
    assert letters[1].death.error.endswith("SequencedRecordError")
    assert all(letter.death.sequenced for letter in letters)


def test_the_key_goes_on_when_its_letters_are_replayed(bank: Bank, driver: TestDriver) -> None:
    bank.refused = {"b"}
    send(driver, "b", "c")
    driver.run_until_idle()
    bank.refused = set()
    send(driver, "b", "c", streamjobs_replay="r1")
    replayed(driver, 0, 1)
    driver.run_until_idle()
    driver.advance(1.0)
    send(driver, "d")
    driver.run_until_idle()
    assert bank.done == ["b", "c", "d"]


def test_a_replayed_record_passes_while_its_key_is_held(bank: Bank, driver: TestDriver) -> None:
    bank.refused = {"b"}
    send(driver, "b", "c")
    driver.run_until_idle()
    bank.refused = set()
    send(driver, "b", streamjobs_replay="r1")
    send(driver, "d")
    driver.run_until_idle()
    assert bank.done == ["b"]
    assert dead(driver) == ["b", "c", "d"]


def test_what_a_replay_brings_behind_one_that_died_again_follows_it(
    bank: Bank, driver: TestDriver
) -> None:
    bank.refused = {"b"}
    send(driver, "b", "c")
    driver.run_until_idle()
    send(driver, "b", "c", streamjobs_replay="r1")
    driver.run_until_idle()
    assert bank.done == []
    assert dead(driver) == ["b", "c", "b", "c"]


def test_a_process_that_starts_reads_which_keys_are_held(bank: Bank) -> None:
    bank.refused = {"b"}
    with TestDriver(bank.app, on_error="retry") as driver:
        send(driver, "b")
        driver.run_until_idle()
        driver.restart()
        send(driver, "c")
        driver.run_until_idle()
        assert bank.done == []
        assert dead(driver) == ["b", "c"]


def test_a_partition_waits_for_its_letters_where_another_topic_has_read_them_already() -> None:
    """Two topics share one dead-letter topic; the second is assigned later."""
    clock = VirtualClock()
    cluster = MemoryCluster({"one": 1, "two": 1, "shared": 1}, blocking=False, clock=clock)
    broker = MemoryBroker(cluster)
    log = LetterLog(Topics(broker, Settings()), lambda: broker.reader({}), clock)
    death = Death.by(ValueError(), group="g", attempts=1, first=0, last=0, sequenced=True)
    cluster.append(write_letter("shared", 0, Record("two", 0, 5, b"k"), death))

    def assigned(topic: str) -> Generation:
        route = Route(topic, VirtualPartitions(), "inline", nothing, sequenced_by="shared")
        generation = Generation(TopicPartition(topic, 0), route, 0)
        log.load(generation)
        return generation

    first = assigned("one")
    while first not in log.turn():
        clock.advance(0.1)
    log._asking.pause()  # the broker has just not answered
    second = assigned("two")
    cluster.append(write_letter("shared", 0, Record("one", 0, 7, b"x"), death))
    while second not in log.turn():
        clock.advance(0.6)

    assert second.holds is not None
    assert second.holds.holds(b"k", Record("two", 0, 6, b"k"))


def test_a_long_topic_is_read_a_batch_a_turn() -> None:
    clock = VirtualClock()
    cluster = MemoryCluster({"one": 1, "dead": 1}, blocking=False, clock=clock)
    broker = MemoryBroker(cluster)
    log = LetterLog(Topics(broker, Settings()), lambda: broker.reader({}), clock)
    for number in range(3_500):
        cluster.append(Message("dead", b"%d" % number, partition=0))
    route = Route("one", VirtualPartitions(), "inline", nothing, sequenced_by="dead")
    generation = Generation(TopicPartition("one", 0), route, 0)
    log.load(generation)
    turns = 1
    while generation not in log.turn():
        turns += 1
    assert turns >= 4
