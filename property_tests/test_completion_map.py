"""What stands in a commit's metadata: read as written, never too long, damage always noticed."""

from itertools import accumulate
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from streamjobs.engine.ledger import Ledger

FRAME = 10
"""Characters around the map itself, see docs/commit-metadata.md."""

FRONTIERS = st.integers(0, 2**63 - 1 - MAX_SPAN)
LENGTHS = st.one_of(st.integers(1, 3), st.integers(1, 20_000))
CHARACTERS = st.characters() | st.characters(categories=["Cs"])
"""All of them, halves of surrogate pairs included, often."""
DIGITS = st.characters(min_codepoint=0x3400, max_codepoint=0xB3FF)
"""Those that a map is made of."""


def spread(frontier: int, pairs: list[tuple[int, int]]) -> Runs:
    """Runs from their gaps and lengths."""
    starts = accumulate((gap + length for gap, length in pairs), initial=frontier)
    return [(start + gap, length) for start, (gap, length) in zip(starts, pairs, strict=False)]


@st.composite
def maps(draw: st.DrawFn) -> tuple[int, Runs]:
    """A frontier and runs above it."""
    frontier = draw(FRONTIERS)
    return frontier, spread(frontier, draw(st.lists(st.tuples(LENGTHS, LENGTHS), max_size=100)))


# The way there and back.


@given(maps())
def test_what_was_written_is_read(written: tuple[int, Runs]) -> None:
    frontier, runs = written
    assert list(decode(frontier, encode(frontier, runs)).runs) == runs


FIELDS = st.dictionaries(
    st.characters(exclude_characters="rbk|", exclude_categories=["Cs"]),
    st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"])),
)


@given(maps(), FIELDS)
def test_fields_of_later_versions_are_kept(
    written: tuple[int, Runs], fields: dict[str, str]
) -> None:
    frontier, runs = written
    read = decode(frontier, encode(frontier, runs, fields))
    assert (list(read.runs), read.fields) == (runs, fields)


# How long it gets.


@given(FRONTIERS, st.integers(1, BITSET_SPAN), st.randoms(use_true_random=False))
def test_every_pattern_within_the_span_of_a_bitset_fits(
    frontier: int, span: int, random: Random
) -> None:
    bits = "0" + f"{random.getrandbits(span):0{span}b}"[1:]
    metadata = encode(frontier, list(completion_map.ones(bits, frontier)))
    assert len(metadata) <= MAP_CHARACTERS + FRAME


@given(st.integers(BITSET_SPAN + 15, MAX_SPAN))
def test_as_many_runs_as_are_promised_fit_and_not_one_more(span: int) -> None:
    count = runs_capacity(span)
    for runs, fits in ((count, True), (count + 1, False)):
        far = encode(0, [*spread(0, [(1, 1)] * (runs - 1)), (span - 1, 1)])
        assert (len(far) <= MAP_CHARACTERS + FRAME) is fits


@given(st.integers(0, 2**32))
def test_a_random_half_of_30_000_fits(seed: int) -> None:
    ledger = Ledger(0)
    assert ledger.fits(range(30_000)) == 30_000
    ledger.register(range(30_000))
    ledger.complete(Random(seed).sample(range(1, 30_000), 15_000))
    assert len(ledger.freeze().metadata) <= METADATA_CHARACTERS


@given(FRONTIERS, st.integers(50_000, MAX_SPAN - 1))
def test_one_stuck_record_with_all_done_behind_it_costs_a_few_characters(
    frontier: int, done: int
) -> None:
    assert len(encode(frontier, [(frontier + 1, done)])) < 30


