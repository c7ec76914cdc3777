"""What the owner before us left behind: how far it got, and whether a record killed it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from streamjobs.broker.ports import Assigned, TopicPartition
from streamjobs.engine import completion_map
from streamjobs.engine.completion_map import Runs, UnreadableMetadataError
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.notes import Notes, read_notes
from streamjobs.engine.quarantine import Quarantine
from streamjobs.engine.refusals import Refusals
from streamjobs.errors import PoisonRecordError

__all__ = ("Succession", "after_death")

CONVICTED_AFTER: Final = 2
"""Processes that have to die while a record runs alone: one could have been killed from outside."""


class Succession:
    """Reads what was committed, and draws the conclusions.

    Args:
        events: told of what cannot be read, and of suspects.
        refusals: whose emits the broker refuses.
        quarantine: where suspects go.
        suspect_after: how many owners in a row have to die at the same frontier; 0 for never.
    """

    def __init__(
        self, events: Events, refusals: Refusals, quarantine: Quarantine, suspect_after: int
    ) -> None:
        self._events = events
        self._refusals = refusals
        self._quarantine = quarantine
        self._suspect_after = suspect_after
        self._lost: dict[TopicPartition, Frozen | None] = {}

    def read(self, assigned: Assigned) -> tuple[Runs, Notes]:
        """What is complete above the frontier, and what is noted; nothing if it is unreadable."""
        if not assigned.metadata:
            return (), Notes()
        try:
            decoded = completion_map.decode(assigned.committed, assigned.metadata)
        except UnreadableMetadataError as error:
            self._events.unreadable(assigned.partition, assigned.committed, str(error))
            return (), Notes()
        return decoded.runs, read_notes(assigned.committed, decoded.fields)

    def lost(self, generation: Generation) -> None:
        """This one was lost without having ended in good order; nobody has died of it."""
        self._lost[generation.partition] = generation.committed

    def died(self, assigned: Assigned, notes: Notes) -> bool:
        """Whether the owner before us ended otherwise than in good order."""
        last = self._lost.pop(assigned.partition, None)
        was_ours = last is not None and last == (assigned.committed, assigned.metadata)
        return assigned.committed >= 0 and not notes.closed and not was_ours

    def begin(self, generation: Generation, notes: Notes, died: bool) -> None:
        """Records that must not be attempted, or only alone, are known from the start."""
        generation.refused.update(
            self._refusals.convicted(generation.partition, generation.ledger.frontier)
        )
        enough = self._suspect_after
        if died and notes.lonely_deaths >= CONVICTED_AFTER:
            _convict(generation, notes.accused)
        elif enough and (notes.lonely_deaths or notes.ends >= enough):
            self._events.suspected(generation, notes.ends)
            self._quarantine.admit(generation)


def after_death(notes: Notes) -> Notes:
    """What the owner before us would have noted, had it known how it ended."""
    if notes.trial is None:
        return replace(notes, ends=notes.ends + 1)
    again = notes.trial == notes.accused
    deaths = notes.lonely_deaths + 1 if again else 1
    return replace(
        notes, ends=notes.ends + 1, trial=None, accused=notes.trial, lonely_deaths=deaths
    )


def _convict(generation: Generation, offset: int) -> None:
    """Processes before us died while they ran nothing but this record."""
    generation.refused[offset] = PoisonRecordError(
        "processes died again and again with it, the last ones while they ran nothing else"
    )
