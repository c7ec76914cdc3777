"""More partitions, more keys, more virtual partitions: what that costs."""

from typing import Final

from benchmarks.arena import throughput
from benchmarks.model import Bar, Contestant, Workload
from benchmarks.workloads import peers

_VARIANTS: Final = {
    "4 partitions": {"partitions": 4},
    "10 x keys": {"keys": 100_000},
    "10 x virtual": {"virtual_partitions": 640},
}

SCALING: Final = Workload(
    "scaling",
    "4 partitions, 10 x the keys, 10 x the virtual partitions; no-op, threads",
    (
        Contestant("streamjobs", peers.STREAMJOBS, 50_000),
        *(Contestant(name, peers.STREAMJOBS, 50_000, more) for name, more in _VARIANTS.items()),
    ),
    tuple(Bar("rate", least=0.85, of="streamjobs", contestant=name) for name in _VARIANTS),
    throughput,
)

VIRTUAL_PARTITIONS: Final = Workload(
    "virtual-partitions",
    "5 ms blocking, 100 threads, over the number of virtual partitions",
    tuple(
        Contestant(
            "streamjobs" if count == 400 else f"{count} virtual",
            peers.STREAMJOBS,
            20 * count,
            {"virtual_partitions": count},
        )
        for count in (400, 1, 4, 16, 64, 128)
    ),
    (),
    throughput,
    {"work": "sleep", "ms": 5.0, "workers": 100},
)
