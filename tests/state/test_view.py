"""What a handler gets: reads see the attempt's own writes first, and a write is no more than that
until the attempt succeeds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamjobs.errors import StreamjobsError
from streamjobs.state.errors import (
    StateNeedsKeyError,
    StateNotDeclaredError,
    StateTooLargeError,
    StateValueError,
)
from streamjobs.state.view import State, UnusableState, not_declared


@dataclass
class Before:
    """What earlier attempts left, and this one's writes over it."""

    left: dict[bytes, bytes] = field(default_factory=dict)
    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    now: float = 1000.0

    def state(self, key: bytes | None = b"ada", max_message_bytes: int = 10**6) -> State:
        return State(key, self.left.get, self.writes, lambda: self.now, max_message_bytes)

    def succeed(self) -> None:
        for key, value in self.writes.items():
            if value is None:
                self.left.pop(key, None)
            else:
                self.left[key] = value
        self.writes.clear()


@pytest.fixture
def before() -> Before:
    return Before()


# Reading and writing.


def test_what_was_never_set_is_missing(before: Before) -> None:
    state = before.state()
    assert state.get("seen") is None
    assert state.get("seen", 0) == 0
    assert not state.exists("seen")


def test_an_attempt_sees_its_own_writes_and_nobody_else_does(before: Before) -> None:
    before.state().set("seen", 1)
    before.succeed()
    state = before.state()
    state.set("seen", 2)
    assert state.get("seen") == 2
    assert before.left == {b'ada|"seen"': b"1"}


def test_none_is_a_value(before: Before) -> None:
    state = before.state()
    state.set("seen", None)
    assert state.get("seen", "nothing") is None
    assert state.exists("seen")


def test_what_was_deleted_is_missing(before: Before) -> None:
    before.state().set("seen", 1)
    before.succeed()
    state = before.state()
    state.delete("seen")
    assert state.get("seen", "nothing") == "nothing"
    assert before.writes == {b'ada|"seen"': None}


def test_reading_writes_nothing(before: Before) -> None:
    before.state().set("seen", 1, ttl=5)
    before.succeed()
    before.now += 10
    state = before.state()
    assert (state.get("seen"), state.exists("seen")) == (None, False)
    assert not before.writes


def test_update_sets_what_the_function_returns(before: Before) -> None:
    state = before.state()
    assert state.update("seen", lambda seen: seen + 1, default=0) == 1
    assert state.update("seen", lambda seen: seen + 1, default=0) == 2
    assert state.get("seen") == 2


def test_keys_do_not_see_each_other(before: Before) -> None:
    before.state(b"ada").set("seen", 1)
    assert before.state(b"grace").get("seen") is None


def test_a_changed_value_is_not_set_by_that(before: Before) -> None:
    state = before.state()
    tags = ["a"]
    state.set("tags", tags)
    tags.append("b")
    state.get("tags").append("c")
    assert state.get("tags") == ["a"]


# Values.


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**63, 10**30, 0.1, "", "ä", '"', b"", b"\x00\xff", b"\xfa", b"7",
        [], {}, {"a": [1, None, {"b": 2.5}]},
    ],
)  # fmt: skip
def test_a_value_comes_back_as_it_was(before: Before, value: Any) -> None:
    state = before.state()
    for ttl in (None, 5):
        state.set("value", value, ttl)
        assert state.get("value") == value
        assert type(state.get("value")) is type(value)


@pytest.mark.parametrize(
    "value, back",
    [
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        (Decimal("1.5"), "1.5"),
        (Before(now=1.0), {"left": {}, "writes": {}, "now": 1.0}),
        ({"inside": b"\xff"}, {"inside": "_w=="}),
        (float("nan"), None),
    ],
)
def test_what_json_has_no_form_for_comes_back_as_json_has_it(
    before: Before, value: Any, back: Any
) -> None:
    state = before.state()
    state.set("value", value)
    assert state.get("value") == back


def test_what_has_no_json_form_is_refused(before: Before) -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        before.state().set("value", object())
    with pytest.raises(TypeError):
        before.state().set("value", "\ud800")
    assert not before.writes


def test_a_value_of_another_program_is_named(before: Before) -> None:
    before.left[b'ada|"seen"'] = b"\x00\x01"
    with pytest.raises(StateValueError, match=r"state 'seen' of key b'ada': it is not JSON"):
        before.state().get("seen")


def test_a_value_too_large_for_the_changelog_is_refused_where_it_is_set(before: Before) -> None:
    state = before.state(max_message_bytes=1000)
    state.set("page", "x" * 400)
    with pytest.raises(StateTooLargeError, match=r"state value of 1,0\d\d bytes .*\(1,000\)"):
        state.set("page", "x" * 500)
    assert state.get("page") == "x" * 400


