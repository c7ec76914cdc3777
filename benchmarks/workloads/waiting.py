"""Handlers that wait: blocking on threads, and awaiting on an event loop."""

from typing import Final

from benchmarks.arena import timed_throughput
from benchmarks.model import Bar, Contestant, Workload
from benchmarks.workloads import peers

_THREADS: Final = {"mode": "threads", "work": "sleep", "workers": 100, "virtual_partitions": 400}
_JVM_AND_OTHERS: Final = (
    Contestant("parallel-consumer", peers.PARALLEL_CONSUMER, 5_000),
    Contestant("pyrallel", peers.PYRALLEL, 2_000),
)

BLOCKING_10MS: Final = Workload(
    "blocking-10ms",
    "10 ms blocking, 100 threads",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 5_000),
        Contestant("threads", peers.THREADS, 5_000),
        *_JVM_AND_OTHERS,
    ),
    (Bar("rate", least=1.0, of="threads"), Bar("of_ideal", least=0.95)),
    timed_throughput,
    {**_THREADS, "ms": 10.0},
    quick=True,
)

BLOCKING_5MS: Final = Workload(
    "blocking-5ms",
    "5 ms blocking, 100 threads",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 10_000),
        Contestant("threads", peers.THREADS, 10_000),
        *_JVM_AND_OTHERS,
    ),
    (Bar("rate", least=1.0, of="threads"),),
    timed_throughput,
    {**_THREADS, "ms": 5.0},
)

AWAITING: Final = Workload(
    "awaiting-10ms",
    "10 ms await, 1,000 at a time",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 20_000),
        Contestant("chains", peers.CHAINS, 20_000),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER, 10_000),
        Contestant("pyrallel", peers.PYRALLEL, 2_000),
    ),
    (Bar("rate", least=0.75, of="chains"),),
    timed_throughput,
    {"mode": "tasks", "work": "await", "ms": 10.0, "workers": 1_000, "virtual_partitions": 4_000},
    quick=True,
)