ORDERS = {
    "every other": lambda _, offsets: offsets[1::2],
    "every third": lambda _, offsets: offsets[1::3],
    "a random half": lambda random, offsets: [each for each in offsets if random.random() < 0.5],
    "nearly all": lambda random, offsets: [each for each in offsets if random.random() < 0.97],
    "the first ones": lambda _, offsets: offsets[: len(offsets) // 2],
    "the last ones": lambda _, offsets: offsets[len(offsets) // 2 :],
    "nothing": lambda _, offsets: offsets[:0],
}
"""How a partition's pending records may complete."""


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 1, 2, 7, 300]), st.sampled_from(sorted(ORDERS))),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_whatever_completes_in_whatever_order_the_map_of_what_fits_can_be_written(
    rounds: list[tuple[int, str]], is_stuck: bool, seed: int
) -> None:
    """Near the limit all the time: more is offered than fits, and the lowest offset may stay
    open for ever.
    """
    random = Random(seed)
    ledger = Ledger(0)
    if is_stuck:
        ledger.register([0])
    pending: list[int] = []
    for gap, order in rounds:
        offered = range(ledger.next, ledger.next + 30_000 * gap, gap)
        taken = offered[: ledger.fits(offered)]
        if taken:
            pending += ledger.register(taken)
        done = ORDERS[order](random, pending)
        ledger.complete(done)
        pending = sorted(set(pending) - set(done))

        frontier, metadata = ledger.freeze()

        assert len(metadata) <= MAP_CHARACTERS + FRAME <= METADATA_CHARACTERS
        assert list(decode(frontier, metadata).runs) == list(ledger.runs())


# Damage.


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, Runs, str]:
    """A frontier, the runs that were written beside it, and metadata after something happened."""
    frontier, runs = draw(maps())
    metadata = encode(frontier, runs, draw(FIELDS))
    start = draw(st.integers(0, len(metadata)))
    match draw(st.sampled_from(["flip", "cut", "insert", "elsewhere"])):
        case "flip":
            stop = start + draw(st.integers(1, 3))
            replaced = draw(st.text(CHARACTERS, min_size=1, max_size=3))
            metadata = metadata[:start] + replaced + metadata[stop:]
        case "cut":
            metadata = metadata[:start] + metadata[start + draw(st.integers(1, 10)) :]
        case "insert":
            metadata = metadata[:start] + draw(st.text(CHARACTERS)) + metadata[start:]
        case "elsewhere":
            frontier = draw(FRONTIERS)
    return frontier, runs, metadata


@given(damaged())
def test_damage_is_noticed_or_does_no_harm(case: tuple[int, Runs, str]) -> None:
    frontier, runs, metadata = case
    try:
        read = decode(frontier, metadata).runs
    except UnreadableMetadataError:
        return
    assert not metadata or list(read) == runs


@given(FRONTIERS, st.text(CHARACTERS))
def test_text_of_another_program_is_unreadable(frontier: int, text: str) -> None:
    if text:
        with pytest.raises(UnreadableMetadataError):
            decode(frontier, text)


@given(
    FRONTIERS,
    st.text(CHARACTERS),
    st.text(DIGITS, min_size=3, max_size=3) | st.text(CHARACTERS, max_size=4),
)
@example(frontier=0, text="\ud800", end=3 * chr(0x3400))
def test_text_that_begins_like_ours_is_unreadable(frontier: int, text: str, end: str) -> None:
    for metadata in (f"sj1|{text}", f"sj1|{text}|k{end}"):
        with pytest.raises(UnreadableMetadataError):
            decode(frontier, metadata)


@given(
    FRONTIERS,
    st.sampled_from("rb"),
    st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"])) | st.text(DIGITS),
)
def test_a_map_of_another_writer_is_read_or_refused(frontier: int, tag: str, text: str) -> None:
    """With the right checksum, but anything in it."""
    metadata = encode(frontier, [], {tag: text})
    try:
        runs = list(decode(frontier, metadata).runs)
    except UnreadableMetadataError:
        return
    assert all(length > 0 for _, length in runs)
    assert runs == sorted(runs)
    assert Ledger(frontier, runs).frontier >= frontier
