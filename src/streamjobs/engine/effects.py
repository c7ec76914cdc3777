"""What one successful attempt did. Nothing of a failed attempt is kept."""

from __future__ import annotations

from streamjobs.broker.ports import Message
from streamjobs.record import Record

__all__ = ("Effects", "Waiting")


class Effects:
    """Collected while an attempt runs, handed to the owner when it succeeded.

    Attributes:
        emits: records to write, in the order the handler emitted them.
        changes: of state, by store.
    """

    __slots__ = ("changes", "emits")

    def __init__(self) -> None:
        self.emits: list[Message] = []
        self.changes: dict[str, dict[bytes, bytes | None]] = {}


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
