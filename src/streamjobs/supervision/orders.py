"""What a supervisor says to its processes: a byte at a time, through a pipe to each. When the pipe
closes, the supervisor is gone.

Not by signals: one that comes before a process can take it would kill it, and a terminal or a
service manager that signals the whole group would make two of one.
"""

from __future__ import annotations

import signal
from enum import Enum
from typing import Final

__all__ = ("STOPPING", "Order")

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask for the end."""


class Order(bytes, Enum):
    """An order."""

    STOP = b"s"
    """End in good order, as a first signal would."""

    AT_ONCE = b"a"
    """Do not wait for handlers, as a second one would."""

    RESUME = b"r"
    """Close breakers, as SIGUSR1 would."""
