"""The faults a simulation can inject."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamjobs.errors import ConfigurationError

__all__ = ("ALL", "parse")

ALL: Final = {
    "error": "a handler raises",
    "slow": "a handler takes seconds",
    "endless": "a handler does not end",
    "crash": "a process ends between two steps, all its memory lost",
    "crash-inside": "a process ends inside of a turn, before or after one of its requests",
    "freeze": "a process stands still for longer than its session, and wakes up",
    "expire": "a member's session ends, and it does not know",
    "join": "another process joins",
    "leave": "a process leaves in good order",
    "rebalance": "partitions move between members",
    "bounce": "a partition is taken away and given back to the same member",
    "storm": "several rebalances at once",
    "commit-refused": "a commit fails",
    "commit-unanswered": "a commit is applied, and its answer is lost",
    "send-refused": "an emitted record or a dead letter is not written",
    "send-unanswered": "an emitted record or a dead letter is written, and the answer is lost",
    "answers-held": "answers to commits and sends take long",
    "away": "the broker is away for a while",
    "duplicate": "records are delivered twice",
    "gap": "offsets without records, as transaction markers leave them",
    "crash-committing": "a process ends inside of a transaction, or while it writes state to disk",
    "transaction-refused": "a transaction cannot be committed, only aborted",
    "transaction-unanswered": "a transaction is committed, and the answer is lost",
    "transaction-lost": "a transaction stays open with its offsets, and nobody says so",
    "transaction-fenced": "another producer takes over just before a transaction is committed",
    "transaction-expired": "a process stands still for longer than its transaction may be open",
    "zombie": "a process stands still inside of a transaction, for longer than its session",
    "lost-disk": "a machine is lost, with the state on its disk",
    "other-count": "a process starts with another number of virtual partitions",
    "compaction": "records vanish from the middle of the log",
    "retention": "the beginning of a log vanishes",
    "clock": "the clock jumps ahead",
}


def parse(names: Iterable[str], usual: frozenset[str] = frozenset()) -> frozenset[str]:
    """Fault names from the command line; "all" and "none" are names, too, and a minus before a
    name takes it out again: out of `usual`, where nothing stands before it.

    Raises:
        ConfigurationError: there is no such fault; lists them.
    """
    wanted = [name.strip() for name in names]
    chosen = set(usual) if wanted and wanted[0].startswith("-") else set[str]()
    for name in wanted:
        plain = name.removeprefix("-")
        if plain not in (*ALL, "all", "none"):
            raise ConfigurationError(
                f"there is no fault {plain!r}; known are all, none, {', '.join(ALL)}"
            )
        meant = ALL.keys() if plain == "all" else {plain} & ALL.keys()
        chosen = chosen - meant if name.startswith("-") else chosen | meant
    return frozenset(chosen)
