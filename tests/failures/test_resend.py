"""Where a letter's record is sent, and how it is recognised there."""

import pytest

from streamjobs import headers
from streamjobs.broker.ports import TopicPartition
from streamjobs.errors import DeliveryError
from streamjobs.failures.letters import Letter, read_letter
from streamjobs.failures.resend import letter_of, resend
from streamjobs.partitioning import partition_for
from streamjobs.record import Header, Record
from tests.support.letters import letter_message, records

ORDERING_KEY: Header = (headers.ORDERING_KEY, b"other")


def letter(key: bytes | None = b"k", source: str = "jobs/5/0", *more: Header) -> Letter:
    (record,) = records(letter_message(key, source=source, headers=more))
    return read_letter(record)


def test_a_record_goes_to_the_partition_it_came_from() -> None:
    message = resend(letter(source="jobs/5/0"), "r1", {"jobs": 6})
    assert (message.topic, message.partition) == ("jobs", 5)


def test_where_that_partition_is_gone_its_key_picks_another() -> None:
    assert resend(letter(b"k"), "r1", {"jobs": 4}).partition == partition_for(b"k", 4)


def test_where_that_partition_is_gone_the_ordering_key_counts_before_the_message_key() -> None:
    message = resend(letter(b"k", "jobs/5/0", ORDERING_KEY), "r1", {"jobs": 4})
    assert message.partition == partition_for(b"other", 4) != partition_for(b"k", 4)


def test_where_that_partition_is_gone_a_record_without_key_goes_to_any() -> None:
    assert resend(letter(None), "r1", {"jobs": 4}).partition in range(4)


def test_a_topic_that_is_gone_is_named() -> None:
    with pytest.raises(DeliveryError, match="there is no topic 'jobs' any more"):
        resend(letter(), "r1", {"clicks": 4})


def test_a_replayed_record_names_its_letter() -> None:
    message = resend(letter(), "r1", {"jobs": 6})
    (record,) = records(message)
    assert letter_of(record) == (TopicPartition("jobs.dead", 0), 0)


@pytest.mark.parametrize("name", [None, b"", b"jobs.dead", b"jobs.dead/0", b"jobs.dead/x/1"])
def test_what_names_no_letter_was_not_replayed(name: bytes | None) -> None:
    told = [] if name is None else [(headers.REPLAY_OF, name)]
    assert letter_of(Record("jobs", 0, 0, headers=told)) is None
