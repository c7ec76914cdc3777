"""`streamjobs broker`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer
from rich.console import Console

from streamjobs.errors import ConfigurationError

__all__ = ("broker",)


def broker(
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="A topic to create, with its partitions: [b]clicks:8[/]. May be repeated; "
            "others are made with 4 partitions when they are first used.",
            metavar="NAME[:PARTITIONS]",
        ),
    ] = None,
) -> None:
    """Run a broker for trying things out, until Ctrl-C; prints its address.

    It is librdkafka's mock cluster: real sockets and protocol, nothing to install. It keeps about
    5 MB a partition in memory, has no transactions, and forgets everything when it ends.
    """
    from streamjobs.broker.embedded import EmbeddedCluster

    wanted = [_parse(each) for each in topic or []]
    asked_to_end = _signalled()
    cluster = EmbeddedCluster()
    try:
        for name, partitions in wanted:
            cluster.create_topic(name, partitions)
        typer.echo(cluster.address)
        Console(stderr=True).print(
            f"a broker for trying out: [b]STREAMJOBS_BROKER={cluster.address}[/] "
            "in other terminals; Ctrl-C ends it"
        )
        asked_to_end.wait()
    finally:
        cluster.close()


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    if not name or (count and not count.isdigit()) or count == "0":
        raise ConfigurationError(f"--topic {text!r}: write it as NAME or NAME:PARTITIONS")
    return name, int(count or 1)


def _signalled() -> threading.Event:
    """Set by SIGTERM and SIGINT. Asked for before the address is printed: who reads it may end
    us at once.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    return asked
