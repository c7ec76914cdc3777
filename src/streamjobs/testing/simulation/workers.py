"""Workers without threads: attempts begin and end when the simulation says so."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from streamjobs.engine.effects import Effects
from streamjobs.engine.ports import Execution, Workers
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.testing.recorder import Recorder
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.event_loop import VirtualTimeLoop

__all__ = ("Behaviour", "SimulatedWorkers")

NEVER: Final = float("inf")

Behaviour = Callable[[Slice, int], float]
"""How many seconds an attempt takes; NEVER for one that does not end by itself."""

Wait = Callable[[float], None]


@dataclass(slots=True, eq=False)
class _Attempt:
    """An attempt that began and has not ended."""

    index: int
    due: float
    outcome: Effects | Exception | None
    called: bool


@dataclass(slots=True, eq=False)
class _Run:
    """A slice in the hands of a worker."""

    piece: Slice
    turns: Iterator[int]
    attempt: _Attempt | None = None


class SimulatedWorkers(Workers, Execution):
    """Workers of every kind at once, driven by `step`.

    A handler's code runs in one go, at the beginning or at the end of its attempt, as the dice
    fall: between the two, other attempts run and anything may happen to the process.

    Args:
        clock: the world's.
        random: the world's dice.
        recorder: writes down when attempts begin and end.
        behaviour: how long attempts take.
        wait: called when the owner waits for its workers inside of a callback: lets time pass.
        through: told about each slice that a worker is through with.
        limit: how many slices run at the same time.
    """

    def __init__(
        self,
        clock: VirtualClock,
        random: Random,
        recorder: Recorder,
        behaviour: Behaviour,
        wait: Wait,
        through: Callable[[Slice], None],
        limit: int = 1000,
    ) -> None:
        self.patient = True
        """Whether attempts that never end are waited for; the world heals by ending them."""
        self._clock = clock
        self._random = random
        self._recorder = recorder
        self._behaviour = behaviour
        self._wait = wait
        self._through = through
        self._limit = limit
        self._runs: list[_Run] = []
        self._finished: list[Slice] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- the ports ---------------------------------------------------------------------------

    def execution(self, kind: str) -> Execution:
        return self

    @property
    def free(self) -> int:
        return self._limit - len(self._runs)

    def start(self, slices: Sequence[Slice]) -> None:
        self._runs += [_Run(piece, piece.turns()) for piece in slices]

    def collect(self, timeout: float) -> Sequence[Slice]:
        if timeout and not self._finished:
            self._wait(timeout)
        finished, self._finished = self._finished, []
        return finished

    def cancel(self, piece: Slice) -> None:
        """Nothing can be: a handler that does not end is what happens in life."""

    def close(self) -> None:
        self._runs.clear()

    # -- driven by the world -----------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there is anything that `step` could move."""
        return bool(self._runs)

    def next_due(self) -> float:
        """When the next attempt ends, as far as it is known."""
        return min((run.attempt.due for run in self._runs if run.attempt), default=NEVER)

    def step(self) -> bool:
        """Move one slice: begin its next attempt, or end the one that is due. False when all
        attempts are still running.
        """
        movable = [run for run in self._runs if not run.attempt or self._is_due(run.attempt)]
        if not movable:
            return False
        run = self._random.choice(movable)
        if run.attempt is None:
            self._begin(run)
        else:
            self._end(run, run.attempt)
        return True

    def _is_due(self, attempt: _Attempt) -> bool:
        return attempt.due <= self._clock.now or (attempt.due == NEVER and not self.patient)

    def _begin(self, run: _Run) -> None:
        index = next(run.turns, None)
        if index is None:
            self._runs.remove(run)
            self._finished.append(run.piece)
            self._through(run.piece)
            return
        seconds = self._behaviour(run.piece, index)
        self._recorder.started_attempt(run.piece, index)
        run.attempt = _Attempt(index, self._clock.now + seconds, None, called=False)
        if self._random.random() < 0.5:
            self._call(run.piece, run.attempt)

    def _end(self, run: _Run, attempt: _Attempt) -> None:
        if not attempt.called:
            self._call(run.piece, attempt)
            if attempt.due > self._clock.now and attempt.due != NEVER:
                return  # a coroutine slept: its attempt takes that much longer
        run.attempt = None
        if isinstance(attempt.outcome, Exception):
            run.piece.fail(attempt.index, attempt.outcome)
        else:
            run.piece.succeed(attempt.index, attempt.outcome)
        self._recorder.finished_attempt(run.piece, attempt.index, attempt.outcome)
        run.piece.seconds += 0.001

    def _call(self, piece: Slice, attempt: _Attempt) -> None:
        attempt.called = True
        token = RUNNING.set(piece)
        try:
            result = piece.generation.route.invoke(piece, attempt.index)
            attempt.outcome = (
                self._await(result, attempt) if inspect.isawaitable(result) else result
            )
        except Exception as error:
            attempt.outcome = error
        finally:
            RUNNING.reset(token)

    def _await(self, awaitable: Awaitable[Effects | None], attempt: _Attempt) -> Effects | None:
        """Run a coroutine on a loop whose time is virtual. Its attempt takes as long as it slept,
        also where it raises in the end.
        """
        loop = self._loop = self._loop or VirtualTimeLoop()
        before = loop.time()

        async def run() -> Effects | None:
            return await awaitable

        try:
            return loop.run_until_complete(run())
        finally:
            attempt.due += loop.time() - before
