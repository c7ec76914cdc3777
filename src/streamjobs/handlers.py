"""What is chosen for one handler besides its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamjobs.engine.route import ExecutionKind
from streamjobs.errors import ConfigurationError
from streamjobs.failures.breaker import Breaker
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import Handling
from streamjobs.policies import VirtualPartitions, is_number
from streamjobs.state.changelog import DEFAULT_STORE, check_name

__all__ = (
    "HandlerOptions",
    "check_policies",
    "execution_kind",
    "store_names",
    "virtual_partitions_policy",
)


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """The choices of one handler.

    Attributes:
        kind: what runs it.
        handling: what is done about its failures.
        timeout: seconds one attempt may take; None for as long as it likes.
        stores: the names of the stores it may use.
        virtual_partitions, dead_letter, breaker: the handler's word on what all handlers of its
            topic share; None leaves it to the others.
    """

    kind: ExecutionKind
    handling: Handling
    timeout: float | None = None
    stores: Sequence[str] = ()
    virtual_partitions: VirtualPartitions | None = None
    dead_letter: DeadLetter | None = None
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and (not is_number(self.timeout) or not self.timeout > 0):
            raise ConfigurationError(f"timeout={self.timeout!r}: seconds, more than 0, or None")
        check_policies(self.dead_letter, self.breaker)


def store_names(state: bool | str | Sequence[str]) -> Sequence[str]:
    """What `state=` declares.

    Raises:
        ConfigurationError: a name that no topic and no path can have.
    """
    if isinstance(state, bool):
        return (DEFAULT_STORE,) if state else ()
    names = (state,) if isinstance(state, str) else tuple(state)
    for name in names:
        check_name("a store", name)
    return names


def virtual_partitions_policy(given: VirtualPartitions | int | None) -> VirtualPartitions | None:
    """A number stands for a count."""
    if given is None or isinstance(given, VirtualPartitions):
        return given
    return VirtualPartitions(given)  # which refuses what is no number


def check_policies(dead_letter: object, breaker: object) -> None:
    """Refuse what is given in place of a policy.

    Raises:
        ConfigurationError: names what it takes.
    """
    if dead_letter is not None and not isinstance(dead_letter, DeadLetter):
        raise ConfigurationError(f"dead_letter={dead_letter!r}: a DeadLetter(...)")
    if breaker is not None and not isinstance(breaker, Breaker):
        raise ConfigurationError(f"breaker={breaker!r}: a Breaker(...)")


def execution_kind(function: Callable[..., Any], *, inline: bool, process: bool) -> ExecutionKind:
    """What runs a function.

    Raises:
        ConfigurationError: nothing can, or it cannot be run as asked for.
    """
    name = function.__name__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{name} is a generator function: calling it runs nothing of it. Use "
            "ctx.emit (or current_context().emit) in place of yield"
        )
    is_async = inspect.iscoroutinefunction(function)
    if inline and process:
        raise ConfigurationError(f"{name}: inline=True and process=True exclude each other")
    if is_async and (inline or process):
        raise ConfigurationError(
            f"{name} is a coroutine function; "
            f"{'inline' if inline else 'process'}=True takes a plain one"
        )
    if inline:
        return "inline"
    if process:
        _refuse_what_no_process_finds(function)
        return "processes"
    return "asyncio" if is_async else "threads"


def _refuse_what_no_process_finds(function: Callable[..., Any]) -> None:
    """A worker process imports the module, and looks the function up by its name.

    Raises:
        ConfigurationError: it would not find it.
    """
    qualified = function.__qualname__
    if "<lambda>" in qualified or "<locals>" in qualified:
        raise ConfigurationError(
            f"{function.__module__}.{qualified} cannot run with process=True: a worker process "
            "imports the module and would not find it there. Define it with `def` at the top of "
            "a module"
        )
