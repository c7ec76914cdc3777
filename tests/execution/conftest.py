"""Slices for executions, and the place where they arrive."""

from collections.abc import Callable
from typing import Any

import pytest

from streamjobs.engine.slices import Slice
from tests.support.engine import Arrivals, MakeSlice, generation, record, route


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()


@pytest.fixture
def make_slice() -> MakeSlice:
    """`make_slice(invoke, count)`: so many records, each of a key of its own."""

    def make(invoke: Callable[[Slice, int], Any], count: int = 1, one_key: bool = False) -> Slice:
        ours = generation(route=route(invoke=invoke))
        records = [record(number) for number in range(count)]
        orders = [b"k" if one_key else b"%d" % number for number in range(count)]
        return Slice(ours, ours.virtual_partitions[0], records, orders, {}, {})

    return make
