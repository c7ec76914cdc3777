"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ("AppName", "Broker", "LogFormat", "Verbose")

AppName = Annotated[
    str,
    typer.Argument(metavar="MODULE:APP", help="Where the app is, for example [b]accounts:app[/]."),
]
Broker = Annotated[
    str | None,
    typer.Option(
        help='Bootstrap address, or "embedded" for a Kafka inside this process. '
        "Else STREAMJOBS_BROKER, else what the app says.",
        metavar="HOST:PORT",
    ),
]


class LogFormatOption(StrEnum):
    """How log lines look."""

    console = "console"
    json = "json"


LogFormat = Annotated[
    LogFormatOption | None,
    typer.Option(help="Default: console on a terminal, json elsewhere.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Commits and other small things.")]
