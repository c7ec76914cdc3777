"""Dead letters: what is written about a record that was given up, and how it is read."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamjobs import DeadLetter, headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.errors import ConfigurationError
from streamjobs.failures.letters import Death, Letter, NoLetterError, read_letter, write_letter
from streamjobs.record import Header, Record

MOMENT = 1_700_000_000.25

ALREADY_DEAD: list[Header] = [
    (headers.DEAD_TOPIC, b"of an earlier life"),
    (headers.DEAD_OFFSET, b"no number"),
    (headers.DEAD_SEQUENCED, b"1"),
    (headers.DEAD_MARK, None),
]

HEADERS = st.lists(
    st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=10))
    | st.sampled_from(ALREADY_DEAD),
    max_size=5,
)
RECORDS = st.builds(
    Record,
    topic=st.text(min_size=1, max_size=20),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**62),
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=50),
    headers=HEADERS,
    timestamp=st.integers(0, 2**41),
)
TEXTS = st.text(max_size=30)
MOMENTS = st.integers(0, 2**41).map(lambda milliseconds: milliseconds / 1000)
DEATHS = st.builds(
    Death,
    group=TEXTS,
    attempts=st.integers(0, 10**6),
    error=TEXTS,
    message=TEXTS,
    traceback=TEXTS,
    first=MOMENTS,
    last=MOMENTS,
    sequenced=st.booleans(),
)


def died(error: BaseException, **others: Any) -> Death:
    return Death.by(
        error, **{"group": "app", "attempts": 3, "first": MOMENT, "last": MOMENT} | others
    )


def letter_record(message: Message, offset: int = 7) -> Record:
    """The letter as a consumer of the dead-letter topic gets it."""
    place = message.topic, message.partition or 0, offset
    return Record(*place, message.key, message.value, message.headers, 0)


def record(*own: Header, key: bytes | None = b"k", value: bytes | None = b"v") -> Record:
    return Record("jobs", 2, 9, key, value, own, 1234)


DEATH = died(ValueError("no"))

# There and back.


@given(RECORDS, DEATHS)
@example(record(key=None, value=None), DEATH)
@example(record(*ALREADY_DEAD), DEATH)
def test_a_letter_that_is_read_has_the_record_and_its_death(one: Record, death: Death) -> None:
    letter = read_letter(letter_record(write_letter("dead", 3, one, death)))
    assert letter == Letter(TopicPartition("dead", 3), 7, letter.record, letter.death)
    assert fields(letter.record) == fields(one)
    assert letter.death == death


def fields(one: Record) -> tuple[object, ...]:
    return (
        one.topic, one.partition, one.offset, one.key, one.value, list(one.headers), one.timestamp,
    )  # fmt: skip


def test_key_value_and_headers_stay_byte_for_byte_and_the_rest_stands_behind_them() -> None:
    message = write_letter("dead", 0, record(("h", b"\xff"), ("h", None)), DEATH)
    assert (message.key, message.value) == (b"k", b"v")
    assert list(message.headers[:2]) == [("h", b"\xff"), ("h", None)]
    assert all(name.startswith(headers.DEAD) for name, _ in message.headers[2:])


def test_a_record_that_died_before_dies_of_the_last_death() -> None:
    first = letter_record(write_letter("dead", 0, record(), died(ValueError("first"))))
    second = letter_record(write_letter("deader", 0, first, died(ValueError("second"))))
    letter = read_letter(second)
    assert letter.death.message == "second"
    assert read_letter(letter.record).death.message == "first"


def test_a_letter_is_known_by_its_own_place() -> None:
    assert read_letter(letter_record(write_letter("dead", 3, record(), DEATH))).id == "dead/3/7"


# What killed it.


def test_the_class_of_the_error_has_its_module_but_for_those_of_python() -> None:
    assert died(ValueError()).error == "ValueError"
    assert died(NoLetterError()).error == "streamjobs.failures.letters.NoLetterError"


def test_the_traceback_names_the_place() -> None:
    def handler() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as raised:
        handler()
    death = died(raised.value)
    assert "in handler" in death.traceback
    assert death.traceback.endswith("ValueError: here\n")


def test_notes_are_part_of_it() -> None:
    error = ValueError("no")
    error.add_note("and that is why")
    assert "and that is why" in died(error).traceback


def test_a_long_message_is_cut_at_its_end_and_a_long_traceback_at_its_beginning() -> None:
    death = died(ValueError("x" * 100_000 + "end"))
    assert death.message == "x" * 1000 + "..."
    assert len(death.traceback) == 8003
    assert death.traceback.startswith("...")
    assert death.traceback.endswith("end\n")


def test_an_error_that_cannot_be_shown_is_buried_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    death = died(Broken())
    assert death.message == "<its message cannot be read: RuntimeError('no text')>"
    assert death.traceback


def test_text_that_is_no_utf_8_is_written_escaped() -> None:
    letter = read_letter(letter_record(write_letter("dead", 0, record(), died(OSError("\udcff")))))
    assert letter.death.message == r"\udcff"


def test_moments_are_written_for_people_in_utc() -> None:
    message = write_letter("dead", 0, record(), DEATH)
    assert dict(message.headers)[headers.DEAD_FIRST] == b"2023-11-14T22:13:20.250+00:00"


# What is no letter.


def test_a_record_without_such_headers_is_none() -> None:
    with pytest.raises(NoLetterError, match=f"jobs/2/9 is no dead letter: .*{headers.DEAD_TOPIC}"):
        read_letter(record())


@pytest.mark.parametrize(
    "name",
    [headers.DEAD_PARTITION, headers.DEAD_ATTEMPTS, headers.DEAD_ERROR, headers.DEAD_FIRST],
)
def test_one_that_lacks_a_header_says_which(name: str) -> None:
    message = write_letter("dead", 0, record(), DEATH)
    damaged = message._replace(headers=[each for each in message.headers if each[0] != name])
    with pytest.raises(NoLetterError, match=f"no header '{name}'"):
        read_letter(letter_record(damaged))


@pytest.mark.parametrize(
    "name", [headers.DEAD_OFFSET, headers.DEAD_TIMESTAMP, headers.DEAD_ATTEMPTS, headers.DEAD_LAST]
)
@pytest.mark.parametrize("value", [b"soon", b"\xff", None])
def test_one_whose_header_is_damaged_is_none(name: str, value: bytes | None) -> None:
    message = write_letter("dead", 0, record(), DEATH)
    damaged = [(each, value if each == name else text) for each, text in message.headers]
    with pytest.raises(NoLetterError, match="dead/0/7 is no dead letter"):
        read_letter(letter_record(message._replace(headers=damaged)))


# Where they go.


def test_letters_go_beside_the_topic_unless_it_is_said_where() -> None:
    assert DeadLetter().topic_for("jobs") == "jobs.dead"
    assert DeadLetter("graveyard").topic_for("jobs") == "graveyard"


def test_a_topic_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a topic's name, or None"):
        DeadLetter("")
