"""What one successful attempt did. Nothing of a failed attempt is kept."""

from __future__ import annotations

from typing import Any

from streamjobs.broker.ports import Message
from streamjobs.record import Record

__all__ = ("Effects", "Waiting")


class Effects:
    """Collected while an attempt runs, handed to the owner when it succeeded.

    Attributes:
        emits: records to write, in the order the handler emitted them.
        changes: of state, by store.
        flows: values, with key, timestamp and headers, for the operators of a pipeline behind the
            handler; None where there are none.
        sinks: what its operators have for sinks; None where that is nothing.
    """

    __slots__ = ("changes", "emits", "flows", "sinks")

    def __init__(self) -> None:
        self.emits: list[Message] = []
        self.changes: dict[str, dict[bytes, bytes | None]] = {}
        self.flows: list[tuple[Any, Any, int, Any]] | None = None
        self.sinks: list[Any] | None = None


class Waiting:
    """A record that is over, and how many acknowledgements it still waits for; `alone` while
    nothing else is on its way.
    """

    __slots__ = ("alone", "error", "left", "record")

    def __init__(self, record: Record, left: int) -> None:
        self.record = record
        self.left = left
        self.alone = False
        self.error: str | None = None
