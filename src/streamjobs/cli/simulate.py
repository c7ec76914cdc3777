"""`streamjobs simulate`."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from streamjobs.cli.loading import load
from streamjobs.errors import ConfigurationError

if TYPE_CHECKING:
    from streamjobs.testing import GuaranteeViolatedError, Report

__all__ = ("simulate",)


def simulate(
    app: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:APP]",
            help="Where the app is. Without one, the engine is simulated with made-up handlers.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many histories.")] = 1000,
    seed: Annotated[int | None, typer.Option(help="Only this one, to repeat a failure.")] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            help="Names with commas, [b]all[/] or [b]none[/]; a minus takes one out: "
            "[b]all,-crash[/]; where it comes first, out of the default. Default: all but those "
            "that take records away (compaction, retention).",
            show_default=False,
        ),
    ] = None,
    workload: Annotated[
        str,
        typer.Option(
            help="A function of the app's module that takes a random.Random and enqueues. "
            "Without one, arguments are made up from the annotations."
        ),
    ] = "workload",
    invariant: Annotated[
        list[str] | None,
        typer.Option(
            help="A function of the app's module that raises AssertionError when something of "
            "yours is broken; called after each attempt. May be repeated. Default: [b]invariant[/],"
            " if there is one.",
            show_default=False,
        ),
    ] = None,
    records: Annotated[int, typer.Option(min=1, help="Records of a made-up workload.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Run the app's own handlers through crashes, rebalances and other faults, in virtual time.

    Each seed is one history of a few virtual seconds with 1 to 4 processes; all of streamjobs'
    guarantees are checked, and your own invariants. Nothing reaches a real broker. Exits with 1
    and the history when something does not hold.

    Example: [b]python -m streamjobs simulate accounts:app --seeds 1000[/]
    """
    from streamjobs.testing import GuaranteeViolatedError

    run = _made_up(faults) if app is None else _own(app, faults, workload, invariant, records)
    chosen = range(seeds) if seed is None else range(seed, seed + 1)
    # Injected errors are what it is about: the handlers' own log lines would bury the verdict.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.process_time()
    try:
        report = _with_progress(run, chosen, quiet=as_json)
    except GuaranteeViolatedError as violation:
        _show_violation(violation, as_json)
        raise typer.Exit(1) from None
    _show(report, time.process_time() - began, as_json)


Simulate = Callable[[Sequence[int], Callable[[int], None]], "Report"]
"""Runs these seeds, and tells how many are done."""


def _made_up(faults: str | None) -> Simulate:
    """The engine itself, with handlers that emit, fail and dawdle."""
    from streamjobs.testing.simulation import faults as known
    from streamjobs.testing.simulation import simulate_seed
    from streamjobs.testing.simulation.simulate import EVERY_FAULT, Report

    chosen = EVERY_FAULT if faults is None else known.parse(faults.split(","), EVERY_FAULT)

    def run(seeds: Sequence[int], progress: Callable[[int], None]) -> Report:
        report = Report()
        for seed in seeds:
            report.add(simulate_seed(seed, faults=chosen))
            progress(report.runs)
        return report

    return run


def _own(
    name: str,
    faults: str | None,
    workload: str,
    invariants: list[str] | None,
    records: int,
) -> Simulate:
    """The user's app."""
    from streamjobs.testing import simulate as run_app
    from streamjobs.testing.simulation import faults as known
    from streamjobs.testing.simulation.app_runs import APP_FAULTS

    app = load(name)
    module = sys.modules[name.partition(":")[0]]
    wanted = invariants if invariants is not None else ["invariant"]
    options: dict[str, Any] = {
        "name": _repeated(name, faults, workload, invariants, records),
        "records": records,
        "faults": APP_FAULTS if faults is None else known.parse(faults.split(","), APP_FAULTS),
        "workload": _function(module, workload, required=workload != "workload"),
        "invariants": [
            function
            for each in wanted
            if (function := _function(module, each, required=invariants is not None))
        ],
    }
    return lambda seeds, progress: run_app(app, seeds=seeds, progress=progress, **options)


def _repeated(
    name: str, faults: str | None, workload: str, invariants: list[str] | None, records: int
) -> str:
    """The arguments that a line which repeats a failure needs, besides the seed."""
    parts = [name, *(f"--invariant {each}" for each in invariants or ())]
    parts += [f"--faults {faults}"] if faults is not None else []
    parts += [f"--workload {workload}"] if workload != "workload" else []
    parts += [f"--records {records}"] if records != 60 else []
    return " ".join(parts)


def _function(module: object, name: str, *, required: bool) -> Callable[..., object] | None:
    found = getattr(module, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    if required:
        raise ConfigurationError(f"{getattr(module, '__name__', module)} has no function {name!r}")
    return None


def _with_progress(run: Simulate, seeds: Sequence[int], *, quiet: bool) -> Report:
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("histories", total=len(seeds))
        return run(seeds, lambda done: progress.update(task, completed=done))


def _show(report: Report, seconds: float, as_json: bool) -> None:
    numbers = {
        "runs": report.runs,
        "records": report.records,
        "simulated_seconds": round(report.simulated_seconds),
        "runs_per_cpu_minute": round(report.runs / seconds * 60) if seconds else None,
    }
    if as_json:
        typer.echo(json.dumps({"holds": True, **numbers, "coverage": report.coverage}))
        return
    console = Console()
    console.print(f"[green]all guarantees hold[/] in {report.runs:,} histories:", numbers)
    hits = ", ".join(f"{name} {count}" for name, count in report.coverage.most_common())
    console.print(f"[dim]what happened in them: {hits}[/]", highlight=False)


def _show_violation(violation: GuaranteeViolatedError, as_json: bool) -> None:
    notes = getattr(violation, "__notes__", [])
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "holds": False,
                    "guarantee": violation.guarantee,
                    "claim": violation.claim,
                    "history": [repr(event) for event in violation.history],
                    "repeat": notes,
                }
            )
        )
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(str(violation))
    for note in notes:
        console.print(note, style="bold red")
