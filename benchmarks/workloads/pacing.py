"""Records that come at their times: how long they take, beside a hot key as well."""

from typing import Final

from benchmarks.model import Bar, Contestant, Workload
from benchmarks.pacing import WARM_UP, latencies
from benchmarks.workloads import peers

_SECONDS: Final = 12 + WARM_UP

OPEN_LOOP: Final = Workload(
    "open-loop",
    "open loop 2,000/s, 100 us of work",
    tuple(
        Contestant(name, peer, int(2_000 * _SECONDS))
        for name, peer in (
            ("streamjobs", peers.STREAMJOBS),
            ("bare", peers.BARE),
            ("threads", peers.THREADS),
            ("parallel-consumer", peers.PARALLEL_CONSUMER),
        )
    ),
    (Bar("p50_ms", most=1.5), Bar("p99_ms", most=10)),
    latencies,
    {"rate": 2_000.0, "work": "spin", "ms": 0.1},
    scaled=False,
)


def _with_and_without(hot: float, others: float, seconds: float) -> tuple[Contestant, ...]:
    """Each peer twice: with the hot key, and with nothing but the others."""
    found = []
    for name, peer in (
        ("streamjobs", peers.STREAMJOBS),
        ("threads", peers.THREADS),
        ("parallel-consumer", peers.PARALLEL_CONSUMER),
    ):
        for title, rate, is_hot in ((name, hot + others, True), (f"{name} alone", others, False)):
            more = {"rate": rate, "hot": is_hot}
            found.append(Contestant(title, peer, int(rate * seconds), more))
    return tuple(found)


HOT_KEY: Final = Workload(
    "hot-key",
    "half of the load on a key at half of its capacity, 1 ms, open loop 1,000/s: the others",
    _with_and_without(500.0, 500.0, _SECONDS),
    (Bar("p99_ms", most=1.2, of="streamjobs alone"), Bar("p99_ms", most=5)),
    latencies,
    {"work": "sleep", "ms": 1.0},
    scaled=False,
)

OVER_DRIVEN: Final = Workload(
    "over-driven",
    "2,000/s on a key that can do 1,000/s, 2,000/s on others, for 10 s: the others",
    _with_and_without(2_000.0, 2_000.0, 10 + WARM_UP),
    (Bar("p50_ms", most=2, of="streamjobs alone"),),
    latencies,
    {"work": "sleep", "ms": 1.0},
    scaled=False,
)
