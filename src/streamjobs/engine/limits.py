"""How much the owner holds, and how often it commits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Limits",)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the owner holds and how often it commits.

    Attributes:
        window_records, window_bytes: held in memory for one partition, queued and running.
        commit_interval: seconds between commits.
        revoke_timeout: seconds that running records get when their partition goes away.
        commit_bytes: changes of state in memory, and
        commit_records: records done, after which a commit does not wait for its time.
        stall_after: seconds that an attempt may run before it can count as stalled.
        suspect_after: how many owners in a row have to die at the same frontier before the
            records there run alone; 0 for never.
    """

    window_records: int = 10_000
    window_bytes: int = 64 * 1024 * 1024
    commit_interval: float = 1.0
    revoke_timeout: float = 10.0
    commit_bytes: int = 32 * 1024 * 1024
    commit_records: int = 100_000
    stall_after: float = 30.0
    suspect_after: int = 3
