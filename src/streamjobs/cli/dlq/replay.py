"""`streamjobs dlq replay`."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from streamjobs.cli.dlq.opened import Desk, count, opened, say, say_closed
from streamjobs.cli.dlq.options import DeadTopics, DryRun, Json, filtered
from streamjobs.cli.options import AppName, Broker
from streamjobs.failures.orders import order_of
from streamjobs.failures.replay import Replay, Summary
from streamjobs.failures.selection import Selection
from streamjobs.failures.settle import Settled, settle

__all__ = ("replay",)

TOLD: Final = 10
"""Letters named one by one where several could not be sent."""


@filtered
def replay(
    app: AppName,
    selection: Selection,
    limit: Annotated[int | None, typer.Option(min=1, help="So many letters at most.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    topics: DeadTopics = None,
    broker: Broker = None,
) -> None:
    """Send open dead letters back to the topic and partition they came from, each exactly once.

    Letters of one key keep their order. A replay that was interrupted is simply run again: what
    has arrived is found and not sent a second time. Only one replay of a topic at a time.

    Exits with 1 if a letter could not be sent. It stays open, and so do the later ones of its key.

    Examples: [b]python -m streamjobs dlq replay accounts:app --error TimeoutError --dry-run[/]

    [b]python -m streamjobs dlq replay accounts:app --job update_user --limit 10[/]
    """
    with opened(app, broker, topics, selection) as desk:
        say_closed(desk, selection)
        if dry_run:
            _show_plan(_plan(desk, limit), as_json)
            return
        sender = desk.sender()
        settled = settle(desk.box, sender)
        chosen = desk.open(limit)
        with _progress(count(chosen)) as advance:
            order = order_of(desk.app.topics)
            run = Replay(desk.box, sender, str(uuid.uuid4()), order, advance)
            summary = run.run(chosen)
    _show(summary, settled, run.ident, as_json)
    raise typer.Exit(1 if summary.failed else 0)


def _plan(desk: Desk, limit: int | None) -> dict[str, Any]:
    """What would be done, as far as can be known without looking for interrupted replays."""
    chosen = desk.open(limit)
    targets = Counter(letter.record.topic for letter in desk.box.letters(chosen))
    intents = [each for journal in desk.box.journals.values() for each in journal.intents.values()]
    return {
        "dry_run": True,
        "letters": count(chosen),
        "topics": dict(sorted(targets.items())),
        "interrupted": sum(len(each.offsets) for each in intents),
    }


def _show_plan(plan: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plan))
        return
    if plan["interrupted"]:
        typer.echo(
            f"{_letters(plan['interrupted'])} of an interrupted replay would be looked for first"
        )
    for topic, letters in plan["topics"].items():
        typer.echo(f"{_letters(letters)} would be sent to {topic}")
    if not plan["letters"]:
        typer.echo("nothing to replay")


@contextmanager
def _progress(letters: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    quiet = not console.is_terminal or not letters
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task("replaying", total=letters)
        yield lambda done: progress.update(task, advance=done)


def _show(summary: Summary, settled: Settled, ident: str, as_json: bool) -> None:
    for place in sorted(settled.unsure):
        say(
            f"{place} has lost records (retention) since a replay was interrupted: letters that "
            "were among them are open again, and may have been replayed twice now"
        )
    if as_json:
        told = {
            "replay": ident,
            "replayed": summary.replayed,
            "found": settled.found,
            "reopened": settled.reopened,
            "failed": summary.failed,
            "held_back": summary.held_back,
        }
        typer.echo(json.dumps(told))
        return
    if settled.found or settled.reopened:
        typer.echo(
            f"an interrupted replay: {_letters(settled.found)} had arrived, "
            f"{settled.reopened:,} had not"
        )
    typer.echo(f"{_letters(summary.replayed)} replayed" if summary.replayed else "none replayed")
    _tell(summary.failed, "could not be sent and stay open", lambda reason: reason)
    _tell(summary.held_back, "stay open behind these", lambda other: f"waits for {other}")


def _tell(letters: Mapping[str, str], what: str, why: Callable[[str], str]) -> None:
    if not letters:
        return
    typer.echo(f"{_letters(len(letters))} {what}:", err=True)
    for ident, reason in list(letters.items())[:TOLD]:
        typer.echo(f"  {ident}: {why(reason)}", err=True)
    if len(letters) > TOLD:
        typer.echo(f"  and {len(letters) - TOLD:,} more: --json names all", err=True)


def _letters(number: int) -> str:
    return "1 letter" if number == 1 else f"{number:,} letters"
