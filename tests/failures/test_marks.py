"""Marks on a dead-letter partition, to the byte."""

import orjson
import pytest

from streamjobs import headers
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.failures.marks import Intent, Mark, NoMarkError, Purged, Replayed, read_mark
from tests.support.letters import DEAD, letter_message, mark_message, records

ENDS = {TopicPartition("jobs", 3): 12, TopicPartition("a/b", 0): 0}


@pytest.mark.parametrize(
    "mark", [Intent("r1", (4, 5), ENDS), Replayed("r1", (4,)), Purged((4, 5)), Replayed("r1", ())]
)
def test_a_mark_comes_back_as_it_was_written(mark: Mark) -> None:
    (record,) = records(mark_message(mark))
    assert read_mark(record) == mark


def test_an_intent_is_written_as_specified() -> None:
    message = mark_message(Intent("r1", [4, 5], {TopicPartition("jobs", 3): 12}))

    assert (message.key, message.headers) == (None, [("streamjobs-dead-mark", b"intent")])
    assert message.value is not None
    assert orjson.loads(message.value) == {
        "replay": "r1",
        "offsets": [4, 5],
        "ends": {"jobs/3": 12},
    }


def test_a_letter_is_no_mark() -> None:
    (record,) = records(letter_message())
    assert read_mark(record) is None


@pytest.mark.parametrize(
    "kind, value, reason",
    [
        (b"intent", b"{", "damaged"),
        (b"purged", None, "damaged"),
        (b"purged", b"[]", "damaged"),
        (b"purged", b'{"offsets": ["4"]}', "no offset"),
        (b"replayed", b'{"offsets": [4]}', "replay"),
        (b"intent", b'{"replay": "r1", "offsets": [4], "ends": {"jobs": 12}}', "damaged"),
        (b"intent", b'{"replay": "r1", "offsets": [4], "ends": []}', "damaged"),
        (b"archived", b'{"offsets": [4]}', "unknown kind: b'archived'"),
    ],
)
def test_a_damaged_mark_is_refused_with_the_reason(
    kind: bytes, value: bytes | None, reason: str
) -> None:
    (record,) = records(Message(DEAD, value, headers=[(headers.DEAD_MARK, kind)]))
    with pytest.raises(NoMarkError, match=reason):
        read_mark(record)
