"""Notes beside the completion map: attempts of parked records, and how the owner ended."""

from hypothesis import given
from hypothesis import strategies as st

from streamjobs.engine.completion_map import (
    MAP_CHARACTERS,
    METADATA_CHARACTERS,
    decode,
    encode,
)
from streamjobs.engine.notes import (
    ENTRIES,
    Attempts,
    Notes,
    forget_changelog_ends,
    read_notes,
    write_changelog_ends,
    write_notes,
)

NOW = 1_790_000_000

attempts = st.builds(
    Attempts,
    offset=st.integers(1000, 1000 + (1 << 22) - 1),
    number=st.integers(1, 255),
    first=st.integers(NOW - 500_000, NOW),
    due=st.integers(NOW, NOW + 500_000),
)


@given(st.lists(attempts, max_size=30, unique_by=lambda each: each.offset))
def test_attempts_are_read_as_they_were_written(written: list[Attempts]) -> None:
    notes = read_notes(1000, write_notes(1000, written))
    assert {offset: each.number for offset, each in notes.attempts.items()} == {
        each.offset: each.number for each in written
    }
    assert all(notes.attempts[each.offset].first == each.first for each in written)
    assert all(notes.attempts[each.offset].due == each.due for each in written)


def test_of_too_many_attempts_those_with_the_lowest_offsets_are_kept() -> None:
    many = [Attempts(offset, 1, NOW, NOW) for offset in range(500, 0, -1)]
    kept = read_notes(0, write_notes(0, many)).attempts
    assert list(kept) == list(range(1, ENTRIES + 1))
    assert ENTRIES > 100


def test_the_largest_map_and_the_most_notes_fit_together() -> None:
    many = [Attempts(offset, 255, NOW, NOW + 9) for offset in range(1, 500)]
    fields = write_notes(0, many, closed=True, ends=9, trial=1 << 21)
    largest = [(2 * number + 1, 1) for number in range(MAP_CHARACTERS * 15 // 2)]
    assert len(encode(0, largest)) > MAP_CHARACTERS
    assert len(encode(0, largest, fields)) <= METADATA_CHARACTERS


def test_what_does_not_fit_its_bits_is_cut_not_wrapped() -> None:
    far = Attempts(5, 10_000, NOW, NOW + 10**9)
    [read] = read_notes(0, write_notes(0, [far])).attempts.values()
    assert read.number == 255
    assert read.due == NOW + (1 << 20) - 1


def test_the_end_in_good_order_the_deaths_and_the_trial_are_read_back() -> None:
    fields = write_notes(7, [], closed=True, ends=3, trial=1007)
    assert read_notes(7, fields) == Notes(closed=True, ends=3, trial=1007)


def test_without_anything_to_note_there_are_no_fields() -> None:
    assert write_notes(7, []) == {}
    assert read_notes(7, {}) == Notes()


def test_notes_travel_beside_the_map() -> None:
    metadata = encode(7, [(9, 2)], write_notes(7, [Attempts(7, 2, NOW, NOW)]))
    decoded = decode(7, metadata)
    assert decoded.runs == [(9, 2)]
    assert read_notes(7, decoded.fields).attempts[7].number == 2


def test_damaged_notes_are_as_if_they_were_not_there() -> None:
    assert read_notes(0, {"a": "abc", "u": "?"}) == Notes()


def test_a_record_without_an_attempt_does_not_hide_those_behind_it() -> None:
    fields = write_notes(0, [Attempts(3, 0, NOW, NOW), Attempts(7, 2, NOW, NOW)])
    assert list(read_notes(0, fields).attempts) == [7]


def test_what_lies_below_the_frontier_is_not_noted() -> None:
    """Retention can move the frontier past a record that failed."""
    assert write_notes(3, [Attempts(0, 1, NOW, NOW)]) == {}


def test_the_ends_of_some_changelogs_are_forgotten_and_nothing_else() -> None:
    fields = write_notes(1000, [Attempts(1003, 2, NOW, NOW)], closed=True)
    fields |= write_changelog_ends((7, 8, 9)) | {"z": "unknown"}
    left = forget_changelog_ends(fields, {0, 2})
    assert read_notes(1000, left).changelog_ends == (0, 8, 0)
    assert {**left, "e": ""} == {**fields, "e": ""}
    assert "e" not in forget_changelog_ends(left, {1})
