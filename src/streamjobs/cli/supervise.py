"""`streamjobs run --processes`: from the options to a supervisor, and to each process's command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Final

from streamjobs.app import App
from streamjobs.errors import ConfigurationError
from streamjobs.exit_codes import ExitCode
from streamjobs.supervision.names import slot_names
from streamjobs.supervision.restarts import Restarts
from streamjobs.supervision.slot import Slot
from streamjobs.supervision.supervisor import Supervisor

__all__ = ("supervise",)

Options = Mapping[str, str | int | bool | None]

SEARCH: Final = 7
"""Deaths, beyond `suspect_after`, that finding a record which kills its process may take."""


def supervise(name: str, app: App, processes: int, options: Options) -> ExitCode:
    """Run so many processes until all have ended.

    Args:
        name: what `app` is called on the command line.
        app: the app as this process has loaded it, for its settings.
        processes: how many.
        options: what each process is given; None and False leave one out.

    Raises:
        ConfigurationError: other processes cannot run this app.
    """
    app.close()  # if its module has written something while it was imported
    settings = app.settings
    _check_broker(app)
    command = [sys.executable, "-m", "streamjobs", "run", name, *_arguments(options)]
    slots = []
    for slot in slot_names(settings.instance, processes):
        named = ["--instance", slot] if settings.instance else []
        slots.append(Slot(slot, [*command, *named]))
    restarts = Restarts(limit=settings.suspect_after + SEARCH)
    return Supervisor(
        slots, restarts, settings.shutdown_timeout, until_idle=bool(options["--until-idle"])
    ).run()


def _check_broker(app: App) -> None:
    if app.settings.broker == "embedded":
        raise ConfigurationError(
            "--processes: an embedded broker lives inside one process, so each would have its own. "
            "Start one for all with `python -m streamjobs broker`, and set STREAMJOBS_BROKER to it"
        )
    if app.broker_address is None:
        raise ConfigurationError(
            "--processes: the app's broker is an object in the memory of one process. Give it an "
            "address: App(broker=...), STREAMJOBS_BROKER or --broker"
        )


def _arguments(options: Options) -> Iterator[str]:
    for name, value in options.items():
        if value is True:
            yield name
        elif value:
            yield name
            yield str(value)
