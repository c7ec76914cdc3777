"""What is measured inside one process: the ledger, and memory."""

from typing import Final

from benchmarks.arena import Arena, PeerFailed
from benchmarks.model import Bar, Contestant, Figures, Peer, Workload

RECORDS: Final = 1_000_000
KEYS: Final = 2**31
"""So many that hardly two of the records share one."""

IN_FLIGHT: Final = 50_000


def by_itself(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """The peer measures, and needs no records."""
    return arena.run(contestant, arena.blank(workload, contestant, records))


def memory(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """The memory of an app with these records; an idle one gets a topic without any."""
    if records:
        task = arena.task(workload, contestant, records)
    else:
        task = arena.blank(workload, contestant, records)
        arena.create(task.topic, task.partitions)
    figures = arena.run(contestant, task)
    if figures["seen"] < records or figures["in_flight"] < task.large:
        raise PeerFailed(f"it was measured before all was there: {figures}")
    return figures


LEDGER: Final = Workload(
    "ledger",
    "ledger at 10,000 in flight; freeze at 1,000 runs",
    (Contestant("streamjobs", Peer("streamjobs", "ledger")),),
    (Bar("ledger_us", most=0.3), Bar("freeze_ms", most=1)),
    by_itself,
    scaled=False,
)

MEMORY: Final = Workload(
    "memory",
    "10^6 distinct keys seen, 50,000 in flight of 1 KiB",
    (
        Contestant("streamjobs", Peer("streamjobs", "memory"), RECORDS, {"large": IN_FLIGHT}),
        Contestant("idle", Peer("streamjobs", "memory"), 0),
    ),
    (Bar("rss_mib", most=150, above="idle"),),
    memory,
    {"keys": KEYS},
    scaled=False,
)
