"""One value of a state, as a type."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from streamjobs.state.entries import Stored, seal, unseal
from streamjobs.state.errors import StateValueError
from streamjobs.values import explain

if TYPE_CHECKING:
    from streamjobs.state.view import State

__all__ = ("TypedState",)

T = TypeVar("T")
D = TypeVar("D")


class TypedState(Generic[T]):
    """A value that is checked when it is set and when it is read.

    Example:
        >>> account = ctx.state.typed(Account)         # doctest: +SKIP
        >>> account.set(account.get(Account()).deposit(5))  # doctest: +SKIP
    """

    __slots__ = ("_adapter", "_name", "_state")

    def __init__(self, state: State, kind: Any, name: str | None = None) -> None:
        self._state = state
        self._adapter: TypeAdapter[T] = _adapter(kind)
        self._name = name or _name_of(kind)

    @overload
    def get(self) -> T | None: ...
    @overload
    def get(self, default: D) -> T | D: ...
    def get(self, default: Any = None) -> Any:
        """The value, or `default` if there is none or its `ttl` is over.

        Raises:
            StateError: as `State.get`; or what is there does not fit the type: give fields that
                were added a default.
        """
        value = self._state._live(self._name)
        if value is None:
            return default
        try:
            return self._adapter.validate_json(unseal(value).payload)
        except ValidationError as error:
            problem = StateValueError(
                f"it does not fit its type: {explain(error)}. Fields that were added need a default"
            )
            raise self._state._unreadable(self._name, problem) from None

    def set(self, value: T, ttl: float | None = None) -> None:
        """Keep a value, in place of the one before and of its `ttl`.

        Raises:
            TypeError: it is not of the type.
            StateError, ValueError: as `State.set`.
        """
        try:
            checked = self._adapter.validate_python(value)
            payload = self._adapter.dump_json(checked, warnings="error")
        except ValidationError as error:
            raise TypeError(f"state {self._name!r}: {explain(error)}") from None
        except PydanticSerializationError as error:
            raise TypeError(f"state {self._name!r}: {error}") from None
        stored = Stored(payload, expires=self._state._expiry(ttl))
        self._state._keep(self._name, seal(stored))

    def delete(self) -> None:
        """Remove it; if there is none, that is no error.

        Raises:
            StateError: as `State.delete`.
        """
        self._state.delete(self._name)

    def exists(self) -> bool:
        """Whether there is one.

        Raises:
            StateError: as `State.exists`.
        """
        return self._state.exists(self._name)

    def update(self, function: Callable[[T], T], default: T, ttl: float | None = None) -> T:
        """Set what `function` makes of the value (or of `default`), and return it.

        Raises:
            StateError, TypeError, ValueError: as `get` and `set`.
        """
        value = function(self.get(default))
        self.set(value, ttl)
        return value


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Making one costs more than all it does for a record."""
    return TypeAdapter(kind)


def _name_of(kind: Any) -> str:
    name = getattr(kind, "__name__", None) if isinstance(kind, type) else None
    if name is None:
        raise TypeError(f"state of type {kind} needs a name: state.typed({kind}, name=...)")
    return str(name)
