"""A slice: records of one virtual partition, handed to a worker to run one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from streamjobs.engine.effects import Effects
from streamjobs.engine.orders import Order
from streamjobs.record import Record

if TYPE_CHECKING:
    from streamjobs.engine.generation import Generation
    from streamjobs.engine.store_views import StoreView
    from streamjobs.engine.virtual_partition import VirtualPartition

__all__ = ("RUNNING", "Slice")

FAILURES: Final = 4
"""Failed records after which a slice ends."""

RUNNING: ContextVar[Slice | None] = ContextVar("streamjobs_running", default=None)
"""The slice that runs in this thread or task; set once a slice, not once a record."""


class Slice:
    """One writer, one reader: the worker that runs it reports by `succeed`, `fail` and `finish`,
    the owner reads what lies below `progress`, also while the slice still runs.

    Attributes:
        generation: the assignment it belongs to; when that is dropped, so are its results.
        lane: the virtual partition it came from.
        records, orders: what to run, and the order each record belongs to.
        attempts: the number of this attempt by index, where it is not the first.
        progress: how many records are through; written after their results.
        merged: how many of them the owner has taken over.
        failures: errors by index.
        refused: errors by index of records that must not be attempted: they fail with these.
        skipped: indexes that did not run, because a record of the same order failed before.
        effects: what successful attempts did, by index, where they did anything.
        fatal: an error that must stop the app, not fail the record.
        seconds: how long the worker had it.
        current: the index that runs now.
        changes: of state, by store, of its attempts that succeeded: what comes behind them in this
            slice sees them before the owner has merged them.
        plain: how many of `effects` are nothing but changes that are in there.
        views: how its attempts see each store, by the name they ask for.
        worker: who runs it: the ident of a thread, an asyncio task, or something else.
        context: what the handler's side keeps for the record that runs now.
    """

    __slots__ = (
        "attempts",
        "changes",
        "context",
        "current",
        "effects",
        "failures",
        "fatal",
        "generation",
        "lane",
        "merged",
        "orders",
        "plain",
        "progress",
        "records",
        "refused",
        "seconds",
        "skipped",
        "views",
        "worker",
    )

    def __init__(
        self,
        generation: Generation,
        lane: VirtualPartition,
        records: Sequence[Record],
        orders: Sequence[Order],
        attempts: dict[int, int],
        refused: dict[int, Exception],
    ) -> None:
        self.generation = generation
        self.lane = lane
        self.records = records
        self.orders = orders
        self.attempts = attempts
        self.refused = refused
        self.progress = 0
        self.merged = 0
        self.failures: dict[int, Exception] = {}
        self.skipped: set[int] = set()
        self.effects: dict[int, Effects] = {}
        self.fatal: BaseException | None = None
        self.seconds = 0.0
        self.current = 0
        self.context: Any = None
        self.worker: object = None
        self.changes: dict[str, dict[bytes, bytes | None]] = {}
        self.plain = 0
        self.views: dict[str | None, StoreView] = {}

    def turns(self) -> Iterator[int]:
        """The indexes to run, each yielded when it may start.

        Ends early when the partition is revoked or the app stops, and when several records have
        failed, so that the owner can decide what that means: what has not started then never
        starts here. Skips what stands behind a failed record of the same order, and fails
        what is refused.
        """
        generation = self.generation
        for index in range(len(self.records)):
            if generation.halted or len(self.failures) >= FAILURES:
                return
            if self.failures and self._stands_behind_a_failure(index):
                self.skipped.add(index)
                self.progress = index + 1
                continue
            if self.refused and index in self.refused:
                self.fail(index, self.refused[index])
                continue
            self.current, self.context = index, None
            yield index

    def attempt(self, index: int) -> int:
        """The number of this attempt, from 1."""
        return self.attempts.get(index, 1) if self.attempts else 1

    def succeed(self, index: int, effects: Effects | None) -> None:
        """This record ran to its end."""
        if effects is not None:
            self.effects[index] = effects
            if isinstance(effects, Effects):  # a worker process packs them
                for store, changes in effects.changes.items():
                    earlier = self.changes.get(store)
                    if earlier is None:
                        self.changes[store] = changes.copy()
                    else:
                        earlier.update(changes)
                if not effects.emits and effects.flows is None and effects.sinks is None:
                    self.plain += 1
        self.progress = index + 1

    def fail(self, index: int, error: Exception) -> None:
        """This attempt raised."""
        self.failures[index] = error
        self.progress = index + 1

    def _stands_behind_a_failure(self, index: int) -> bool:
        order = self.orders[index]
        return any(self.orders[failed] == order for failed in self.failures)
