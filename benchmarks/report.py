"""What was measured: as tables for people, as JSON, as plots."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.model import Figures, Workload
from benchmarks.results import Results, Verdict, machine, verdicts
from benchmarks.workloads import WORKLOADS

REACHED = {True: "reached", False: "not reached", None: "not measured"}
SHOWN = (
    "rate", "cpu_us", "of_ideal", "p50_ms", "p99_ms", "late_ms", "worst_second", "replayed",
    "allowed", "twice", "rss_mib", "ledger_us", "freeze_ms",
)  # fmt: skip
"""The figures that are worth a column, each where it is measured."""


def rows(workload: Workload, rounds: Mapping[int, Mapping[str, Figures]]) -> Iterator[list[str]]:
    """A row for each contestant: its figures as medians, with the least and the most."""
    for contestant in workload.contestants:
        runs = [each[contestant.name] for each in rounds.values() if contestant.name in each]
        if runs:
            shown = [name for name in SHOWN if name in runs[0]]
            figures = "; ".join(f"{name} {_spread([run[name] for run in runs])}" for name in shown)
            yield [workload.title, contestant.name, contestant.peer.title, figures]


def bar_row(workload: Workload, verdict: Verdict) -> list[str]:
    """What is to be reached, and what was."""
    found = _spread(verdict.values) if verdict.values else "-"
    return [workload.title, str(verdict.bar), found, REACHED[verdict.reached]]


def show(workloads: Sequence[Workload], results: Results, seconds: float) -> None:
    """Both tables on the terminal."""
    figures = Table("workload", "contestant", "peer", "median (least..most)")
    bars = Table("workload", "bar", "median (least..most)", "")
    for workload in workloads:
        rounds = results.rounds(workload.name, seconds)
        for row in rows(workload, rounds):
            figures.add_row(*row)
        for verdict in verdicts(workload, rounds):
            bars.add_row(*bar_row(workload, verdict))
        for name, why in results.failures(workload.name, seconds).items():
            figures.add_row(workload.title, name, "failed", why[:200])
    console = Console()
    console.print(figures, bars)


def markdown(results: Results, seconds: float) -> str:
    """Both tables as `docs/performance.md` has them."""
    lines = ["| workload | bar | median (least..most) | |", "|---|---|---|---|"]
    figures = ["| workload | who | median (least..most) |", "|---|---|---|"]
    for workload in WORKLOADS.values():
        rounds = results.rounds(workload.name, seconds)
        if not rounds:
            continue
        lines += [_line(bar_row(workload, each)) for each in verdicts(workload, rounds)]
        for title, name, peer, found in rows(workload, rounds):
            who = peer if name in peer.lower() else f"{name} ({peer})"
            figures.append(_line([title, who, found]))
    return "\n".join([*lines, "", *figures])


def as_json(results: Results, seconds: float) -> str:
    """Every round, the bars, and what the numbers depend on."""
    found = {}
    for workload in WORKLOADS.values():
        rounds = results.rounds(workload.name, seconds)
        if rounds:
            found[workload.name] = {
                "rounds": rounds,
                "task": workload.task,
                "bars": [
                    {"bar": str(each.bar), "values": each.values, "reached": each.reached}
                    for each in verdicts(workload, rounds)
                ],
            }
    return json.dumps({"machine": machine(), "seconds": seconds, "workloads": found}, indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true")
    forms.add_argument("--json", action="store_true")
    forms.add_argument("--plots", type=Path, metavar="DIR", help="write SVG files there")
    parser.add_argument("--seconds", type=float, default=15.0, help="as they were measured with")
    options = parser.parse_args(arguments)
    results = Results()
    if options.markdown:
        print(markdown(results, options.seconds))
    elif options.json:
        print(as_json(results, options.seconds))
    elif options.plots is not None:
        from benchmarks import plots

        return plots.write(results, options.seconds, options.plots)
    else:
        show(list(WORKLOADS.values()), results, options.seconds)
    return 0


def _spread(values: Sequence[float]) -> str:
    return f"{_number(median(values))} ({_number(min(values))}..{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
