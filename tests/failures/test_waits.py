"""Waits: how long a key waits before the next attempt."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamjobs import constant, exponential, fibonacci
from streamjobs.errors import ConfigurationError

SECONDS = st.floats(0, 1e6)
ATTEMPTS = st.integers(1, 10**6)


def test_a_constant_wait_never_changes() -> None:
    assert [constant(5)(attempt) for attempt in (1, 2, 1000)] == [5.0, 5.0, 5.0]


def test_an_exponential_one_grows_up_to_its_maximum() -> None:
    wait = exponential(first=1, factor=3, maximum=20)
    assert [wait(attempt) for attempt in (1, 2, 3, 4, 5)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_a_factor_of_one_does_not_grow() -> None:
    assert exponential(first=2, factor=1)(10**6) == 2.0


def test_a_fibonacci_one_adds_the_two_before() -> None:
    wait = fibonacci(first=2, maximum=20)
    assert [wait(attempt) for attempt in (1, 2, 3, 4, 5, 6, 7)] == [2, 2, 4, 6, 10, 16, 20]


def test_a_first_pause_beyond_the_maximum_is_cut() -> None:
    assert exponential(first=9, maximum=4)(1) == 4
    assert fibonacci(first=9, maximum=4)(1) == 4


@pytest.mark.parametrize("wait", [exponential(first=0), fibonacci(first=0), constant(0)])
def test_none_at_all_stays_none_at_all(wait: Callable[[int], float]) -> None:
    assert wait(1) == wait(1000) == 0


@given(SECONDS, st.floats(1, 100), SECONDS, ATTEMPTS)
def test_a_growing_wait_never_shrinks_and_never_passes_its_maximum(
    first: float, factor: float, maximum: float, attempt: int
) -> None:
    for wait in (exponential(first, factor, maximum), fibonacci(first, maximum)):
        assert 0 <= wait(attempt) <= wait(attempt + 1) <= maximum


def test_the_number_of_attempts_has_no_end() -> None:
    assert exponential(first=0.1)(10**9) == fibonacci(first=0.1)(10**9) == 3600


@pytest.mark.parametrize("seconds", [-1, "1", None, True, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "make, name",
    [
        (constant, "constant(seconds="),
        (lambda value: exponential(first=value), "exponential(first="),
        (lambda value: exponential(maximum=value), "exponential(maximum="),
        (lambda value: fibonacci(first=value), "fibonacci(first="),
        (lambda value: fibonacci(maximum=value), "fibonacci(maximum="),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_time_is_refused_by_name(
    make: Callable[[Any], object], name: str, seconds: Any
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        make(seconds)
    assert str(refusal.value).startswith(f"{name}{seconds!r}): seconds")


@pytest.mark.parametrize("factor", [0.5, "2", True, float("inf")])
def test_a_factor_below_one_is_refused(factor: Any) -> None:
    with pytest.raises(ConfigurationError, match="a number from 1"):
        exponential(factor=factor)


def test_equal_waits_are_equal() -> None:
    assert exponential(first=1) == exponential(first=1.0)
    assert exponential(first=1) != exponential(first=2)
