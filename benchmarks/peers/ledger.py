"""The ledger by itself, in this process: no Kafka, no handlers."""

import gc
import time
from random import Random
from typing import Final

import orjson

from streamjobs.engine.ledger import Ledger

IN_FLIGHT: Final = 10_000
SLICE: Final = 50
RECORDS: Final = 1_000_000
RUNS: Final = 1_000
BATCH: Final = 1_000


def amortised_us() -> float:
    """Microseconds a record, from `register` to `complete`: batches of 1,000 come in, slices of 50
    that are spread over 10,000 offsets in flight end.
    """
    ledger, random = Ledger(0), Random(7)
    waiting: list[int] = []
    slices: list[list[int]] = []
    spent, end = 0, 0
    while end < RECORDS:
        batch = range(end, end + BATCH)
        end += BATCH
        waiting.extend(batch)
        random.shuffle(waiting)
        if len(waiting) >= IN_FLIGHT:
            done, waiting = waiting[:BATCH], waiting[BATCH:]
            slices = [done[at : at + SLICE] for at in range(0, BATCH, SLICE)]
        began = time.perf_counter_ns()
        ledger.register(batch)
        for each in slices:
            ledger.complete(each)
        spent += time.perf_counter_ns() - began
        slices = []
    return spent / 1000 / RECORDS


def freeze_ms() -> float:
    """Milliseconds for what a commit takes, with 1,000 runs that are complete above the frontier.
    The quickest of 50: the others shared their core.
    """
    ledger = Ledger(0)
    ledger.register(range(20 * RUNS))
    for run in range(RUNS):
        ledger.complete(range(20 * run + 1, 20 * run + 11))
    return min(_nanoseconds(ledger) for _ in range(50)) / 1e6


def _nanoseconds(ledger: Ledger) -> int:
    began = time.perf_counter_ns()
    ledger.freeze()
    return time.perf_counter_ns() - began


def main() -> None:
    gc.disable()
    print(orjson.dumps({"ledger_us": amortised_us(), "freeze_ms": freeze_ms()}).decode())


if __name__ == "__main__":
    main()
