"""What all guarantees have in common: they see events, keep the first violation, explain it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import ClassVar

from streamjobs.broker.ports import TopicPartition
from streamjobs.errors import StreamjobsError
from streamjobs.testing.history import Accepted, Event

__all__ = ("Guarantee", "GuaranteeViolatedError")

_LONGEST = 40


class GuaranteeViolatedError(StreamjobsError, AssertionError):
    """A promise did not hold.

    Attributes:
        guarantee: the name of the promise.
        history: the events that explain it, in order, the last one being the violation.
    """

    def __init__(self, guarantee: str, claim: str, history: list[Event]) -> None:
        self.guarantee = guarantee
        self.claim = claim
        self.history = history
        lines = [f"{guarantee} does not hold: {claim}", *map(_line, history)]
        super().__init__("\n  ".join(lines))


class Guarantee(ABC):
    """One promise. Show it events with `see` (or a whole history with `watch`), then `check`."""

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__

    def __init__(self) -> None:
        self._seen: list[Event] = []
        self._violation: GuaranteeViolatedError | None = None

    def watch(self, events: Iterable[Event]) -> None:
        """See all of these."""
        seen, judge = self._seen, self.judge
        for event in events:
            if self._violation is not None:
                return
            seen.append(event)
            judge(event)

    def see(self, event: Event) -> None:
        """One more event, not earlier than those before it."""
        if self._violation is None:
            self._seen.append(event)
            self.judge(event)

    def check(self) -> None:
        """Say whether the promise held so far.

        Raises:
            GuaranteeViolatedError: the first violation and what led to it.
        """
        if self._violation is None:
            self.conclude()
        if self._violation is not None:
            raise self._violation

    @abstractmethod
    def judge(self, event: Event) -> None:
        """Take an event in; call `violated` if it breaks the promise."""

    def conclude(self) -> None:  # noqa: B027  # most promises are broken by an event, or kept
        """The history ends here: call `violated` if something is missing."""

    def violated(self, claim: str, about: Callable[[Event], bool], *, last: int = _LONGEST) -> None:
        """The promise is broken; `about` picks the events which explain that."""
        relevant = [event for event in self._seen if about(event)]
        self._violation = GuaranteeViolatedError(self.name, claim, relevant[-last:])


def concerns(partition: TopicPartition, offsets: Iterable[int]) -> Callable[[Event], bool]:
    """Events about these records, and about the partition as a whole."""
    wanted = set(offsets)

    def about(event: Event) -> bool:
        if isinstance(event, Accepted):
            return False
        at = getattr(event, "partition", None)
        if at is None:
            return True
        offset = getattr(event, "offset", None)
        return bool(at == partition) and (offset is None or offset in wanted)

    return about


def _line(event: Event) -> str:
    parts = [
        f"{field.name}={value!s}"
        for field in fields(event)
        if field.name != "at"
        for value in (getattr(event, field.name),)
        if value is not None or field.default is not None  # what is not known by default
    ]
    return f"{event.at:10.3f}  {type(event).__name__:<9} {' '.join(parts)}"
