"""Values of state as bytes."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamjobs.state.codec import decode, encode
from streamjobs.state.errors import StateValueError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(JSON | st.binary(), st.just(0) | st.integers(1, 2**63))
def test_a_value_comes_back_as_it_was(value: Any, expires: int) -> None:
    assert decode(encode(value, expires)) == value


def test_what_only_pydantic_can_write_is_written() -> None:
    assert decode(encode({"price": Decimal("1.20")})) == {"price": "1.20"}


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        encode(object())


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(StateValueError, match="not JSON"):
        decode(b"{")


def test_values_that_are_kept_take_no_more_memory_than_they_need() -> None:
    before = resident_mib()

    kept = [encode(number) for number in range(20_000)]

    assert resident_mib() - before < 20  # 4 KiB each would be 80
    assert len(kept) == 20_000


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
