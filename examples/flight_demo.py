"""The demo: the same jobs on one partition, with 1 virtual partition and with 64."""

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from examples.flight_check import Report, check
from examples.flight_recorder import FlightRecorder
from examples.flights import Flight, enqueue, read_flights
from streamjobs import App, Receipt, VirtualPartitions

BLOCK: Final = 250
AHEAD: Final = 5_000
"""Jobs on the topic that are not done: the embedded broker keeps about 5 MB (12,000 jobs)."""

STALLED: Final = 10.0
"""Seconds without a job after which those that are missing count as gone."""

console = Console()


class Trial:
    """Flights worked on with so many virtual partitions, on a broker and a database of its own."""

    def __init__(
        self, flights: Sequence[Flight], virtual_partitions: int, directory: Path, broker: str
    ) -> None:
        name = f"flights-on-{virtual_partitions}"
        self.title = f"{virtual_partitions} virtual partition" + "s" * (virtual_partitions > 1)
        self.flights = flights
        self.recorder = FlightRecorder(directory / f"{name}.db")
        self.app = App(name, broker=broker)
        self.job = self.app.job(
            topic=name,
            key="tailnum",
            virtual_partitions=VirtualPartitions(virtual_partitions, distribution="balanced"),
        )(self.recorder.record)
        self.stopped_by_user = True
        self._over = Event()

    def run(self, progress: Progress) -> Report:
        """Work until all flights are done, or until Ctrl-C or SIGTERM."""
        bar = progress.add_task(self.title, total=len(self.flights))
        with ThreadPoolExecutor(1) as executor:
            try:
                feeding = executor.submit(self._feed_and_stop, progress, bar)
                with suppress(KeyboardInterrupt):  # a signal before the app listens to it
                    self.app.run()
            finally:
                self._over.set()
            feeding.result()
        self.app.close()
        report = check(self.flights, self.recorder)
        self.recorder.close()
        return report

    def _feed_and_stop(self, progress: Progress, bar: TaskID) -> None:
        try:
            for done in self._feed():
                progress.update(bar, completed=done)
        finally:
            if not self._over.is_set():
                self.stopped_by_user = False
                self.app.stop()

    def _feed(self) -> Iterator[int]:
        """Enqueue in step with the work; yields how much is done, until all is or nothing moves."""
        receipts: list[Receipt] = []
        done, moved = 0, time.monotonic()
        while done < len(self.flights):
            if len(receipts) < min(done + AHEAD, len(self.flights)):
                block = self.flights[len(receipts) : len(receipts) + BLOCK]
                receipts += enqueue(self.job, block)
            elif self._over.wait(0.02) or time.monotonic() - moved > STALLED:
                break
            if self.recorder.done > done:
                done, moved = self.recorder.done, time.monotonic()
            yield done
        for receipt in receipts:
            receipt.wait()


def run(flights: int | None = None, one_by_one: int = 2_000, broker: str = "embedded") -> bool:
    """Work on the first flights one by one, then on all on 64 virtual partitions; show both.

    Returns whether everything that was done is right, and everything is done (or was stopped by
    Ctrl-C or SIGTERM).
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # while no app runs, as Ctrl-C
    everything = read_flights(flights)
    console.print(
        f"{len(everything):,} flights on one Kafka partition, a job each: wait 5 ms, then update "
        "a row\nin SQLite. The flights of one aircraft have to stay in order.\n",
        soft_wrap=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        trials = [
            Trial(everything[:one_by_one], 1, Path(folder), broker),
            Trial(everything, 64, Path(folder), broker),
        ]
        reports: list[tuple[Trial, Report]] = []
        with _progress() as progress:
            for trial in trials:
                reports.append((trial, trial.run(progress)))
                if trial.stopped_by_user:
                    break
    console.print(_table(reports))
    return _explain(reports)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:>21}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _table(reports: Sequence[tuple[Trial, Report]]) -> Table:
    table = Table("", *[trial.title for trial, _ in reports], title_justify="left")
    for _ in reports:
        table.columns[-1].justify = "right"
    base = reports[0][1].per_second
    rows: dict[str, Callable[[Trial, Report], str]] = {
        "jobs done": lambda trial, report: f"{report.done:,} of {len(trial.flights):,}",
        "aircraft": lambda _, report: f"{report.aircraft:,}",
        "jobs per second": lambda _, report: f"{report.per_second:,.0f}",
        "speed-up": lambda _, report: f"{report.per_second / base:.1f} x" if base else "-",
        "order violations": lambda _, report: f"{len(report.violations):,}",
        "jobs run twice": lambda _, report: f"{report.replays:,}",
        "SQLite equals the file": lambda _, report: "yes" if report.rows_agree else "NO",
    }
    for title, cell in rows.items():
        table.add_row(title, *[cell(trial, report) for trial, report in reports])
    return table


def _explain(reports: Sequence[tuple[Trial, Report]]) -> bool:
    """Say in words what the table means; returns whether it is good."""
    good = True
    for trial, report in reports:
        for violation in report.violations[:5]:
            console.print(f"[red]out of order[/] {violation}")
        good = good and report.in_order
        if report.missing and not trial.stopped_by_user:
            good = False
            console.print(
                f"[red]{len(report.missing):,} flights never came[/], the first is number "
                f"{report.missing[0]:,}: were they gone from the broker before they were read?"
            )
    if any(trial.stopped_by_user for trial, _ in reports):
        console.print("Stopped by a signal: every job that had started has ended.")
    return good
