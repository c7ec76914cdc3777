"""The bytes of an entry: its key, and the marks in front of its value."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamjobs.state.entries import (
    Stored,
    entry_key,
    has_expired,
    is_marked,
    seal,
    split_key,
    unseal,
)
from streamjobs.state.errors import StateValueError

KEYS = st.binary() | st.sampled_from([b"", b"|", b'|"', b'a|"b"', b'"', b"\\", b'\\"'])
NAMES = st.text() | st.sampled_from(["", "|", '"', '|"', '"|', "\\", 'a|"b', "name|"])
STORED = st.builds(Stored, st.binary(), st.booleans(), st.just(0) | st.integers(1, 2**63))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
).map(orjson.dumps)


def test_a_key_is_written_as_quix_writes_it() -> None:
    assert entry_key(b"ada", "seen") == b'ada|"seen"'


@given(KEYS, NAMES)
def test_an_entrys_key_says_whose_it_is(key: bytes, name: str) -> None:
    assert split_key(entry_key(key, name)) == (key, name)


@given(KEYS, NAMES, KEYS, NAMES)
def test_no_two_entries_share_a_key(key: bytes, name: str, other: bytes, called: str) -> None:
    same = (key, name) == (other, called)
    assert (entry_key(key, name) == entry_key(other, called)) == same


@pytest.mark.parametrize("key", [b"", b"ada", b'ada|"', b"ada|seen", b'ada|"se"en"', b'|"\xff"'])
def test_other_keys_are_refused(key: bytes) -> None:
    with pytest.raises(StateValueError, match=r"no key of ctx\.state"):
        split_key(key)


def test_a_name_is_text() -> None:
    with pytest.raises(TypeError, match="a name in state is a str, not 7"):
        entry_key(b"ada", 7)  # type: ignore[arg-type]


@given(JSON)
def test_json_stands_as_it_is(value: bytes) -> None:
    assert not is_marked(value)
    assert seal(Stored(value)) == value
    assert unseal(value) == Stored(value)


@given(STORED.filter(lambda stored: not stored.is_json or stored.expires))
def test_what_is_no_plain_json_is_marked(stored: Stored) -> None:
    assert is_marked(seal(stored))
    assert unseal(seal(stored)) == stored


@pytest.mark.parametrize(
    "stored, value",
    [
        (Stored(b"\0\1", is_json=False), b"\xf9\0\1"),
        (Stored(b"1", expires=258), b"\xfa\0\0\0\0\0\0\1\x021"),
        (Stored(b"", is_json=False, expires=1), b"\xfb\0\0\0\0\0\0\0\1"),
    ],
    ids=["bytes", "JSON for a time", "bytes for a time"],
)
def test_the_marks_never_change(stored: Stored, value: bytes) -> None:
    assert seal(stored) == value


def test_a_value_is_there_until_its_time_is_over() -> None:
    value = seal(Stored(b"1", expires=5_000))
    assert [has_expired(value, now) for now in (0, 4.9, 5.0, 6)] == [False, False, True, True]


@given(st.binary(max_size=12), st.floats(0, 1e12))
def test_what_some_other_program_wrote_is_no_error(value: bytes, now: float) -> None:
    assert isinstance(unseal(value), Stored)
    assert has_expired(value, now) in {True, False}
