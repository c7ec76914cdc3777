"""Changelogs: their names, and their records."""

from collections.abc import Sequence

import pytest

from streamjobs.broker.ports import Message
from streamjobs.errors import ConfigurationError
from streamjobs.record import Header, Record
from streamjobs.state.changelog import changelog_topic, changes_of, check_size, messages
from streamjobs.state.errors import StateForeignError, StateTooLargeError

DEFAULT: list[Header] = [("__column_family__", b"default")]


def record(
    offset: int, key: bytes | None, value: bytes | None, headers: Sequence[Header] = DEFAULT
) -> Record:
    return Record("changelog", 0, offset, key, value, headers)


def test_a_change_becomes_a_record() -> None:
    assert list(messages("changelog", 3, {b"a": b"1", b"b": None})) == [
        Message("changelog", b"1", b"a", tuple(DEFAULT), 3),
        Message("changelog", None, b"b", tuple(DEFAULT), 3),
    ]


def test_records_become_changes_and_the_last_one_counts() -> None:
    records = [record(0, b"a", b"1"), record(1, b"b", b"1"), record(2, b"a", None)]
    assert changes_of(records) == {b"a": None, b"b": b"1"}


def test_what_quix_says_about_offsets_is_left_aside() -> None:
    headers = [*DEFAULT, ("__processed_tp_offsets__", b'{"clicks":5}')]
    assert changes_of([record(0, b"a", b"1", headers)]) == {b"a": b"1"}


@pytest.mark.parametrize(
    "foreign, reason",
    [
        (record(7, b"a", b"1", []), "column family is None"),
        (record(7, b"a", b"1", [("__column_family__", b"windows")]), "is b'windows'"),
        (record(7, None, b"1"), "its key None"),
        (record(7, b"a", b"1", [*DEFAULT, ("__ttl_stamped__", b"\x01")]), "Quix's own ttl"),
    ],
    ids=["no family", "another family", "no key", "ttl"],
)
def test_records_of_other_stores_are_refused(foreign: Record, reason: str) -> None:
    with pytest.raises(StateForeignError, match=reason) as raised:
        changes_of([record(6, b"a", b"1"), foreign])
    assert "changelog/0/7" in str(raised.value)


def test_a_value_as_large_as_a_record_may_be_is_refused() -> None:
    check_size(b"key", b"x" * 485, 1000)
    with pytest.raises(StateTooLargeError, match=r"1,001 bytes .* \(1,000\): raise message.max"):
        check_size(b"key", b"x" * 486, 1000)


@pytest.mark.parametrize(
    "group, topic, store, named",
    [
        ("a b", "clicks", "default", "the app is called 'a b'"),
        ("app", "clicks", "a/b", "the store is called 'a/b'"),
        ("app", "clicks", "", "the store is called ''"),
        ("app", "..", "default", "the topic is called '..'"),
    ],
)
def test_names_no_topic_can_have_are_refused(
    group: str, topic: str, store: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        changelog_topic(group, topic, store)


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 249 characters"):
        changelog_topic("app", "t" * 230, "default")
