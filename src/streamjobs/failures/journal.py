"""What is known of one dead-letter partition: which of its letters are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, KeysView, Mapping
from enum import StrEnum

from streamjobs.broker.ports import TopicPartition
from streamjobs.failures.letters import Letter, NoLetterError, read_letter
from streamjobs.failures.marks import Intent, Mark, NoMarkError, Purged, Replayed, read_mark
from streamjobs.record import Record

__all__ = ("Journal", "LetterState", "Order")

Order = Callable[[Letter], Hashable | None]
"""What order a letter's record belongs to, as a value to compare; None if it has none."""


class LetterState(StrEnum):
    """What has become of a letter."""

    OPEN = "open"
    REPLAYING = "replaying"
    """Still open, and of a replay that has not ended, or was interrupted: nobody knows yet
    whether it was sent."""
    REPLAYED = "replayed"
    PURGED = "purged"


class Journal:
    """The letters and marks of one partition, in their order; a pure state machine that can be
    fed on and on. What it keeps grows with the letters that are open or purged, not with all.

    All who read the same records know the same, so this settles races, too: of two replays that
    take the same letter, the one whose intent stands first has it. The other intent counts for
    nothing, which its writer sees when it has read up to it.

    Args:
        order: for `holds`.

    Attributes:
        place: the dead-letter partition.
        next: the offset after the last record that was added.
        strangers: offsets of records that are neither letters nor marks, or damaged.
    """

    def __init__(self, place: TopicPartition, order: Order = lambda _: None) -> None:
        self.place = place
        self.next = 0
        self.strangers: list[int] = []
        self._order = order
        # In the order of their offsets: letters are added as they are read, and none comes back.
        self._open: dict[int, Hashable | None] = {}
        self._held: Counter[Hashable] = Counter()
        self._purged: set[int] = set()
        self._intents: dict[str, Intent] = {}
        self._taken: set[int] = set()

    def add(self, record: Record) -> Letter | None:
        """The next record of the partition. Returns the letter if it is one; one that was added
        before changes nothing.
        """
        if record.offset < self.next:
            return None
        self.next = record.offset + 1
        try:
            mark = read_mark(record)
            if mark is None:
                return self._add_letter(read_letter(record))
            self._add_mark(mark)
        except (NoLetterError, NoMarkError):
            self.strangers.append(record.offset)
        return None

    # -- what is known -----------------------------------------------------------------------

    @property
    def open(self) -> KeysView[int]:
        """The offsets of the letters that are neither replayed nor purged, ascending."""
        return self._open.keys()

    @property
    def intents(self) -> Mapping[str, Intent]:
        """What replays have begun and not ended, by their ids: at most one for each."""
        return self._intents

    def state(self, offset: int) -> LetterState:
        """What has become of the letter at this offset, which was added before."""
        if offset in self._taken:
            return LetterState.REPLAYING
        if offset in self._open:
            return LetterState.OPEN
        return LetterState.PURGED if offset in self._purged else LetterState.REPLAYED

    def holds(self, order: Hashable) -> bool:
        """Whether there is an open letter of this order."""
        return order in self._held

    @property
    def removable(self) -> int:
        """Records before this offset are of no use to anybody: no open letter is among them, none
        that a replay may still be sending, and nothing unknown. The marks about what stays stand
        behind what they are about, so they stay, too.
        """
        first_open = next(iter(self._open), self.next)
        return min([first_open, *self._taken, *self.strangers[:1]])

    # -- what happens ------------------------------------------------------------------------

    def _add_letter(self, letter: Letter) -> Letter:
        order = self._open[letter.offset] = self._order(letter)
        if order is not None:
            self._held[order] += 1
        return letter

    def _add_mark(self, mark: Mark) -> None:
        match mark:
            case Intent():
                self._begin(mark)
            case Replayed(replay, offsets):
                self._close(offsets)
                self._purged.difference_update(offsets)  # it was sent all the same
                if (intent := self._intents.pop(replay, None)) is not None:
                    self._taken.difference_update(intent.offsets)
            case Purged(offsets):
                self._purged.update(self._close(offsets))

    def _begin(self, intent: Intent) -> None:
        """Unless another one was first, or a letter is not open any more."""
        offsets = intent.offsets
        if (
            intent.replay not in self._intents
            and self._taken.isdisjoint(offsets)
            and all(offset in self._open for offset in offsets)
        ):
            self._intents[intent.replay] = intent
            self._taken.update(offsets)

    def _close(self, offsets: Collection[int]) -> list[int]:
        """These letters are not open any more; returns those that were."""
        closed = [offset for offset in offsets if offset in self._open]
        for offset in closed:
            order = self._open.pop(offset)
            if order is not None:
                self._held[order] -= 1
                if not self._held[order]:
                    del self._held[order]
        return closed
