"""`streamjobs run`."""

from __future__ import annotations

from typing import Annotated

import typer

from streamjobs import logs
from streamjobs.cli.loading import load
from streamjobs.cli.options import AppName, Broker, LogFormat, Verbose
from streamjobs.cli.supervise import supervise
from streamjobs.runtime import Runtime
from streamjobs.supervision.leash import Leash

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
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Start so many processes that do this, and start those again that die. "
            "[b]--threads[/] and all else count for each of them. Default: this process does it.",
            show_default=False,
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            help="A stable name of this process: its restart is no rebalance. With "
            "[b]--processes[/] they are NAME-0, NAME-1, ..."
        ),
    ] = None,
    log_format: LogFormat = None,
    verbose: Verbose = False,
    slot: Annotated[str | None, typer.Option(hidden=True)] = None,
    leash: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Work on the app's topics until SIGTERM or Ctrl-C.

    Running handlers then get [b]shutdown_timeout[/] seconds; a second signal stops at once. What
    was not complete is delivered again. Signals go to the process that was started: with
    [b]--processes[/] it passes them on, and ends when all have ended.

    Exit codes: 0 all ended in good order; 1 error, or processes died again and again; 2 it never
    started; 3 handlers still ran when the time was over; 4 second signal. With [b]--processes[/]
    the worst of them.

    Example: [b]python -m streamjobs run accounts:app --threads 64 --processes 4[/]
    """
    held = None if leash is None else Leash(leash)
    logs.configure(log_format.value if log_format else None, verbose, slot)
    loaded = load(app)
    loaded.override(broker=broker, threads=threads, instance=instance)
    runtime = Runtime(loaded, slot=slot)
    if processes is not None:
        options = {
            "--broker": broker,
            "--threads": threads,
            "--until-idle": until_idle,
            "--log-format": log_format and log_format.value,
            "--verbose": verbose,
        }
        raise typer.Exit(supervise(app, loaded, processes, options))
    if held is not None:
        held.hold(runtime, loaded.settings.shutdown_timeout)
    try:
        code = runtime.run(until_idle=until_idle)
    finally:
        loaded.close()
    raise typer.Exit(code)
