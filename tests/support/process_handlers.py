"""Handlers that run in worker processes, which import this module to find them."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from streamjobs import App, Context, current_context
from streamjobs.errors import StreamjobsError

app = App("in-processes", broker="nowhere:9092")

initialized: list[int] = []


@app.process_initializer
def initialize() -> None:
    how = os.environ.get("STREAMJOBS_TEST_BROKEN_INITIALIZER")
    if how == "die":
        os._exit(9)
    if how:
        raise ValueError("broken")
    initialized.append(os.getpid())


class PlainError(Exception):
    """Comes over as it is."""


class DemandingError(StreamjobsError):
    """Its `__init__` does not take what `args` holds, so pickle alone cannot bring it over."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


@app.stream("in", value="str", process=True)
def obey(order: str, ctx: Context) -> None:
    """Do what the record says."""
    command, *words = order.split()
    COMMANDS[command](ctx, *words)


def nothing(ctx: Context) -> None:
    pass


def emit(ctx: Context, *values: str) -> None:
    for value in values:
        ctx.emit("out", value)


def tell(ctx: Context) -> None:
    """What is seen in here."""
    here = current_context()
    ctx.emit(
        "out",
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "initialized": initialized,
            "main thread": threading.current_thread() is threading.main_thread(),
            "same": here is ctx,
            "id": ctx.record.id,
            "key": (ctx.record.key or b"").decode(),
            "header": (ctx.record.header("name") or b"").decode(),
            "timestamp": ctx.record.timestamp,
            "attempt": ctx.attempt,
        },
    )


def fail(ctx: Context, kind: str) -> None:
    errors: dict[str, BaseException] = {
        "plain": PlainError("as it is"),
        "demanding": DemandingError(7, reason="it says so"),
        "local": _local_error()("of a function"),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "memory": MemoryError(),
    }
    raise errors[kind]


def _local_error() -> type[Exception]:
    class LocalError(Exception):
        """Nobody else can import it."""

    return LocalError


def unpicklable(ctx: Context) -> None:
    ctx.emit("out", "value", headers=[("name", threading.Lock())])  # type: ignore[list-item]


def sleep(ctx: Context, seconds: str) -> None:
    time.sleep(float(seconds))


def hang(ctx: Context, path: str) -> None:
    """Say that it began, then run for a minute without ever looking up."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def die(ctx: Context, how: str) -> None:
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.Signals[how])


def die_once(ctx: Context, path: str) -> None:
    if not Path(path).exists():
        Path(path).touch()
        os._exit(7)


def heed(ctx: Context, path: str) -> None:
    """Wait until told that it is over."""
    Path(path).touch()
    until = time.monotonic() + 20
    while not (ctx.revoked or ctx.stopping) and time.monotonic() < until:
        time.sleep(0.001)
    ctx.emit("out", {"revoked": ctx.revoked, "stopping": ctx.stopping})


def wait_for(ctx: Context, path: str) -> None:
    """Until another handler is there: with one process it would never end."""
    until = time.monotonic() + 20
    while not Path(path).exists():
        assert time.monotonic() < until
        time.sleep(0.001)


COMMANDS = {
    each.__name__.replace("_", "-"): each
    for each in (
        nothing,
        emit,
        tell,
        fail,
        unpicklable,
        sleep,
        hang,
        die,
        die_once,
        heed,
        wait_for,
    )
}
