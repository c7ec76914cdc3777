"""Opens the stores of partitions that come, and restores them from their changelogs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final

import structlog
from rich.console import Console

from streamjobs.asking import ASK_WITHIN
from streamjobs.broker.ports import LogRange, Reader, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.kept import KeptState
from streamjobs.errors import BrokerUnavailableError
from streamjobs.record import Record
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.errors import StateBehindError, StateCorruptedError, StateLockedError
from streamjobs.state.progress import Restoring, Told, restoring_on
from streamjobs.state.retiring import Retiring
from streamjobs.state.shared import SharedCaches
from streamjobs.state.store import StoreId, StorePartition, Stores
from streamjobs.state.sweep import Sweep

__all__ = ("StateKeeper",)

BATCH: Final = 2_000
"""Changelog records that are restored in one turn of the owner, of all partitions together."""

AGAIN: Final = 0.2
"""Seconds until a store that another process has open, or a changelog that hides its end, is looked
at again."""

TURN: Final = 0.05
"""Seconds after which the other partitions that are loading wait for the owner's next turn."""

log = structlog.get_logger("streamjobs")


class StateKeeper(KeptState):
    """One step a turn, so that other partitions go on meanwhile.

    Args:
        stores: where they are.
        open_reader: called when a changelog is first read.
        clock: seconds.
        patience: seconds to wait for the end of a changelog that a commit speaks of, and that an
            open transaction of a process that died may hide.
        keep: seconds that stores of other partitions are kept after they were used; 0 for ever.
        wall: seconds since 1970.
        restoring: says how far it has got; None for what suits stderr.
    """

    def __init__(
        self,
        stores: Stores,
        open_reader: Callable[[], Reader],
        clock: Callable[[], float] = time.monotonic,
        patience: float = 20.0,
        keep: float = 0.0,
        wall: Callable[[], float] = time.time,
        restoring: Restoring | None = None,
    ) -> None:
        self._stores = stores
        self._open_reader = open_reader
        self._clock = clock
        self._patience = patience
        self._reader: Reader | None = None
        self._open: dict[StoreId, StorePartition] = {}
        self._shared = SharedCaches()
        self._steps: dict[Generation, Iterator[None]] = {}
        self._arrived: dict[TopicPartition, list[Record]] = {}
        self._not_before: dict[Generation, float] = {}
        self._told: dict[TopicPartition, Told] = {}
        self._restoring = restoring or restoring_on(Console(stderr=True), clock)
        self._retiring = Retiring(stores, keep, clock, wall)
        self._sweep = Sweep(clock, wall)

    def load(self, generation: Generation) -> None:
        self._steps[generation] = self._load(generation)

    def turn(self) -> Sequence[Generation]:
        if not self._steps:
            self._retiring.turn()
            self._sweep.turn()
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
                    self._sweep.add(generation)
                    ready.append(generation)
                else:  # to the back: the next turn begins with another one
                    self._steps[generation] = self._steps.pop(generation)
            if self._clock() - began > TURN:
                break
        return ready

    def forget(self, generation: Generation) -> None:
        self._forget_steps(generation)
        self._sweep.forget(generation)
        for cache in self._shared.leave(generation):
            cache.drop()
        for changelog in generation.route.changelogs.values():
            place = TopicPartition(changelog, generation.partition.partition)
            self._arrived.pop(place, None)
            self._tell_the_end(place, complete=False)
            if self._reader is not None:
                self._reader.stop(place)

    def leave(self, partition: TopicPartition) -> None:
        for place in [each for each in self._open if each[:2] == partition]:
            if place not in self._shared:
                self._open.pop(place).close()

    def close(self) -> None:
        for place in list(self._told):
            self._tell_the_end(place, complete=False)
        for store in self._open.values():
            store.close()
        self._open.clear()
        if self._reader is not None:
            self._reader.close()

    def _forget_steps(self, generation: Generation) -> None:
        self._steps.pop(generation, None)
        self._not_before.pop(generation, None)

    def _tell_the_end(self, place: TopicPartition, *, complete: bool) -> None:
        if place in self._told:
            self._told.pop(place).end(complete=complete)

    def _wait(self, generation: Generation) -> None:
        self._not_before[generation] = self._clock() + AGAIN

    # -- step by step ------------------------------------------------------------------------

    def _load(self, generation: Generation) -> Iterator[None]:
        for store, changelog in generation.route.changelogs.items():
            place = _place(generation, store)
            if not generation.route.together:
                generation.stores[store] = yield from self._cache(generation, store, changelog)
                continue
            while (cache := self._shared.find(place)) is None:
                if self._shared.claim(place, generation):
                    cache = yield from self._cache(generation, store, changelog)
                    self._shared.add(place, cache)
                    break
                yield  # another one restores it
            self._shared.claim(place, generation)
            generation.stores[store] = cache

    def _cache(
        self, generation: Generation, store: str, changelog: str
    ) -> Generator[None, None, WriteBackCache]:
        found = yield from self._open_store(generation, store)
        if not (yield from self._restore(generation, store, changelog, found)):
            self._open.pop(_place(generation, store)).destroy()
            found = yield from self._open_store(generation, store)
            yield from self._restore(generation, store, changelog, found)
        return WriteBackCache(found)

    def _open_store(
        self, generation: Generation, store: str
    ) -> Generator[None, None, StorePartition]:
        place = _place(generation, store)
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
    ) -> Generator[None, None, bool]:
        """Apply what the changelog has and the store has not: up to its end, and up to where the
        commit says that it reached. False if the store has what was never in there.
        """
        if self._reader is None:
            self._reader = self._open_reader()
        place = TopicPartition(changelog, generation.partition.partition)
        told = generation.changelog_ends.get(store, 0)
        begin = self._next(found)
        start, end = yield from self._wait_for_end(generation, place, told)
        if begin > end:
            start, end = yield from self._wait_until(generation, place, begin)
        if begin > end:
            log.warning(
                "a store is ahead of its changelog, which was made anew: restored from there",
                changelog=str(place),
                ends_at=end,
                store_at=begin,
            )
            return False
        at = max(begin, start)
        if at >= end:
            return True
        self._told[place] = progress = self._restoring.begin(place, end - at)
        self._reader.seek(place, at)
        while at < end:
            records = self._arrived.pop(place, [])
            if records:
                found.restore(records)
                at = records[-1].offset + 1
                progress.tell(at - max(begin, start))
            elif self._reader.at_end(place):
                break  # what is left are markers of transactions
            yield
        self._reader.stop(place)
        self._tell_the_end(place, complete=True)
        return True

    def _wait_for_end(
        self, generation: Generation, place: TopicPartition, told: int
    ) -> Generator[None, None, LogRange]:
        """An open transaction hides committed records behind it: until it ends, the state would be
        an old one.
        """
        found = yield from self._wait_until(generation, place, told)
        if found.end < told:
            raise StateBehindError(
                f"the changelog {place} ends at {found.end}, and the last commit says that it "
                f"reached {told}: has it been deleted and made again? Then the state is lost, and "
                "`python -m streamjobs state reset MODULE:APP --changelog --topic "
                f"{generation.partition.topic}` begins with none"
            )
        return found

    def _wait_until(
        self, generation: Generation, place: TopicPartition, offset: int
    ) -> Generator[None, None, LogRange]:
        """What there is of a changelog, when it has got there, or when patience is over."""
        deadline = self._clock() + self._patience
        while (found := (yield from self._range(generation, place))).end < offset:
            if self._clock() > deadline:
                break
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


def _place(generation: Generation, store: str) -> StoreId:
    """Where a store of this generation is: of those that topics share, one has it."""
    topic, partition = generation.partition
    return StoreId(generation.route.homes.get(store, topic), partition, store)
