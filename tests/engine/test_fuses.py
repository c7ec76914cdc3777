"""Breakers: too many deaths stop a topic, or the app, until somebody or the time says go on."""

import pytest

from streamjobs import Breaker
from streamjobs.broker.ports import Message
from streamjobs.engine.failure import DISCARD, Failure, Verdict
from streamjobs.engine.fuses import Fuse
from streamjobs.errors import ConfigurationError
from tests.support.engine import TOPIC, Office, cluster_with


class Merciless:
    def decide(self, failure: Failure) -> Verdict:
        return DISCARD


def office_with(breaker: Breaker, records: int = 20) -> Office:
    return Office(cluster_with(records), handling={"failures": Merciless(), "breaker": breaker})


def fail(office: Office, *failing: int) -> None:
    office.hands.finish(*failing, failing={offset: ValueError() for offset in failing})
    office.turn()


def test_it_opens_when_so_many_died_in_a_row() -> None:
    fuse = Fuse(Breaker(ratio=None, consecutive=3))
    fuse.count(1, 1, 0)
    fuse.count(1, 1, 0)
    assert fuse.opened is None
    fuse.count(1, 1, 5)
    assert fuse.opened == 5


def test_one_that_lives_ends_the_row() -> None:
    fuse = Fuse(Breaker(ratio=None, consecutive=3))
    for died in (1, 1, 0, 1, 1):
        fuse.count(1, died, 0)
    assert fuse.opened is None


def test_it_opens_at_the_ratio_once_enough_have_ended() -> None:
    fuse = Fuse(Breaker(ratio=0.5, minimum=10))
    fuse.count(5, 0, 0)
    for _ in range(4):
        fuse.count(1, 1, 1)
    assert fuse.opened is None
    fuse.count(1, 1, 2)
    assert fuse.opened == 2


def test_what_is_older_than_the_window_does_not_count() -> None:
    fuse = Fuse(Breaker(ratio=0.5, minimum=4, window=10))
    fuse.count(2, 2, 0)
    fuse.count(2, 1, 11)
    assert fuse.opened is None
    assert (fuse.ended, fuse.died) == (2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": None},
        {"ratio": 0},
        {"ratio": 1.5},
        {"consecutive": 0},
        {"minimum": 2.5},
        {"window": 0},
        {"resume_after": -1},
        {"scope": "world"},
    ],
)
def test_a_breaker_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"Breaker"):
        Breaker(**wrong)  # type: ignore[arg-type]


def test_an_open_breaker_starts_nothing_new() -> None:
    office = office_with(Breaker(ratio=None, consecutive=2), records=2)
    office.turn()
    fail(office, 0, 1)
    assert len(office.told.breakers_opened) == 1
    one_more(office)
    office.turn(6)
    assert office.hands.busy_with == []


def test_it_goes_on_when_it_is_told_to() -> None:
    office = office_with(Breaker(ratio=None, consecutive=2), records=2)
    office.turn()
    fail(office, 0, 1)
    one_more(office)
    office.turn()
    office.owner.fuses.close_all()
    office.turn()
    assert office.hands.busy_with == [2]


def test_it_goes_on_after_a_time() -> None:
    office = office_with(Breaker(ratio=None, consecutive=2, resume_after=30), records=2)
    office.turn()
    fail(office, 0, 1)
    one_more(office)
    office.pass_time(29)
    assert office.hands.busy_with == []
    office.pass_time(1)
    assert office.hands.busy_with == [2]


def one_more(office: Office) -> None:
    producer = office.broker.producer({})
    producer.send(Message(TOPIC, b"", b"late", partition=0))
    producer.flush(1)
