"""What the processes of one supervisor are called. The names are those of their transactions, so no
two processes may ever have the same.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from uuid import uuid4

__all__ = ("slot_names",)


def slot_names(instance: str | None, count: int) -> Sequence[str]:
    """One for each slot, numbered from 0.

    Where the app has no instance name they are drawn for this run. The host's name alone would not
    do: two containers may have the same, and two runs on one host always have.

    Example:
        >>> slot_names("shop", 2)
        ['shop-0', 'shop-1']
    """
    name = instance or f"{socket.gethostname()}-{uuid4().hex[:12]}"
    return [f"{name}-{slot}" for slot in range(count)]
