"""Hooks of your own around everything an app does: pairs of `before_...` and `after_...`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog

from streamjobs.broker.ports import Message
from streamjobs.engine.events import Fanout, Observer
from streamjobs.errors import ConfigurationError

if TYPE_CHECKING:
    from streamjobs.app import App
    from streamjobs.context import Context
    from streamjobs.receipts import Receipt

__all__ = ("Around", "Guarded", "Middleware")

log = structlog.get_logger("streamjobs")


class Middleware(Observer):
    """Override what you need, and give the object to `App(middleware=[...])`. The first one of
    several is the outermost: its `before_...` comes first, its `after_...` last.

    What raises around an enqueue is raised to the caller, and nothing is sent; what raises around
    an attempt fails that attempt; everything else that raises is logged, and the app goes on.

    Around attempts, hooks run where the handler runs (a thread, the event loop, a worker process),
    around enqueues where `enqueue` was called; all others in the owner's thread, which must not
    be kept waiting. The hooks that tell about the engine (`before_assign`, `after_commit`, ...,
    and what went wrong) are those of `Events`: the own logging and the guarantees use the same.

    Example:
        >>> class Timing(Middleware):
        ...     def before_attempt(self, ctx):
        ...         ctx.notes["began"] = time.perf_counter()
        ...
        ...     def after_attempt(self, ctx, error):
        ...         seconds.observe(time.perf_counter() - ctx.notes["began"])
    """

    @property
    def stands_around_attempts(self) -> bool:
        """Whether it has anything to do there: what nobody overrides costs nothing."""
        kind = type(self)
        return (
            kind.before_attempt is not Middleware.before_attempt
            or kind.after_attempt is not Middleware.after_attempt
        )

    def before_start(self, app: App) -> None:
        """A process is about to work on the app's topics."""

    def after_start(self, app: App) -> None:
        """It has everything it needs, and asks for partitions from now on."""

    def before_stop(self, app: App) -> None:
        """It takes nothing new; what runs gets `shutdown_timeout` seconds."""

    def after_stop(self, app: App) -> None:
        """It has left its group."""

    def before_enqueue(self, message: Message) -> Message:
        """A call of a job is about to be written; returns what to write (add headers with
        `message._replace(headers=[*message.headers, ...])`).
        """
        return message

    def after_enqueue(self, message: Message, receipt: Receipt) -> None:
        """It is on its way; the receipt says when it has arrived."""

    def before_attempt(self, ctx: Context) -> None:
        """A handler is about to be called."""

    def after_attempt(self, ctx: Context, error: BaseException | None) -> None:
        """It has returned, or raised. Called whenever `before_attempt` was."""


class Around:
    """All middleware of an app, the first one outermost."""

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        for each in middleware:
            if not isinstance(each, Middleware):
                raise ConfigurationError(
                    f"App(middleware=...) takes objects of Middleware, not {each!r}"
                )
        self._all = middleware
        self._around_attempts = [each for each in middleware if each.stands_around_attempts]

    def __bool__(self) -> bool:
        """Whether any stands around attempts: an app without pays nothing."""
        return bool(self._around_attempts)

    def call(self, ctx: Context, attempt: Callable[[], object]) -> None:
        """Stand around an attempt, in a copy of the context: what it changes there ends with it."""
        copy_context().run(self._call, ctx, attempt)

    async def call_async(self, ctx: Context, attempt: Callable[[], Awaitable[object]]) -> None:
        """The same for an attempt that is awaited."""

        async def run() -> None:
            with self._attempt(ctx):
                await attempt()

        await asyncio.get_running_loop().create_task(run(), context=copy_context())

    def _call(self, ctx: Context, attempt: Callable[[], object]) -> None:
        with self._attempt(ctx):
            attempt()

    @contextmanager
    def _attempt(self, ctx: Context) -> Iterator[None]:
        entered: list[Middleware] = []
        error: BaseException | None = None
        try:
            for each in self._around_attempts:
                each.before_attempt(ctx)
                entered.append(each)
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            _leave(entered, ctx, error)

    def before_enqueue(self, message: Message) -> Message:
        """What is to be written in place of this."""
        for each in self._all:
            message = each.before_enqueue(message)
        return message

    def after_enqueue(self, message: Message, receipt: Receipt) -> None:
        """Tell all of them."""
        for each in reversed(self._all):
            each.after_enqueue(message, receipt)


def _leave(entered: list[Middleware], ctx: Context, error: BaseException | None) -> None:
    """Each one gets its turn, even if another one raises."""
    if entered:
        try:
            entered.pop().after_attempt(ctx, error)
        finally:
            _leave(entered, ctx, error)


class Guarded(Fanout):
    """Logs what a hook raises, and goes on: the owner's loop must not end with it."""

    def __init__(self, app: App, middleware: Sequence[Middleware]) -> None:
        super().__init__(*middleware)
        self._app = app

    def before_start(self) -> None:
        """A process is about to work."""
        self._tell("before_start", self._app)

    def after_start(self) -> None:
        """It has everything it needs."""
        self._tell("after_start", self._app)

    def before_stop(self) -> None:
        """It takes nothing new."""
        self._tell("before_stop", self._app)

    def after_stop(self) -> None:
        """It has left its group."""
        self._tell("after_stop", self._app)

    def _tell(self, name: str, *arguments: object) -> None:
        inwards = not name.startswith("after_")
        for each in self._listeners if inwards else reversed(self._listeners):
            try:
                getattr(each, name)(*arguments)
            except Exception:
                log.exception("a middleware raised; the app goes on", hook=name)