# Time.


def test_a_value_is_gone_when_its_time_is_over(before: Before) -> None:
    state = before.state()
    state.set("seen", 1, ttl=5)
    before.now += 4.9
    assert state.exists("seen")
    before.now += 0.2
    assert (state.get("seen", "gone"), state.exists("seen")) == ("gone", False)


def test_setting_it_again_takes_its_time_away(before: Before) -> None:
    state = before.state()
    state.set("seen", 1, ttl=5)
    state.set("seen", 2)
    before.now += 1000
    assert state.get("seen") == 2


def test_so_does_updating_it(before: Before) -> None:
    state = before.state()
    state.update("seen", lambda seen: seen + 1, 0, ttl=5)
    state.update("seen", lambda seen: seen + 1, 0)
    before.now += 1000
    assert state.get("seen") == 2


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_ttl_is_a_number_of_seconds(before: Before, ttl: float) -> None:
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        before.state().set("seen", 1, ttl)


# Where there is no state.

USES: list[Callable[[State], object]] = [
    lambda state: state.get("seen"),
    lambda state: state.set("seen", 1),
    lambda state: state.delete("seen"),
    lambda state: state.exists("seen"),
    lambda state: state.update("seen", lambda seen: seen),
    lambda state: state.typed(int).get(),
    lambda state: state.typed(int).set(1),
    lambda state: state.typed(int).delete(),
    lambda state: state.typed(int).exists(),
]


@pytest.mark.parametrize("use", USES)
def test_without_an_ordering_key_there_is_none(
    before: Before, use: Callable[[State], object]
) -> None:
    with pytest.raises(StateNeedsKeyError, match="this record has no ordering key") as raised:
        use(before.state(key=None))
    assert isinstance(raised.value, StreamjobsError)
    assert not before.writes


def test_the_empty_key_is_a_key(before: Before) -> None:
    before.state(key=b"").set("seen", 1)
    assert before.state(key=b"").get("seen") == 1


@pytest.mark.parametrize("use", USES)
def test_without_a_declaration_there_is_none(use: Callable[[State], object]) -> None:
    with pytest.raises(StateNotDeclaredError, match="add state=True to its decorator"):
        use(UnusableState(not_declared("count")))


def test_a_store_that_is_not_declared_is_named() -> None:
    assert str(not_declared("count", "carts")) == (
        "'count' uses state and declares none: add state=['carts'] to its decorator"
    )
    assert str(not_declared("count", "carts", ["users", "default"])) == (
        "'count' has no store 'carts'; it declares 'default', 'users'"
    )
    assert "no store 'default'; it declares 'users'" in str(not_declared("count", None, ["users"]))


# Any sequence of these equals a dict.

NAMES = st.sampled_from(["a", "b", '"|"'])
KEYS = st.sampled_from([b"ada", b"", b'ada|"a"'])
VALUES = st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
Model = dict[tuple[bytes, str], tuple[Any, float]]


class StateMachine(RuleBasedStateMachine):
    """Attempts of three keys, some of which fail."""

    @initialize()
    def begin(self) -> None:
        self.before = Before()
        self.kept: Model = {}
        self.seen: Model = {}

    @rule(key=KEYS, name=NAMES, value=VALUES, ttl=st.none() | st.floats(0.001, 10))
    def put(self, key: bytes, name: str, value: Any, ttl: float | None) -> None:
        self.before.state(key).set(name, value, ttl)
        until = float("inf") if ttl is None else self.before.now + ttl
        self.seen[key, name] = value, until

    @rule(key=KEYS, name=NAMES)
    def delete(self, key: bytes, name: str) -> None:
        self.before.state(key).delete(name)
        self.seen.pop((key, name), None)

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.before.now += seconds

    @rule()
    def succeed(self) -> None:
        self.before.succeed()
        self.kept = dict(self.seen)

    @rule()
    def fail(self) -> None:
        self.before.writes.clear()
        self.seen = dict(self.kept)

    @rule(key=KEYS, name=NAMES)
    def read(self, key: bytes, name: str) -> None:
        state = self.before.state(key)
        value, until = self.seen.get((key, name), (None, 0.0))
        if abs(until - self.before.now) < 0.002:
            return  # times are rounded to milliseconds
        alive = until > self.before.now
        assert state.exists(name) == alive
        assert state.get(name, "missing") == (value if alive else "missing")

    @invariant()
    def writes_are_of_this_attempt_alone(self) -> None:
        assert set(self.before.writes) >= {
            b'%b|"%b"' % (key, name.replace('"', '\\"').encode())
            for key, name in self.seen.keys() ^ self.kept.keys()
        }


TestState = StateMachine.TestCase
TestState.settings = settings(stateful_step_count=30)
