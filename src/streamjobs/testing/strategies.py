"""Hypothesis strategies for keys, records, workloads and fault schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from streamjobs.broker.ports import Message
from streamjobs.record import Record
from streamjobs.testing.simulation.app_runs import APP_FAULTS
from streamjobs.testing.simulation.app_scenario import Workload

__all__ = ("dice", "faults", "keys", "messages", "records", "workloads")


def keys(distinct: int = 5) -> st.SearchStrategy[bytes | None]:
    """Message keys: a few that come back, none, an empty one, and odd ones."""
    usual = st.integers(0, distinct - 1).map(lambda number: f"k{number}".encode())
    odd = st.sampled_from((None, b"", b"\x00", "schlüssel".encode(), b"k" * 300))
    return st.one_of(usual, usual, odd)


def records(topic: str = "input", partition: int = 0) -> st.SearchStrategy[Record]:
    """Records as a handler gets them."""
    return st.builds(
        Record,
        topic=st.just(topic),
        partition=st.just(partition),
        offset=st.integers(0, 2**62),
        key=keys(),
        value=st.none() | st.binary(max_size=50),
        headers=st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=10)), max_size=3),
        timestamp=st.integers(0, 2**41),
    )


def messages(
    topic: str, values: st.SearchStrategy[bytes | None] | None = None
) -> st.SearchStrategy[list[Message]]:
    """What is written to a topic, in order."""
    value = values if values is not None else st.binary(max_size=20)
    made = st.builds(lambda each, key: Message(topic, each, key), value, keys())
    return st.lists(made, max_size=60)


def workloads(calls: st.SearchStrategy[Callable[[], object]]) -> st.SearchStrategy[Workload]:
    """Workloads that make some calls (of `enqueue`) in their order.

    Example:
        >>> deposits = st.integers(1, 9).map(lambda n: lambda: deposit.enqueue("a", n))
        >>> workloads(deposits)  # doctest: +SKIP
    """

    def workload(made: list[Callable[[], object]]) -> Workload:
        def enqueue(_random: Random) -> None:
            for call in made:
                call()

        return enqueue

    return st.lists(calls, min_size=1, max_size=60).map(workload)


def faults(among: Iterable[str] = APP_FAULTS) -> st.SearchStrategy[frozenset[str]]:
    """Which faults may happen in a run; by default among all but those that take records away.

    Shrinks to as few as are needed.
    """
    return st.frozensets(st.sampled_from(sorted(among)))


def dice(most: int = 100) -> st.SearchStrategy[Random]:
    """Dice for `simulate(app, seeds=[dice])` and `simulate_random(dice)`.

    Hypothesis decides how the first throws fall, at most so many, and shrinks those to few and
    small ones; the seed of all further throws is drawn, too.
    """
    return st.builds(_Dice, st.lists(st.floats(0, 1, exclude_max=True), max_size=most), _SEEDS)


_SEEDS = st.integers(0, 2**32 - 1)


class _Dice(Random):
    """Dice whose first throws are known."""

    def __new__(cls, throws: Sequence[float], seed: int) -> _Dice:
        return super().__new__(cls)  # the seed is `__init__`'s

    def __init__(self, throws: Sequence[float], seed: int) -> None:
        super().__init__(seed)
        self._shown = f"dice({throws}, seed={seed})"
        self._throws = iter(throws)

    def random(self) -> float:
        throw = next(self._throws, None)
        return super().random() if throw is None else throw

    def choice(self, seq: Any) -> Any:
        return seq[int(self.random() * len(seq))]  # the first one for a small throw

    def __repr__(self) -> str:
        return self._shown
