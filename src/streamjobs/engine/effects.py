"""What one successful attempt did. Nothing of a failed attempt is kept."""

from __future__ import annotations

from streamjobs.broker.ports import Message

__all__ = ("Effects",)


class Effects:
    """Collected while an attempt runs, handed to the owner when it succeeded.

    Attributes:
        emits: records to write, in the order the handler emitted them.
    """

    __slots__ = ("emits",)

    def __init__(self) -> None:
        self.emits: list[Message] = []
