"""`streamjobs resume`."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from streamjobs.errors import StreamjobsError

__all__ = ("resume",)


def resume(
    pid: Annotated[int, typer.Argument(help="The process; its log says it with the breaker.")],
) -> None:
    """Close the open breakers of a running app, so that it goes on.

    Sends it SIGUSR1, which works from the same machine (or container) only. An app that has no
    open breaker takes no notice.

    Example: [b]python -m streamjobs resume 4711[/]
    """
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        raise StreamjobsError(f"there is no process {pid} here") from None
    except PermissionError:
        raise StreamjobsError(f"process {pid} belongs to somebody else") from None
