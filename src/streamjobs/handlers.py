"""What is chosen for one handler besides its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamjobs.engine.route import ExecutionKind
from streamjobs.errors import ConfigurationError
from streamjobs.failures.breaker import Breaker
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.policy import Handling
from streamjobs.policies import VirtualPartitions

__all__ = ("HandlerOptions", "execution_kind", "virtual_partitions_policy")


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """The choices of one handler.

    Attributes:
        kind: what runs it.
        handling: what is done about its failures.
        timeout: seconds one attempt may take; None for as long as it likes.
        virtual_partitions, dead_letter, breaker: the handler's word on what all handlers of its
            topic share; None leaves it to the others.
    """

    kind: ExecutionKind
    handling: Handling
    timeout: float | None = None
    virtual_partitions: VirtualPartitions | None = None
    dead_letter: DeadLetter | None = None
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError(f"timeout={self.timeout!r}: seconds, more than 0, or None")


def virtual_partitions_policy(given: VirtualPartitions | int | None) -> VirtualPartitions | None:
    """A number stands for a count."""
    if given is None or isinstance(given, VirtualPartitions):
        return given
    return VirtualPartitions(given)  # which refuses what is no number


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
