"""What the refusal of a changelog record teaches."""

import pytest

from streamjobs.broker.ports import Delivery, Message
from streamjobs.engine.narrow import NarrowChangelogs
from streamjobs.state.changelog import check_size
from streamjobs.state.errors import StateTooLargeError

REFUSED = Delivery("changes", 0, -1, "MSG_SIZE_TOO_LARGE", refused=True)
AWAY = Delivery("changes", 0, -1, "_TIMED_OUT")
WRITTEN = Delivery("changes", 0, 7)


def change(size: int) -> Message:
    return Message("changes", b"x" * size, b"key")


def test_a_changelog_that_refused_something_is_written_one_record_at_a_time() -> None:
    narrow = NarrowChangelogs()
    told: list[Delivery] = []

    narrow.watch(told.append)(REFUSED)

    assert "changes" in narrow
    assert told == [REFUSED]


def test_what_was_only_not_answered_says_nothing() -> None:
    narrow = NarrowChangelogs()

    narrow.watch(lambda _: None)(AWAY)

    assert "changes" not in narrow


def test_one_that_is_refused_alone_and_all_as_large_are_too_large_from_then_on() -> None:
    limits: dict[str, int] = {}

    NarrowChangelogs(limits).watch_alone(change(2000), lambda _: None)(REFUSED)

    check_size(b"key", b"x" * 1999, limits["changes"])
    with pytest.raises(StateTooLargeError):
        check_size(b"key", b"x" * 2000, limits["changes"])


def test_the_smallest_that_was_refused_counts() -> None:
    limits: dict[str, int] = {}
    narrow = NarrowChangelogs(limits)

    for size in (2000, 1000, 3000):
        narrow.watch_alone(change(size), lambda _: None)(REFUSED)

    check_size(b"key", b"x" * 999, limits["changes"])
    assert limits["changes"] == 1000 + 3 + 512 - 1


def test_one_that_is_written_alone_teaches_nothing() -> None:
    limits: dict[str, int] = {}
    told: list[Delivery] = []

    NarrowChangelogs(limits).watch_alone(change(2000), told.append)(WRITTEN)

    assert limits == {}
    assert told == [WRITTEN]
