"""`streamjobs run`."""

from __future__ import annotations

from typing import Annotated

import typer

from streamjobs import logs
from streamjobs.cli.loading import load
from streamjobs.cli.options import AppName, Broker, LogFormat, Verbose
from streamjobs.runtime import Runtime

__all__ = ("run",)


def run(
    app: AppName,
    broker: Broker = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when everything on the topics is done.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Handlers at the same time on threads.")
    ] = None,
    instance: Annotated[
        str | None, typer.Option(help="A stable name of this process: its restart is no rebalance.")
    ] = None,
    log_format: LogFormat = None,
    verbose: Verbose = False,
) -> None:
    """Work on the app's topics until SIGTERM or Ctrl-C.

    Running handlers then get [b]shutdown_timeout[/] seconds; a second signal stops at once. What
    was not complete is delivered again.

    Exit codes: 0 all ended in good order; 1 error; 2 it never started; 3 handlers still ran when
    the time was over; 4 second signal.

    Example: [b]python -m streamjobs run accounts:app --threads 64[/]
    """
    logs.configure(log_format.value if log_format else None, verbose)
    loaded = load(app)
    loaded.override(broker=broker, threads=threads, instance=instance)
    try:
        code = Runtime(loaded).run(until_idle=until_idle)
    finally:
        loaded.close()
    raise typer.Exit(code)
