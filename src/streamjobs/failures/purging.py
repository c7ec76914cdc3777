"""Giving dead letters up for good."""

from __future__ import annotations

from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.failures.letterbox import Chosen, Letterbox
from streamjobs.failures.marks import Purged
from streamjobs.failures.sender import Sender, note

__all__ = ("purge", "removable")

BATCH: Final = 5_000
"""Offsets in one mark: it has to fit into a Kafka record."""


def purge(box: Letterbox, sender: Sender, chosen: Chosen) -> None:
    """Mark these letters as purged: no replay sends them any more."""
    for place, offsets in chosen.items():
        for start in range(0, len(offsets), BATCH):
            note(box, sender, place, Purged(offsets[start : start + BATCH]))


def removable(box: Letterbox) -> dict[TopicPartition, int]:
    """The partitions that begin with records of no use to anybody, and where those end."""
    return {
        place: journal.removable
        for place, journal in box.journals.items()
        if journal.removable > box.ranges[place].start
    }
