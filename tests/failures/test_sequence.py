"""`DeadLetter(sequenced=True)`: what comes behind a dead record of its key follows it, in order,
until the letters of the key are replayed or purged.
"""

from collections.abc import Iterator

import pytest

from streamjobs import App, DeadLetter, Retry
from streamjobs import headers as names
from streamjobs.testing import TestDriver

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
