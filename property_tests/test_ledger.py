"""The ledger against a naive one, through crashes: only what was complete is left out."""

from bisect import bisect_left
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamjobs.engine import completion_map
from streamjobs.engine.completion_map import Runs
from streamjobs.engine.ledger import Ledger
from streamjobs.testing.simulation.small_map import map_of

GAPS = st.sampled_from([1, 1, 1, 1, 2, 5, 40])
FAR = st.sampled_from([10**4, 10**7, 10**12])


class Naive:
    """Sets instead of arithmetic.

    Attributes:
        next: the lowest offset that was not seen.
        pending: seen, and not complete.
        known: complete by the map it began with.
    """

    def __init__(self, frontier: int, completed: set[int]) -> None:
        self.next = frontier
        self.pending: set[int] = set()
        self.known = completed

    def register(self, offsets: list[int]) -> list[int]:
        fresh = [each for each in offsets if each >= self.next and each not in self.known]
        self.pending.update(fresh)
        self.next = max(self.next, offsets[-1] + 1)
        return fresh

    def is_complete(self, offset: int) -> bool:
        return offset in self.known or (offset < self.next and offset not in self.pending)

    @property
    def frontier(self) -> int:
        behind = next(each for each in count(self.next) if each not in self.known)
        return min(self.pending, default=behind)


class LedgerMachine(RuleBasedStateMachine):
    """One partition of which the group commits now and then, and whose owner may die."""

    @initialize(start=st.integers(0, 2**40), characters=st.sampled_from([None, 1, 3]))
    def begin(self, start: int, characters: int | None) -> None:
        self.small_map = map_of(characters)
        self.small_map.__enter__()
        self.end = start
        self.log: list[int] = []
        self.committed = start, ""
        self.complete_then: set[int] = set()
        self.ran: set[int] = set()
        self.restore()

    def teardown(self) -> None:
        if hasattr(self, "small_map"):
            self.small_map.__exit__(None, None, None)

    # -- the log -----------------------------------------------------------------------------

    @rule(gaps=st.lists(GAPS, min_size=1, max_size=20))
    def write(self, gaps: list[int]) -> None:
        for gap in gaps:
            self.log.append(self.end + gap - 1)
            self.end += gap

    @rule(gap=FAR)
    def leave_a_large_gap(self, gap: int) -> None:
        self.end += gap

    @precondition(lambda self: len(self.log) > 1)
    @rule(which=st.integers(0, 30))
    def compact(self, which: int) -> None:
        del self.log[which % (len(self.log) - 1)]

    # -- the owner ---------------------------------------------------------------------------

    @rule(limit=st.integers(1, 40), again=st.sampled_from([0, 0, 3, 20]))
    def read(self, limit: int, again: int) -> None:
        """The next records, and some of those before them a second time."""
        at = max(0, bisect_left(self.log, self.naive.next) - again)
        offered = self.log[at : at + again + limit]
        taken = offered[: self.ledger.fits(offered)] if offered else []
        if not taken:
            assert not offered or self.naive.pending
            return

        fresh = list(self.ledger.register(taken))

        assert fresh == self.naive.register(taken)
        self.ran.update(fresh)
        self.none_of_these_was_complete_at_the_last_commit(fresh)

    @precondition(lambda self: self.naive.pending)
    @rule(which=st.lists(st.integers(0, 50), min_size=1, max_size=20))
    def complete(self, which: list[int]) -> None:
        pending = sorted(self.naive.pending)
        done = {pending[each % len(pending)] for each in which}
        self.ledger.complete(sorted(done))
        self.naive.pending -= done

    @rule()
    def commit(self) -> None:
        self.committed = self.ledger.freeze()
        self.complete_then = {each for each in self.log if self.naive.is_complete(each)}

    @rule(keep=st.integers(0, 30))
    def crash(self, keep: int) -> None:
        """And another owner begins, with what was committed. Retention may have moved the start
        of the log by then.
        """
        if keep == 0:
            del self.log[: len(self.log) // 2]
        self.restore()

    def restore(self) -> None:
        committed, metadata = self.committed
        runs = completion_map.decode(committed, metadata).runs
        frontier = max(committed, self.log[0]) if self.log else committed
        self.ledger = Ledger(frontier, runs)
        self.naive = Naive(frontier, expand(runs))
        self.must_run_again()

    # -- what holds --------------------------------------------------------------------------

    def none_of_these_was_complete_at_the_last_commit(self, fresh: list[int]) -> None:
        assert not set(fresh) & self.complete_then

    def must_run_again(self) -> None:
        """All that is in the log and was not complete at the commit."""
        for offset in self.log:
            assert self.ledger.is_complete(offset) == (
                offset in self.complete_then or offset < self.ledger.frontier
            )
            assert offset in self.complete_then or offset >= self.ledger.frontier

    @invariant()
    def agrees_with_the_naive_one(self) -> None:
        ledger, naive = self.ledger, self.naive
        assert (ledger.next, ledger.pending) == (naive.next, len(naive.pending))
        assert ledger.frontier == naive.frontier
        for offset in [*self.log, self.end]:
            assert ledger.is_complete(offset) == naive.is_complete(offset)

    @invariant()
    def freezes_what_is_complete(self) -> None:
        frontier, metadata = self.ledger.freeze()
        assert len(metadata) <= completion_map.MAP_CHARACTERS + 10
        runs = completion_map.decode(frontier, metadata).runs
        written = [offset for start, length in runs for offset in (start, start + length - 1)]
        assert all(map(self.naive.is_complete, written))
        holes = [start - 1 for start, _ in runs] + [start + length for start, length in runs]
        assert not any(map(self.naive.is_complete, holes))


def expand(runs: Runs) -> set[int]:
    return {offset for start, length in runs for offset in range(start, start + length)}


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=max(200, settings().max_examples))
