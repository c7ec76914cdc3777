"""Exceptions that cross from one process to another, with the traceback they had there."""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from streamjobs.errors import RemoteError

__all__ = ("PackedError", "RemoteTraceback", "pack_error", "unpack_error")

_MAIN: Final = {"__mp_main__": "__main__"}
"""What a program is called in its worker processes, and at home."""


class PackedError(NamedTuple):
    """An exception as values: pickled where it can be, and what to say where it cannot."""

    pickled: bytes | None
    name: str
    message: str
    trace: str


class RemoteTraceback(Exception):
    """The cause of an exception that came from another process: where it was raised there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


def pack_error(error: BaseException) -> PackedError:
    """Make it ready to travel. Does not raise."""
    return PackedError(
        next(_pickles(error), None),
        type(error).__name__,
        _text(error),
        "".join(traceback.format_exception(error)),
    )


def unpack_error(packed: PackedError) -> BaseException:
    """The same exception, with its traceback as its cause; or where its class does not allow
    that, a `RemoteError` whose class has the same name.
    """
    error: BaseException | None = None
    if packed.pickled is not None:
        try:
            error = _Unpickler(io.BytesIO(packed.pickled)).load()
        except Exception:  # its class cannot be imported here
            error = None
    if not isinstance(error, BaseException):
        error = type(packed.name, (RemoteError,), {"__module__": __name__})(packed.message)
    error.__cause__ = RemoteTraceback(packed.trace)
    return error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MAIN.get(module, module), name)


def _pickles(error: BaseException) -> Iterator[bytes]:
    """Ways to pickle it that give back an equal exception, the best one first."""
    ways: list[Callable[[], Any]] = [lambda: error, lambda: _Bare(error)]
    for way in ways:
        try:
            pickled = pickle.dumps(way(), 5)
            copy = pickle.loads(pickled)
            if type(copy) is type(error) and str(copy) == str(error):
                yield pickled
        except Exception:
            continue


class _Bare:
    """An exception whose `__init__` does not take what `args` holds, the usual reason why one
    cannot be pickled: it is made again without calling that, from its parts that can be.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._error
        state = {name: value for name, value in vars(error).items() if _can_be_pickled(value)}
        return _remake, (type(error), tuple(filter(_can_be_pickled, error.args)), state)


def _remake(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value, 5))
    except Exception:
        return False
    return True


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"
