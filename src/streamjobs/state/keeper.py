"""Opens the stores of partitions that come, and restores them from their changelogs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final

import structlog

from streamjobs.asking import ASK_WITHIN
from streamjobs.broker.ports import LogRange, Reader, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.kept import KeptState
from streamjobs.errors import BrokerUnavailableError
from streamjobs.record import Record
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateBehindError, StateCorruptedError, StateLockedError
from streamjobs.state.store import StoreId, StorePartition, Stores

__all__ = ("StateKeeper",)

BATCH: Final = 2_000
"""Changelog records that are restored in one turn of the owner, of all partitions together."""

AGAIN: Final = 0.2
"""Seconds until a store that another process has open, or a changelog that hides its end, is looked
at again."""

TURN: Final = 0.05
"""Seconds after which the other partitions that are loading wait for the owner's next turn."""

TELL_EVERY: Final = 5.0

log = structlog.get_logger("streamjobs")


class StateKeeper(KeptState):
    """One step a turn, so that other partitions go on meanwhile.

    Args:
        stores: where they are.
        open_reader: called when a changelog is first read.
        clock: seconds.
        patience: seconds to wait for the end of a changelog that a commit speaks of, and that an
            open transaction of a process that died may hide.
    """

    def __init__(
        self,
        stores: Stores,
        open_reader: Callable[[], Reader],
        clock: Callable[[], float] = time.monotonic,
        patience: float = 20.0,
    ) -> None:
        self._stores = stores
        self._open_reader = open_reader
        self._clock = clock
        self._patience = patience
        self._reader: Reader | None = None
        self._open: dict[StoreId, StorePartition] = {}
        self._steps: dict[Generation, Iterator[None]] = {}
        self._arrived: dict[TopicPartition, list[Record]] = {}
        self._not_before: dict[Generation, float] = {}

    def load(self, generation: Generation) -> None:
        self._steps[generation] = self._load(generation)

    def turn(self) -> Sequence[Generation]:
        if not self._steps:
            return ()
        if self._reader is not None:
            for place, records in self._reader.poll(BATCH, 0):
                self._arrived.setdefault(place, []).extend(records)
        ready = []
        began = self._clock()
        for generation in list(self._steps):
            if self._clock() >= self._not_before.get(generation, float("-inf")):
                try:
                    next(self._steps[generation])
                except StopIteration:
                    self._forget_steps(generation)
                    ready.append(generation)
                else:  # to the back: the next turn begins with another one
                    self._steps[generation] = self._steps.pop(generation)
            if self._clock() - began > TURN:
                break
        return ready

    def forget(self, generation: Generation) -> None:
        self._forget_steps(generation)
        for cache in generation.stores.values():
            cache.drop()
        for changelog in generation.route.changelogs.values():
            place = TopicPartition(changelog, generation.partition.partition)
            self._arrived.pop(place, None)
            if self._reader is not None:
                self._reader.stop(place)

    def leave(self, partition: TopicPartition) -> None:
        for place in [each for each in self._open if each[:2] == partition]:
            self._open.pop(place).close()

    def close(self) -> None:
        for store in self._open.values():
            store.close()
        self._open.clear()
        if self._reader is not None:
            self._reader.close()

    def _forget_steps(self, generation: Generation) -> None:
        self._steps.pop(generation, None)
        self._not_before.pop(generation, None)

    def _wait(self, generation: Generation) -> None:
        self._not_before[generation] = self._clock() + AGAIN

    # -- step by step ------------------------------------------------------------------------

    def _load(self, generation: Generation) -> Iterator[None]:
        for store, changelog in generation.route.changelogs.items():
            found = yield from self._open_store(generation, store)
            yield from self._restore(generation, store, changelog, found)
            generation.stores[store] = WriteBackCache(found)

    def _open_store(
        self, generation: Generation, store: str
    ) -> Generator[None, None, StorePartition]:
        place = StoreId(*generation.partition, store)
        while place not in self._open:
            try:
                self._open[place] = self._stores.open(*place)
            except StateLockedError:
                self._wait(generation)  # its last owner is about to let go of it
                yield
            except StateCorruptedError as error:
                log.warning(
                    "state is restored from its changelog", store=str(place), error=str(error)
                )
                self._stores.destroy(place)
        yield
        return self._open[place]

    def _restore(
        self, generation: Generation, store: str, changelog: str, found: StorePartition
    ) -> Iterator[None]:
        """Apply what the changelog has and the store has not: up to its end, and up to where the
        commit says that it reached.
        """
        if self._reader is None:
            self._reader = self._open_reader()
        place = TopicPartition(changelog, generation.partition.partition)
        told = generation.changelog_ends.get(store, 0)
        begin = self._next(found)
        start, end = yield from self._wait_for_end(
            generation, place, max(told, begin) if told else 0
        )
        at = max(begin, start)
        if at >= end:
            return
        progress = _Progress(place, end - at, self._clock)
        self._reader.seek(place, at)
        while at < end:
            records = self._arrived.pop(place, [])
            if records:
                found.restore(records)
                at = records[-1].offset + 1
                progress.tell(at - begin)
            elif self._reader.at_end(place):
                break  # what is left are markers of transactions
            yield
        self._reader.stop(place)
        progress.done()

    def _wait_for_end(
        self, generation: Generation, place: TopicPartition, told: int
    ) -> Generator[None, None, LogRange]:
        """An open transaction hides committed records behind it: until it ends, the state would be
        an old one.
        """
        deadline = self._clock() + self._patience
        while (found := (yield from self._range(generation, place))).end < told:
            end = found.end
            if self._clock() > deadline:
                raise StateBehindError(
                    f"the changelog {place} ends at {end}, and the last commit says that it "
                    f"reached {told}: has it been deleted and made again? Then the state is lost; "
                    "`python -m streamjobs state reset` begins with none"
                )
            self._wait(generation)
            yield
        return found

    def _range(
        self, generation: Generation, place: TopicPartition
    ) -> Generator[None, None, LogRange]:
        """What there is of a changelog; a broker that is away is asked again."""
        assert self._reader is not None
        while True:
            try:
                return self._reader.range(place, ASK_WITHIN)
            except BrokerUnavailableError as error:
                log.warning(
                    "a changelog cannot be read yet", changelog=str(place), error=str(error)
                )
                self._wait(generation)
                yield

    def _next(self, store: StorePartition) -> int:
        offset = store.changelog_offset
        return 0 if offset is None else offset + 1


class _Progress:
    """Says how far the restoring of a store has got."""

    def __init__(self, place: TopicPartition, records: int, clock: Callable[[], float]) -> None:
        self._place = place
        self._records = records
        self._clock = clock
        self._began = self._told = clock()

    def tell(self, done: int) -> None:
        now = self._clock()
        if now - self._told >= TELL_EVERY:
            self._told = now
            log.info(
                "restoring state",
                changelog=str(self._place),
                offsets=done,
                of=self._records,
                seconds=round(now - self._began, 1),
            )

    def done(self) -> None:
        (log.info if self._told > self._began else log.debug)(
            "state restored",
            changelog=str(self._place),
            offsets=self._records,
            seconds=round(self._clock() - self._began, 1),
        )
