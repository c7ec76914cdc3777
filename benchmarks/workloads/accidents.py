"""A stuck record and a kill; a second process that joins."""

from typing import Final

from benchmarks.accidents import joined, killed
from benchmarks.model import Bar, Contestant, Workload
from benchmarks.workloads import peers

_STUCK: Final = {"stuck": 5_000}

STUCK: Final = Workload(
    "stuck",
    "5 ms blocking, 64 threads; one record stuck for 20 s, then SIGKILL",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 200_000, _STUCK),
        Contestant("streamjobs, nothing stuck", peers.STREAMJOBS, 200_000),
        Contestant("threads", peers.THREADS, 200_000, _STUCK),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER, 200_000, _STUCK),
        Contestant("pyrallel", peers.PYRALLEL, 50_000, _STUCK),
    ),
    (
        Bar("rate", least=0.95, of="streamjobs, nothing stuck"),
        Bar("worst_second", least=0.1),
        Bar("over_allowed", most=0),
    ),
    killed,
    {"work": "sleep", "ms": 5.0, "virtual_partitions": 256},
    scaled=False,
)

JOINING: Final = Workload(
    "joining",
    "10 ms blocking, 64 threads, 4 partitions; a second process joins",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 400_000),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER, 400_000),
    ),
    (Bar("twice", most=0), Bar("worst_second", least=0.9)),
    joined,
    {"work": "sleep", "ms": 10.0, "partitions": 4},
    scaled=False,
)
