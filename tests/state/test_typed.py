"""One value as a type: checked when it is set and when it is read."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ConfigDict

from streamjobs.state.errors import StateValueError
from streamjobs.state.view import State


class Account(BaseModel):
    """Strict, as a model may be: what it wrote as JSON it reads as JSON."""

    model_config = ConfigDict(strict=True)

    balance: int = 0
    opened: datetime | None = None


@dataclass
class Cart:
    items: dict[int, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)


@pytest.fixture
def state() -> State:
    left: dict[bytes, bytes] = {}
    return State(b"ada", left.get, {}, lambda: 1000.0)


@pytest.mark.parametrize(
    "value", [Account(balance=5, opened=datetime(2026, 1, 2, tzinfo=UTC)), Cart({1: "tea"}, {"a"})]
)
def test_a_value_comes_back_as_its_type(state: State, value: Account | Cart) -> None:
    typed = state.typed(type(value))
    typed.set(value)
    assert typed.get() == value


def test_what_was_never_set_is_missing(state: State) -> None:
    account = state.typed(Account)
    assert account.get() is None
    assert account.get(Account(balance=1)) == Account(balance=1)
    assert not account.exists()


def test_it_is_a_value_like_others(state: State) -> None:
    state.typed(Account).set(Account(balance=5))
    assert state.get("Account") == {"balance": 5, "opened": None}
    state.typed(Account).delete()
    assert not state.exists("Account")


def test_a_name_can_be_given(state: State) -> None:
    state.typed(Account, "savings").set(Account(balance=5))
    assert state.typed(Account).get() is None
    assert state.typed(Account, "savings").get() == Account(balance=5)


def test_a_type_without_a_name_of_its_own_needs_one(state: State) -> None:
    with pytest.raises(TypeError, match="needs a name"):
        state.typed(list[int])
    state.typed(list[int], "scores").set([1])
    assert state.typed(list[int], "scores").get() == [1]


def test_update_sets_what_the_function_returns(state: State) -> None:
    account = state.typed(Account)
    account.update(lambda before: Account(balance=before.balance + 5), Account())
    assert account.update(lambda before: Account(balance=before.balance + 5), Account()) == Account(
        balance=10
    )


def test_a_value_of_another_type_is_refused(state: State) -> None:
    with pytest.raises(TypeError, match="state 'Account'"):
        state.typed(Account).set(Cart())  # type: ignore[arg-type]
    assert not state.exists("Account")


def test_a_value_that_does_not_fit_says_where(state: State) -> None:
    state.set("Account", {"balance": "much"})
    with pytest.raises(StateValueError, match=r"'Account' of key b'ada': .*balance: .*integer"):
        state.typed(Account).get()


def test_its_time_may_be_over() -> None:
    now = 1000.0
    state = State(b"ada", lambda key: None, {}, lambda: now)
    account = state.typed(Account)
    account.set(Account(balance=5), ttl=5)
    assert account.get() == Account(balance=5)
    now += 6
    assert account.get() is None
