"""The completion map: what stands in a commit's metadata, and how damage is noticed."""

import pytest

from streamjobs.engine import completion_map
from streamjobs.engine.completion_map import (
    BITSET_SPAN,
    MAP_CHARACTERS,
    MAX_SPAN,
    METADATA_CHARACTERS,
    Runs,
    UnreadableMetadataError,
    decode,
    encode,
    runs_capacity,
)


@pytest.mark.parametrize(
    "runs",
    [
        [(101, 1)],
        [(101, 2), (104, 1)],
        [(150, 10_000)],
        [(101 + 2 * index, 1) for index in range(1000)],
        [(4_000_000, 100)],
    ],
    ids=["one", "two", "long", "every other", "far"],
)
def test_what_was_written_is_read(runs: Runs) -> None:
    assert decode(100, encode(100, runs)).runs == runs


def test_nothing_complete_is_nothing_written() -> None:
    assert encode(100, []) == ""
    assert decode(100, "").runs == ()


def test_other_fields_are_kept() -> None:
    metadata = encode(100, [(101, 1)], {"a": "attempts"})
    assert decode(100, metadata) == ([(101, 1)], {"a": "attempts"})


def test_every_pattern_of_the_span_fits() -> None:
    every_other = [(1 + 2 * index, 1) for index in range(BITSET_SPAN // 2)]
    metadata = encode(0, every_other)
    assert len(metadata) <= METADATA_CHARACTERS
    assert decode(0, metadata).runs == every_other


def test_as_many_runs_as_are_promised_fit() -> None:
    span = 1 << 20
    count = runs_capacity(span)
    step = span // count
    runs = [(1 + step * index, 1) for index in range(count)]
    assert len(encode(0, runs)) <= MAP_CHARACTERS + 10


def test_few_runs_far_apart_are_short() -> None:
    assert len(encode(0, [(1, 30_000), (40_000, 20_000)])) < 20


def test_characters_are_of_the_basic_plane_without_surrogates() -> None:
    metadata = encode(0, [(1 + 2 * index, 1) for index in range(BITSET_SPAN // 2)])
    assert all(ord(character) < 0xD800 for character in metadata)


@pytest.mark.parametrize(
    "damaged, reason",
    [
        (lambda text: "foreign", "does not start with 'sj1'"),
        (lambda text: text.replace("sj1", "sj2"), "does not start with 'sj1'"),
        (lambda text: text[:-1], "its end is missing"),
        (lambda text: text[:8], "its end is missing"),
        (lambda text: text[:5] + chr(ord(text[5]) ^ 1) + text[6:], "checksum"),
        (lambda text: text[:-1] + "x", "alphabet"),
        (lambda text: text[:5] + "\ud800" + text[6:], "checksum"),
    ],
    ids=["foreign", "newer", "cut by one", "cut in half", "one bit", "alphabet", "no text"],
)
def test_metadata_that_is_damaged_says_how(damaged: object, reason: str) -> None:
    metadata = encode(100, [(101, 2), (104, 1)])
    with pytest.raises(UnreadableMetadataError, match=reason):
        decode(100, damaged(metadata))  # type: ignore[operator]


def test_a_map_beside_another_offset_is_damage() -> None:
    with pytest.raises(UnreadableMetadataError, match="checksum"):
        decode(101, encode(100, [(110, 1)]))


def test_a_map_that_reaches_too_far_is_none_of_ours() -> None:
    with pytest.raises(UnreadableMetadataError):
        decode(0, encode(0, [(MAX_SPAN, 1)]))


def test_the_limit_of_the_broker_is_known() -> None:
    assert completion_map.METADATA_CHARACTERS == 4095
