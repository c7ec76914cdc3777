"""The workloads, in the order of the table."""

from collections.abc import Mapping
from typing import Final

from benchmarks.model import Workload
from benchmarks.workloads import accidents, computing, inside, noop, pacing, scaling, waiting

WORKLOADS: Final[Mapping[str, Workload]] = {
    workload.name: workload
    for workload in (
        noop.INLINE,
        noop.THREADS,
        waiting.BLOCKING_10MS,
        waiting.BLOCKING_5MS,
        waiting.AWAITING,
        noop.EMIT,
        noop.ONE_KEY,
        noop.ONE_KEY_1MS,
        computing.CPU,
        pacing.OPEN_LOOP,
        pacing.HOT_KEY,
        pacing.OVER_DRIVEN,
        accidents.STUCK,
        accidents.JOINING,
        scaling.SCALING,
        scaling.VIRTUAL_PARTITIONS,
        inside.LEDGER,
        inside.MEMORY,
    )
}
