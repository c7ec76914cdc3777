"""A handler that parses JSON and does nothing: what the library itself costs."""

from typing import Final

from benchmarks.arena import throughput, timed_throughput
from benchmarks.model import Bar, Contestant, Workload
from benchmarks.workloads import peers

INLINE: Final = Workload(
    "noop-inline",
    "no-op + JSON, inline",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 50_000),
        Contestant("bare", peers.BARE, 100_000),
        Contestant("quix", peers.QUIX, 20_000),
        Contestant("kafka-streams", peers.KAFKA_STREAMS, 100_000),
        Contestant("aiokafka", peers.AIOKAFKA, 20_000),
        Contestant("faststream", peers.FASTSTREAM, 5_000),
        Contestant("arroyo", peers.ARROYO, 20_000),
    ),
    (Bar("rate", least=0.5, of="bare"), Bar("rate", least=3, of="quix")),
    throughput,
    {"mode": "inline"},
    quick=True,
)

THREADS: Final = Workload(
    "noop",
    "no-op + JSON, threads, 64 virtual partitions",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 50_000),
        Contestant("bare", peers.BARE, 100_000),
        Contestant("quix", peers.QUIX, 20_000),
        Contestant("threads", peers.THREADS, 20_000),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER, 20_000),
        Contestant("pyrallel", peers.PYRALLEL, 5_000),
    ),
    (Bar("rate", least=0.25, of="bare"), Bar("rate", least=2, of="quix")),
    throughput,
    {"mode": "threads", "workers": 64, "virtual_partitions": 64},
    quick=True,
)

ONE_KEY: Final = Workload(
    "one-key",
    "one key only, no-op",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 20_000),
        Contestant("threads", peers.THREADS, 20_000),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER),
        Contestant("pyrallel", peers.PYRALLEL),
    ),
    (Bar("rate", least=50_000),),
    throughput,
    {"keys": 1},
)

ONE_KEY_1MS: Final = Workload(
    "one-key-1ms",
    "one key only, 1 ms blocking",
    (
        Contestant("streamjobs", peers.STREAMJOBS),
        Contestant("threads", peers.THREADS),
        Contestant("parallel-consumer", peers.PARALLEL_CONSUMER),
        Contestant("pyrallel", peers.PYRALLEL),
    ),
    (Bar("of_ideal", least=0.95),),
    timed_throughput,
    {"keys": 1, "work": "sleep", "ms": 1.0},
)

EMIT: Final = Workload(
    "emit",
    "emit one record per record",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 20_000),
        Contestant("quix", peers.QUIX, 20_000),
        Contestant("bare", peers.BARE, 50_000),
    ),
    (Bar("rate", least=1.3, of="quix"),),
    throughput,
    {"work": "emit", "mode": "inline"},
    quick=True,
)
