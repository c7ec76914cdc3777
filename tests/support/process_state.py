"""Handlers with state in worker processes, which import this module to find them."""

import os
import time
from collections.abc import Callable

from streamjobs import App, Context

app = App("state-in-processes", broker="nowhere:9092")


@app.stream("orders", value="str", process=True, state=["default", "other"])
def obey(order: str, ctx: Context) -> None:
    """Do what the record says, word by word."""
    for word in order.split():
        command, *names = word.split(":")
        COMMANDS[command](ctx, *names)


def count_up(ctx: Context, name: str) -> None:
    ctx.emit("out", {name: ctx.state.update(name, lambda n: n + 1, default=0)})


def read(ctx: Context, name: str, store: str = "default") -> None:
    ctx.emit("out", {name: ctx.store(store).get(name)})


def look(ctx: Context, name: str) -> None:
    """Read and do nothing about it."""
    ctx.state.get(name)


def write(ctx: Context, name: str, value: str, store: str = "default") -> None:
    ctx.store(store).set(name, value)


def delete(ctx: Context, name: str) -> None:
    ctx.state.delete(name)


def measure(ctx: Context, name: str) -> None:
    ctx.emit("out", len(ctx.state.get(name, b"")))


def fail(ctx: Context) -> None:
    raise ValueError("as it was told")


def die(ctx: Context) -> None:
    os._exit(7)


def pause(ctx: Context) -> None:
    """Long enough for what is done to be reported before the next record."""
    time.sleep(0.06)


COMMANDS: dict[str, Callable[..., None]] = {
    "count": count_up,
    "read": read,
    "look": look,
    "write": write,
    "delete": delete,
    "measure": measure,
    "fail": fail,
    "die": die,
    "pause": pause,
}
