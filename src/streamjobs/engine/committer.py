"""What is told to the broker, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamjobs.broker.ports import Commit, CommitResult
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen

__all__ = ("Committer",)

UNANSWERED: Final = 30.0
"""Seconds without an answer after which a commit counts as failed. It may have been applied:
committing later progress over it is right either way."""


class Committer:
    """Freezes what changed, one commit at a time on its way. A generation stays dirty until the
    broker acknowledged what was frozen.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._on_its_way: dict[Generation, Frozen] = {}
        self._sent: set[Commit] = set()
        self._last: dict[Generation, Frozen] = {}
        self._deadline = 0.0

    def freeze(self, generations: Iterable[Generation], now: float) -> list[Commit]:
        """What to commit now; nothing while an earlier commit waits for its answer."""
        if self._on_its_way:
            if now < self._deadline:
                return []
            self._give_up("no answer")
        for generation in generations:
            if generation.dirty:
                generation.dirty = False
                frozen = generation.freeze()
                if frozen != generation.committed:
                    self._on_its_way[generation] = frozen
        self._deadline = now + UNANSWERED
        commits = _commits(self._on_its_way.items())
        self._sent = set(commits)
        return commits

    def freeze_last(self, generations: Iterable[Generation]) -> list[Commit]:
        """What to commit before these generations end, whatever is on its way."""
        frozen = [(generation, generation.freeze(closed=True)) for generation in generations]
        self._last = {each: last for each, last in frozen if last != each.committed}
        return _commits(self._last.items())

    def answered(self, result: CommitResult) -> None:
        """The broker's answer to what `freeze` returned; one to an earlier commit, which was given
        up meanwhile, says nothing about this one.
        """
        if set(result.commits) != self._sent:
            return
        if result.error is not None:
            self._give_up(result.error)
            return
        for generation, frozen in self._on_its_way.items():
            generation.committed = frozen
        acknowledged, self._on_its_way = self._on_its_way, {}
        self._events.after_commit(acknowledged)

    def answered_last(self, result: CommitResult) -> None:
        """The broker's answer to what `freeze_last` returned."""
        if result.error is None:
            for generation, frozen in self._last.items():
                generation.committed = frozen
            self._events.after_commit(self._last)
        else:
            self._events.commit_failed(result.commits, result.error)

    def forget(self, generation: Generation) -> None:
        """This generation ended; an answer that still comes says nothing about its successor."""
        self._on_its_way.pop(generation, None)

    def _give_up(self, reason: str) -> None:
        commits = _commits(self._on_its_way.items())
        for generation in self._on_its_way:
            generation.dirty = True
        self._on_its_way.clear()
        self._sent.clear()
        self._events.commit_failed(commits, reason)


def _commits(frozen: Iterable[tuple[Generation, Frozen]]) -> list[Commit]:
    return [Commit(each.partition, last.frontier, last.metadata) for each, last in frozen]
