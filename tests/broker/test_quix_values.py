"""Quix's deserializers as decoders of stream values."""

import pytest
from quixstreams.models.serializers import (
    Deserializer,
    IgnoreMessage,
    IntegerDeserializer,
    JSONDeserializer,
)

from streamjobs.broker.quix.values import decoder, is_deserializer
from streamjobs.errors import ConfigurationError, UndecodableRecordError
from streamjobs.record import Record


def record(value: bytes | None) -> Record:
    return Record("topic", 0, 0, value=value, headers=[("a", b"1")])


@pytest.mark.parametrize(
    "deserializer,value,found",
    [
        ("json", b'{"a": 1}', {"a": 1}),
        ("bytes", b"raw", b"raw"),
        ("str", "é".encode(), "é"),
        ("int", b"\x00\x00\x00\x07", 7),
        (JSONDeserializer(), b"[1]", [1]),
        (IntegerDeserializer(), b"\x00\x00\x00\x07", 7),
        ("json", None, None),
    ],
)
def test_one_value(deserializer: object, value: bytes | None, found: object) -> None:
    assert list(decoder(deserializer)(record(value))) == [found]


@pytest.mark.parametrize("deserializer,value", [("json", b"{"), ("int", b"1"), ("str", b"\xff")])
def test_bytes_that_do_not_fit_are_undecodable(deserializer: str, value: bytes) -> None:
    with pytest.raises(UndecodableRecordError, match="Deserializer cannot read the value"):
        decoder(deserializer)(record(value))


def test_an_ignored_record_has_no_value() -> None:
    class Ignoring(Deserializer):
        def __call__(self, value: bytes, ctx: object) -> object:
            raise IgnoreMessage

    assert list(decoder(Ignoring())(record(b"x"))) == []


def test_split_values_are_several() -> None:
    class Splitting(Deserializer):
        split_values = True

        def __call__(self, value: bytes, ctx: object) -> object:
            yield from value.split(b",")

    assert list(decoder(Splitting())(record(b"a,b"))) == [b"a", b"b"]


@pytest.mark.parametrize("wrong", ["yaml", 7, [], object])
def test_what_is_no_deserializer_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="no Quix deserializer"):
        decoder(wrong)


def test_deserializers_are_recognised() -> None:
    assert is_deserializer(JSONDeserializer())
    assert not is_deserializer("json")
    assert not is_deserializer(JSONDeserializer)
