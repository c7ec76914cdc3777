"""All that is kept outside of the process for its partitions, and the gates that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Gate, Generation
from streamjobs.engine.kept import Kept, KeptCursors, KeptState
from streamjobs.engine.scheduler import Scheduler

__all__ = ("Keeping",)

_CURSORS: Final[Gate] = "cursors"
_LETTERS: Final[Gate] = "letters"
_STATE: Final[Gate] = "state"


class Keeping:
    """Used by the owner's thread.

    Args:
        cursors: how far long jobs have got.
        letters: which keys have letters that hold back what comes later.
        state: None where no handler has any.
    """

    def __init__(self, cursors: KeptCursors, letters: Kept, state: KeptState | None) -> None:
        self._cursors = cursors
        self._letters = letters
        self._state = state

    def load(self, generation: Generation, scheduler: Scheduler) -> None:
        """Nothing of this generation starts before all that is kept for it is read."""
        for gate, kept in self._concerned(generation):
            scheduler.close_gate(generation, gate)
            kept.load(generation)

    def turn(self, scheduler: Scheduler) -> None:
        """Write cursors that were saved, and open the gates of what has been read.

        Raises:
            BrokerUnavailableError, StateError: as `Kept.turn`.
        """
        for generation in scheduler.generations.values():
            if generation.cursors:
                self._cursors.write(generation.cursors.take())
        for gate, kept in self._all:
            for generation in kept.turn():
                if scheduler.is_current(generation):
                    scheduler.open_gate(generation, gate)

    def save_last_cursors(self, generations: Iterable[Generation], timeout: float) -> None:
        """The next owner has to find them."""
        saved = [each for generation in generations for each in generation.cursors.take()]
        if saved:
            self._cursors.write(saved)
            self._cursors.flush(timeout)

    def forget(self, generation: Generation) -> None:
        """This generation ended."""
        for _, kept in self._all:
            kept.forget(generation)

    def leave(self, partition: TopicPartition) -> None:
        """The partition goes to another process."""
        if self._state is not None:
            self._state.leave(partition)

    def close(self) -> None:
        """Let go of everything."""
        for _, kept in self._all:
            kept.close()

    @property
    def _all(self) -> Sequence[tuple[Gate, Kept]]:
        always: list[tuple[Gate, Kept]] = [(_CURSORS, self._cursors), (_LETTERS, self._letters)]
        return always if self._state is None else [*always, (_STATE, self._state)]

    def _concerned(self, generation: Generation) -> Iterable[tuple[Gate, Kept]]:
        route = generation.route
        wanted = {
            _CURSORS: True,
            _LETTERS: bool(route.sequenced_by),
            _STATE: bool(route.changelogs),
        }
        return [(gate, kept) for gate, kept in self._all if wanted[gate]]
