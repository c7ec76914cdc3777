"""Handlers that keep a core busy, on two processes."""

from typing import Final

from benchmarks.arena import timed_throughput
from benchmarks.model import Bar, Contestant, Workload
from benchmarks.workloads import peers

CPU: Final = Workload(
    "cpu",
    "CPU 1 ms, 2 processes",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 2_000),
        Contestant("pool", peers.POOL, 2_000),
        Contestant("pyrallel", peers.PYRALLEL),
    ),
    (Bar("rate", least=0.95, of="pool"),),
    timed_throughput,
    {"mode": "processes", "work": "spin", "ms": 1.0, "workers": 2},
    quick=True,
)
