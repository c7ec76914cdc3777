"""What a handler gets: the state of its record's ordering key, as one attempt sees it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeVar

from streamjobs.state.changelog import DEFAULT_STORE, OVERHEAD, check_size
from streamjobs.state.codec import decode, encode, expiry
from streamjobs.state.entries import FIRST_MARK, entry_key, has_expired
from streamjobs.state.errors import (
    StateError,
    StateNeedsKeyError,
    StateNotDeclaredError,
    StateValueError,
)
from streamjobs.state.typed import TypedState

__all__ = ("State", "UnusableState", "not_declared")

T = TypeVar("T")

Read = Callable[[bytes], bytes | None]
"""The value of a key of the store, before this attempt."""


class State:
    """Values by name, of one ordering key. Changes are kept if the attempt succeeds.

    A name is any text. A value is bytes or anything with a JSON form, and comes back as JSON has
    it: a tuple as a list, a model as a dict (see `typed`), NaN as None. What `get` returned is a
    copy: after a change, `set` it again.

    Args:
        key: the ordering key.
        read: what earlier attempts left, by the entry's key in the store.
        writes: what this attempt changes goes in here, by the same keys; None deletes.
        now: seconds since 1970.
        max_message_bytes: the most that a changelog record may have.
    """

    __slots__ = ("_key", "_limit", "_now", "_read", "_writes")

    def __init__(
        self,
        key: bytes | None,
        read: Read,
        writes: dict[bytes, bytes | None],
        now: Callable[[], float] = time.time,
        max_message_bytes: int = sys.maxsize,
    ) -> None:
        self._key = key
        self._read = read
        self._writes = writes
        self._now = now
        self._limit = max_message_bytes

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default` if there is none or its `ttl` is over.

        Raises:
            StateError: there is no state here, or it cannot be read; says why.
        """
        return self._value(name, self._address(name), default)

    def set(self, name: str, value: Any, ttl: float | None = None) -> None:
        """Keep a value, in place of the one before and of its `ttl`.

        Args:
            name: what it is called.
            value: bytes, or anything with a JSON form. None is a value, too.
            ttl: the seconds after which it is gone; None for never.

        Raises:
            StateError: there is no state here, or the value is too large; says why.
            TypeError: the value has no JSON form, or the name is no text.
            ValueError: `ttl` is no number above 0.
        """
        self._write(self._address(name), encode(value, self._expiry(ttl)))

    def delete(self, name: str) -> None:
        """Remove a value; if there is none, that is no error.

        Raises:
            StateError: there is no state here; says why.
        """
        self._writes[self._address(name)] = None

    def exists(self, name: str) -> bool:
        """Whether there is a value, be it None.

        Raises:
            StateError: as `get`.
        """
        return self._live(name) is not None

    def update(
        self,
        name: str,
        function: Callable[[Any], Any],
        default: Any = None,
        ttl: float | None = None,
    ) -> Any:
        """Set what `function` makes of the value (or of `default`), and return it.

        Raises:
            StateError, TypeError, ValueError: as `get` and `set`.

        Example:
            >>> state = State(b"ada", {}.get, {})
            >>> state.update("seen", lambda seen: seen + 1, default=0)
            1
        """
        key = self._address(name)
        value = function(self._value(name, key, default))
        self._write(key, encode(value, self._expiry(ttl)))
        return value

    def typed(self, kind: type[T], name: str | None = None) -> TypedState[T]:
        """One value as a pydantic model, a dataclass or another type.

        Args:
            kind: its type.
            name: what it is called in here; the type's name if left out. Renaming the type leaves
                the old value without a reader: give the old name here.

        Raises:
            TypeError: pydantic cannot handle this type, or it has no name of its own.

        Example:
            >>> state = State(b"ada", {}.get, {})
            >>> seen = state.typed(int, "seen")
            >>> seen.set(seen.get(0) + 1)
            >>> state.get("seen")
            1
        """
        return TypedState(self, kind, name)

    # For `TypedState`, which has its own way from values to JSON and back.

    def _live(self, name: str) -> bytes | None:
        return self._live_at(self._address(name))

    def _keep(self, name: str, value: bytes) -> None:
        self._write(self._address(name), value)

    # By the entry's key: what a record with state needs twice is made once.

    def _live_at(self, key: bytes) -> bytes | None:
        writes = self._writes
        value = writes[key] if key in writes else self._read(key)
        if not value or value[0] < FIRST_MARK:
            return value
        return None if has_expired(value, self._now()) else value

    def _value(self, name: str, key: bytes, default: Any) -> Any:
        value = self._live_at(key)
        if value is None:
            return default
        try:
            return decode(value)
        except StateValueError as error:
            raise self._unreadable(name, error) from None

    def _write(self, key: bytes, value: bytes) -> None:
        if len(key) + len(value) > self._limit - OVERHEAD:
            check_size(key, value, self._limit)
        self._writes[key] = value

    def _expiry(self, ttl: float | None) -> int:
        return 0 if ttl is None else expiry(self._now(), ttl)

    def _unreadable(self, name: str, error: StateValueError) -> StateValueError:
        return StateValueError(f"state {name!r} of key {self._key!r}: {error}")

    def _address(self, name: str) -> bytes:
        if self._key is None:
            raise StateNeedsKeyError(
                f"state {name!r}: this record has no ordering key, and state belongs to one. Give "
                "the record a key where it is written, or VirtualPartitions(partitioner=...) that "
                "returns one"
            )
        return entry_key(self._key, name)


class UnusableState(State):
    """Stands where a handler may not have state: any use of it raises this error."""

    __slots__ = ("_error",)

    def __init__(self, error: StateError) -> None:
        super().__init__(None, _nothing, {})
        self._error = error

    def _address(self, name: str) -> NoReturn:
        raise self._error


def _nothing(key: bytes) -> None:
    return None


def not_declared(
    handler: str, store: str | None = None, declared: Collection[str] = ()
) -> StateNotDeclaredError:
    """What a handler is told that uses a store (None: the default one) it did not declare."""
    if declared:
        return StateNotDeclaredError(
            f"{handler!r} has no store {store or DEFAULT_STORE!r}; it declares "
            f"{', '.join(map(repr, sorted(declared)))}"
        )
    missing = "True" if store is None else f"[{store!r}]"
    return StateNotDeclaredError(
        f"{handler!r} uses state and declares none: add state={missing} to its decorator"
    )
