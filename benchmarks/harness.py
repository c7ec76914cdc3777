"""streamjobs and its peers side by side, in interleaved rounds on a real Kafka.

    python -m benchmarks compare [--only noop,emit] [--broker localhost:9092] [--again]
    python -m benchmarks compare --quick      ratios to the peers that need nothing installed
    python -m benchmarks report --markdown    the table of what was measured; --json, --plots DIR

What has been run is in `.bench/results.jsonl` and is not run again, so an interrupted measurement
goes on where it was; `--again` forgets it. Without a broker's address (or STREAMJOBS_TEST_BROKER)
one is started. Fails where a bar is missed (with --quick: by 40 % in the best of three rounds).
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from benchmarks import report
from benchmarks.arena import Arena, PeerFailed
from benchmarks.environments import DIRECTORY, CannotRun
from benchmarks.model import Contestant, Workload
from benchmarks.results import TRY, Result, Results, Verdict, verdicts
from benchmarks.workloads import WORKLOADS
from tests.support.kafka_server import KafkaServer

QUICK_SHARE: Final = 0.6
LADDER: Final = (1, 2, 5)

say = Console(stderr=True, highlight=False).print


@dataclass(frozen=True)
class Plan:
    """How thoroughly it is measured."""

    rounds: int = 3
    seconds: float = 15.0
    quick: bool = False

    def contestants(self, workload: Workload) -> Sequence[Contestant]:
        """Who takes part: in a quick one, those that bars speak of."""
        if not self.quick:
            return workload.contestants
        spoken_of = {"streamjobs"} | {bar.of for bar in workload.bars}
        return [each for each in workload.contestants if each.name in spoken_of]


class Harness:
    """Runs what is missing from the results."""

    def __init__(self, arena: Arena, results: Results, plan: Plan) -> None:
        self._arena = arena
        self._results = results
        self._plan = plan

    def measure(self, workload: Workload) -> list[Verdict]:
        """All rounds of a workload; a quick one is over when nothing is left to show."""
        say(f"[bold]{workload.name}[/]: {workload.title}")
        found: list[Verdict] = []
        for number in range(1, self._plan.rounds + 1):
            for contestant in self._plan.contestants(workload):
                self._once(workload, contestant, number)
            found = verdicts(workload, self._results.rounds(workload.name, self._plan.seconds))
            if self._plan.quick and all(passes(each) for each in found):
                break
        return found

    def _once(self, workload: Workload, contestant: Contestant, number: int) -> Result:
        known = self._results.get(workload.name, contestant.name, number, self._plan.seconds)
        if known is not None:
            return known
        records = contestant.start
        if number != TRY and workload.scaled:
            tried = self._once(workload, contestant, TRY)
            if tried.failed:
                return tried  # it would fail again
            wanted = tried.figures["rate"] * self._plan.seconds
            records = max(contestant.start, fitting(wanted, workload.most))
        return self._results.add(self._run(workload, contestant, number, records))

    def _run(self, workload: Workload, contestant: Contestant, number: int, records: int) -> Result:
        name = f"  {number or 'try':>3} {contestant.name:18}"
        run = (workload.name, contestant.name, number, self._plan.seconds)
        try:
            figures = workload.measure(self._arena, workload, contestant, records)
        except (PeerFailed, CannotRun) as error:
            say(f"{name} [red]failed[/]: {error}", markup=True)
            return Result(*run, {}, str(error))
        shown = ", ".join(f"{key} {value:,.4g}" for key, value in figures.items())
        say(f"{name} {shown}")
        return Result(*run, figures)


def passes(verdict: Verdict) -> bool:
    """Whether a quick measurement may be content with it."""
    return bool(verdict.values) and verdict.bar.is_reached(verdict.best, QUICK_SHARE)


def fitting(records: float, most: int) -> int:
    """The largest of 1,000, 2,000, 5,000, 10,000, ... that is not above either."""
    size = 1_000
    for step in (factor * 1_000 * 10**power for power in range(5) for factor in LADDER):
        if step <= min(records, most):
            size = step
    return size


@contextmanager
def kafka(address: str | None) -> Iterator[str]:
    """The broker at this address, or one that is started for this measurement."""
    if address:
        yield address
        return
    with KafkaServer(DIRECTORY / "kafka") as server:  # its topics stay for the next time
        yield server.bootstrap


def compare(arguments: Sequence[str] | None = None) -> int:
    """Measure, show the table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__)
    parser.add_argument("--only", help="workloads, with commas between: " + ", ".join(WORKLOADS))
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_TEST_BROKER"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="that a run takes, about (15; quick: 1.5)")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--quick", action="store_true", help="<= 5 minutes, in-process peers")
    options = parser.parse_args(arguments)
    seconds = options.seconds or (1.5 if options.quick else 15.0)
    plan = Plan(options.rounds, seconds, options.quick)
    chosen = _chosen(options.only, quick=options.quick)
    results = Results()
    if options.again or options.quick:  # a quick one is a check of what is there now
        results.forget((each.name for each in chosen), seconds)
    results.retry_failed()
    with kafka(options.broker) as broker, closing(Arena(broker)) as arena:
        harness = Harness(arena, results, plan)
        found = {workload.name: harness.measure(workload) for workload in chosen}
    report.show(chosen, results, plan.seconds)
    if options.quick:
        return int(not all(passes(each) for every in found.values() for each in every))
    return int(not all(each.reached for every in found.values() for each in every))


def _chosen(only: str | None, *, quick: bool) -> list[Workload]:
    if only is None:
        return [each for each in WORKLOADS.values() if each.quick or not quick]
    unknown = [name for name in only.split(",") if name not in WORKLOADS]
    if unknown:
        sys.exit(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return [WORKLOADS[name] for name in only.split(",")]
