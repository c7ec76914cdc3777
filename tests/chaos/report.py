"""Outcomes as tables."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.chaos.outcome import Outcome

GOOD, BAD = "[green]yes[/]", "[bold red]NO[/]"


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """All numbers, and what went wrong."""
    console.print(_blows(outcomes))
    console.print(_scenarios(outcomes))
    for outcome in outcomes:
        for name, text in outcome.notes.items():
            console.print(f"{outcome.scenario}: {name}: {text}", highlight=False)
    for outcome in outcomes:
        for failure in outcome.failures:
            console.print(f"[bold red]{outcome.scenario}:[/]", end=" ")
            console.print(failure, markup=False, highlight=False)


def _blows(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="What each blow cost, in records")
    for name in ("scenario", "blow", "to"):
        table.add_column(name)
    for name in (
        "attempts running",
        "in flight",
        "done since commit",
        "commit was s ago",
        "ran again",
        "within bound",
        "s until there",
    ):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        for toll in outcome.tolls:
            table.add_row(
                outcome.scenario,
                toll.blow,
                toll.member,
                str(toll.running),
                str(toll.in_flight),
                str(toll.since_commit),
                f"{toll.commit_age:.1f}",
                str(toll.replayed),
                GOOD if toll.kept else BAD,
                f"{toll.back:.1f}",
            )
        table.add_section()
    return table


def _scenarios(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Scenarios")
    table.add_column("scenario")
    for name in ("s", "records", "attempts", "blows", "settled, and ran again", "lost"):
        table.add_column(name, justify="right")
    table.add_column("guarantees")
    for outcome in outcomes:
        table.add_row(
            outcome.scenario,
            f"{outcome.seconds:.0f}",
            f"{outcome.sent:,}",
            f"{outcome.attempts:,}",
            str(len(outcome.tolls)),
            f"{outcome.replayed:,}",
            str(outcome.lost) if not outcome.lost else f"[bold red]{outcome.lost}[/]",
            "[green]kept[/]" if not outcome.failures else f"[bold red]{len(outcome.failures)}[/]",
        )
    return table
