"""The journal: what the letters and marks of a partition come to."""

from collections.abc import Hashable

import pytest

from streamjobs import headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.failures.journal import Journal, LetterState
from streamjobs.failures.letters import Letter
from streamjobs.failures.marks import Intent, Mark, Purged, Replayed
from tests.support.letters import DEAD, PLACE, letter_message, mark_message, records

ENDS = {TopicPartition("jobs", 0): 7}


def by_key(letter: Letter) -> Hashable | None:
    return letter.record.key


def journal_of(*written: Message | Mark | bytes) -> Journal:
    """A key stands for a letter with that key."""
    journal = Journal(PLACE, by_key)
    for record in records(*map(as_message, written)):
        journal.add(record)
    return journal


def as_message(written: Message | Mark | bytes) -> Message:
    if isinstance(written, bytes):
        return letter_message(written)
    return written if isinstance(written, Message) else mark_message(written)


def states(journal: Journal, *offsets: int) -> list[str]:
    return [str(journal.state(offset)) for offset in offsets]


# Letters.


def test_a_letter_is_open() -> None:
    journal = journal_of(b"k")

    assert list(journal.open) == [0]
    assert journal.state(0) is LetterState.OPEN


def test_what_is_added_is_returned_as_a_letter() -> None:
    (record,) = records(letter_message(b"k", b"v"))

    letter = Journal(PLACE).add(record)

    assert letter is not None
    assert (letter.id, letter.record.value) == (f"{DEAD}/0/0", b"v")


def test_a_record_that_comes_twice_counts_once() -> None:
    journal = Journal(PLACE, by_key)
    letter, mark = records(letter_message(b"k"), mark_message(Purged([0])))
    for record in (letter, mark, letter):
        journal.add(record)

    assert states(journal, 0) == ["purged"]
    assert journal.next == 2


def test_a_record_of_another_kind_is_a_stranger() -> None:
    journal = journal_of(b"k", Message(DEAD, b"hello"))

    assert journal.strangers == [1]
    assert list(journal.open) == [0]


def test_a_letter_about_a_mark_is_a_letter() -> None:
    """Some app consumed the dead-letter topic, and gave up on a mark."""
    journal = journal_of(letter_message(headers=[(headers.DEAD_MARK, b"purged")]))

    assert list(journal.open) == [0]


# Replays.


def test_an_intent_leaves_its_letters_open_and_taken() -> None:
    journal = journal_of(b"a", b"b", Intent("r1", [0], ENDS))

    assert list(journal.open) == [0, 1]
    assert states(journal, 0, 1) == ["replaying", "open"]
    assert journal.intents == {"r1": Intent("r1", (0,), ENDS)}


def test_a_replay_that_has_ended_leaves_open_what_did_not_arrive() -> None:
    journal = journal_of(b"a", b"b", Intent("r1", [0, 1], ENDS), Replayed("r1", [1]))

    assert states(journal, 0, 1) == ["open", "replayed"]
    assert not journal.intents


def test_of_two_intents_for_a_letter_the_first_one_counts() -> None:
    journal = journal_of(b"a", b"b", Intent("r1", [0], ENDS), Intent("r2", [0, 1], ENDS))

    assert list(journal.intents) == ["r1"]
    assert states(journal, 0, 1) == ["replaying", "open"]


def test_intents_for_different_letters_stand_side_by_side() -> None:
    journal = journal_of(b"a", b"b", Intent("r1", [0], ENDS), Intent("r2", [1], ENDS))

    assert list(journal.intents) == ["r1", "r2"]


@pytest.mark.parametrize("before", [Replayed("r1", [0]), Purged([0])])
def test_an_intent_for_a_letter_that_is_not_open_does_not_count(before: Mark) -> None:
    assert not journal_of(b"a", before, Intent("r2", [0], ENDS)).intents


def test_an_intent_for_a_letter_that_is_gone_does_not_count() -> None:
    assert not journal_of(b"a", Intent("r1", [0, 7], ENDS)).intents


def test_a_replay_can_go_on_after_a_part_of_it_has_ended() -> None:
    journal = journal_of(
        b"a", b"b", Intent("r1", [0], ENDS), Replayed("r1", [0]), Intent("r1", [1], ENDS)
    )

    assert states(journal, 0, 1) == ["replayed", "replaying"]


# Purges.


def test_a_purged_letter_is_closed() -> None:
    journal = journal_of(b"a", b"b", Purged([1]))

    assert states(journal, 0, 1) == ["open", "purged"]


def test_a_letter_that_was_replayed_while_it_was_purged_was_replayed() -> None:
    journal = journal_of(b"a", Intent("r1", [0], ENDS), Purged([0]), Replayed("r1", [0]))

    assert states(journal, 0) == ["replayed"]


def test_a_letter_that_was_replayed_is_not_purged_any_more() -> None:
    journal = journal_of(b"a", Intent("r1", [0], ENDS), Replayed("r1", [0]), Purged([0]))

    assert states(journal, 0) == ["replayed"]


# Orders.


def test_an_order_is_held_until_its_last_letter_is_closed() -> None:
    assert journal_of(b"a", b"a", Purged([0])).holds(b"a")
    assert not journal_of(b"a", b"a", Purged([0, 1])).holds(b"a")


def test_an_order_is_held_while_its_letter_is_being_replayed() -> None:
    assert journal_of(b"a", Intent("r1", [0], ENDS)).holds(b"a")


def test_an_order_without_letters_is_free() -> None:
    assert not journal_of(b"a").holds(b"b")


def test_a_letter_without_order_holds_nothing() -> None:
    assert not journal_of(letter_message(key=None)).holds(None)


# What can be removed.


def test_everything_before_the_first_open_letter_can_be_removed() -> None:
    assert journal_of(b"a", b"b", b"c", Purged([0, 2])).removable == 1


def test_everything_can_be_removed_when_no_letter_is_open() -> None:
    assert journal_of(b"a", b"b", Purged([0, 1])).removable == 3


def test_a_letter_that_may_still_be_sent_is_not_removed() -> None:
    assert journal_of(b"a", b"b", Intent("r1", [1], ENDS), Purged([0, 1])).removable == 1


def test_what_is_not_understood_is_not_removed() -> None:
    assert journal_of(b"a", Message(DEAD, b"hello"), Purged([0])).removable == 1


def test_an_empty_partition_has_nothing_to_remove() -> None:
    assert journal_of().removable == 0


def test_what_stays_is_known_as_before_when_the_rest_is_removed() -> None:
    written = [b"a", b"b", Purged([0]), b"c", b"d", Intent("r1", [1, 3], ENDS), Replayed("r1", [3])]
    whole = journal_of(*written)
    rest = Journal(PLACE, by_key)
    for record in records(*map(as_message, written))[whole.removable :]:
        rest.add(record)

    assert list(rest.open) == list(whole.open) == [1, 4]
    assert states(rest, 1, 3, 4) == states(whole, 1, 3, 4)
