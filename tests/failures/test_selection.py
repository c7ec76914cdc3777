"""Which letters a filter takes."""

from datetime import UTC, datetime

import pytest

from streamjobs.broker.ports import Message
from streamjobs.errors import BrokerUnavailableError, ConfigurationError
from streamjobs.failures.letters import read_letter
from streamjobs.failures.selection import Selection, job_of, parse_moment
from streamjobs.record import Record
from tests.support.letters import DEAD, death, letter_message, records

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()


def taken(selection: Selection, message: Message) -> bool:
    (record,) = records(message)
    return selection.takes(read_letter(record))


def test_without_filters_every_letter_is_meant() -> None:
    assert taken(Selection(), letter_message(key=None, value=None))


@pytest.mark.parametrize(
    "pattern, fits",
    [
        ("BrokerUnavailableError", True),
        ("streamjobs.errors.BrokerUnavailableError", True),
        ("Broker*", True),
        ("*Unavailable*", True),
        ("streamjobs.*", True),
        ("Broker", False),
        ("broker*", False),
        ("ValueError", False),
    ],
)
def test_an_error_is_named_with_its_module_or_without_or_by_a_pattern(
    pattern: str, fits: bool
) -> None:
    letter = letter_message(died=death(BrokerUnavailableError("away")))
    assert taken(Selection(error=pattern), letter) is fits


@pytest.mark.parametrize("name, fits", [("update", True), ("up*", True), ("delete", False)])
def test_a_job_is_named_by_its_header(name: str, fits: bool) -> None:
    letter = letter_message(headers=[("streamjobs-job", b"update")])
    assert taken(Selection(job=name), letter) is fits


def test_a_job_is_named_by_its_body_where_there_is_no_header() -> None:
    assert taken(Selection(job="update"), letter_message(value=b'{"job": "update"}'))


def test_what_is_no_job_has_none() -> None:
    assert job_of(Record("clicks", 0, 0, value=b"\xff")) is None
    assert not taken(Selection(job="update"), letter_message(value=b"\xff"))


@pytest.mark.parametrize("key, fits", [("7", True), ("77", False), ("", False)])
def test_a_key_is_meant_exactly(key: str, fits: bool) -> None:
    assert taken(Selection(key=key), letter_message(key=b"7")) is fits


def test_a_key_may_be_the_ordering_key() -> None:
    letter = letter_message(key=None, headers=[("streamjobs-ordering-key", b"7")])
    assert taken(Selection(key="7"), letter)


@pytest.mark.parametrize("topic, fits", [("jobs", True), ("job*", True), ("clicks", False)])
def test_the_topic_is_the_one_the_record_was_on(topic: str, fits: bool) -> None:
    assert taken(Selection(topic=topic), letter_message(source="jobs/0/3")) is fits


@pytest.mark.parametrize("group, fits", [("accounts", True), ("*", True), ("billing", False)])
def test_the_group_is_the_app_that_gave_up(group: str, fits: bool) -> None:
    assert taken(Selection(group=group), letter_message(died=death(group="accounts"))) is fits


@pytest.mark.parametrize(
    "since, until, fits",
    [
        (NOON, NOON, True),
        (NOON + 1, None, False),
        (None, NOON - 1, False),
        (NOON - 1, NOON + 1, True),
    ],
)
def test_the_time_is_that_of_the_last_failure(
    since: float | None, until: float | None, fits: bool
) -> None:
    letter = letter_message(died=death(last=NOON))
    assert taken(Selection(since=since, until=until), letter) is fits


def test_a_letter_is_named_by_its_own_place() -> None:
    letter = letter_message(source="jobs/0/9")
    assert taken(Selection(ids={f"{DEAD}/0/0"}), letter)
    assert not taken(Selection(ids={"jobs/0/9"}), letter)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", NOON - 90),
        ("15m", NOON - 15 * 60),
        ("2h", NOON - 2 * 3600),
        ("1.5h", NOON - 5400),
        ("3d", NOON - 3 * 86_400),
        ("1w", NOON - 7 * 86_400),
        ("1h30m", NOON - 5400),
        ("2026-07-01", NOON - 12 * 3600),
        ("2026-07-01T12:00", NOON),
        ("2026-07-01T12:00:00Z", NOON),
        ("2026-07-01T14:00+02:00", NOON),
    ],
)
def test_a_moment_is_iso_8601_or_so_long_ago(text: str, seconds: float) -> None:
    assert parse_moment(text, NOON) == seconds


@pytest.mark.parametrize("text", ["", "2", "yesterday", "2x", "-2h", "2026-13-01", "1.2.3h"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no time: write 2h"):
        parse_moment(text, NOON)
