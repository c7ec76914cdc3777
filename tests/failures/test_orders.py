"""What order a letter belongs to."""

from typing import Any

import pytest

from streamjobs import App, VirtualPartitions
from streamjobs.failures.journal import Order
from streamjobs.failures.letters import Letter, read_letter
from streamjobs.failures.orders import order_of
from streamjobs.record import Header
from tests.support.letters import letter_message, records

ORDERING_KEY: Header = ("streamjobs-ordering-key", b"carried")


def letter(key: bytes | None = b"k", value: bytes = b"v", *headers: Header) -> Letter:
    (record,) = records(letter_message(key, value, source="jobs/3/0", headers=headers))
    return read_letter(record)


def order(**virtual_partitions: Any) -> Order:
    """For a stream whose topic is split so."""
    app = App("accounts")
    app.stream("jobs", virtual_partitions=VirtualPartitions(**virtual_partitions))(lambda _: None)
    return order_of(app.topics)


def test_letters_of_a_key_belong_together() -> None:
    assert order()(letter(b"k", b"1")) == order()(letter(b"k", b"2")) == ("jobs", 3, b"k")


def test_a_letter_without_a_key_has_no_order() -> None:
    assert order()(letter(None)) is None


def test_a_job_has_its_ordering_key() -> None:
    app = App("accounts")
    app.job(topic="jobs")(lambda: None)
    assert order_of(app.topics)(letter(b"k", b"v", ORDERING_KEY)) == ("jobs", 3, b"carried")


def test_a_stream_has_the_message_key() -> None:
    assert order()(letter(b"k", b"v", ORDERING_KEY)) == ("jobs", 3, b"k")


def test_a_partitioner_says_the_order() -> None:
    by_value = order(partitioner=lambda record: record.value)
    assert by_value(letter(b"k", b"v")) == ("jobs", 3, b"v")


def test_a_letter_that_its_partitioner_cannot_read_has_no_order() -> None:
    def fail(_: object) -> bytes:
        raise ValueError

    assert order(partitioner=fail)(letter()) is None


@pytest.mark.parametrize("key", [b"k", None])
def test_a_partition_that_is_not_split_is_one_order(key: bytes | None) -> None:
    assert order(count=1)(letter(key)) == ("jobs", 3)


def test_a_virtual_partition_may_be_one_order() -> None:
    whole = order(count=2, ordering="virtual_partition")
    assert {whole(letter(b"%d" % number)) for number in range(9)} == {
        ("jobs", 3, 0),
        ("jobs", 3, 1),
    }


def test_without_ordering_there_is_none() -> None:
    assert order(ordering="none")(letter()) is None


def test_a_topic_that_the_app_does_not_know_has_the_order_of_its_keys() -> None:
    assert order_of({})(letter(b"k", b"v", ORDERING_KEY)) == ("jobs", 3, b"carried")
