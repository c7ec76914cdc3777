"""Places in a checkpoint at which a process under test ends itself, stops, or loses an answer.

A switch of tests only: `failpoints_app` reads it, and `failpoints_watch` sees to it.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

__all__ = ("NEVER", "VARIABLE", "Failpoint")

VARIABLE: Final = "STATE_FAILPOINT"
PLACES: Final = ("written", "added", "committing", "committed", "flushing")
ACTS: Final = ("kill", "kill-soon", "freeze", "lose-answer", "lose-sight")


class Failpoint(NamedTuple):
    """Where something happens, at which checkpoint, and what.

    Attributes:
        place: "written": the changelog records are acknowledged. "added": so are the offsets.
            "committing": the commit begins. "committed": it has gone through. "flushing": some of
            it is in RocksDB.
        number: the checkpoint, from 1, of those that have changes of state.
        act: "kill" and "freeze" (SIGSTOP) hit the process itself. "kill-soon" does after `seconds`.
            "lose-answer": the client says that the time is up. "lose-sight": it says so after
            `seconds`, and commits on in another thread, as librdkafka does.
        seconds: see `act`.
    """

    place: str
    number: int = 2
    act: str = "kill"
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` wrote."""
        place, number, act, seconds = text.split(":")
        assert place in PLACES, place
        assert act in ACTS, act
        return cls(place, int(number), act, float(seconds))

    def __str__(self) -> str:
        return ":".join(map(str, self))


NEVER: Final = Failpoint("written", 0)
