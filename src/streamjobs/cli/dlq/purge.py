"""`streamjobs dlq purge`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from streamjobs.cli.dlq.opened import Desk, count, opened, say, say_closed
from streamjobs.cli.dlq.options import DeadTopics, DryRun, Json, filtered
from streamjobs.cli.options import AppName, Broker
from streamjobs.errors import ConfigurationError, TopicError
from streamjobs.failures import purging
from streamjobs.failures.letterbox import ASK_WITHIN
from streamjobs.failures.selection import Selection
from streamjobs.failures.settle import settle

__all__ = ("purge",)


@filtered
def purge(
    app: AppName,
    selection: Selection,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    topics: DeadTopics = None,
    broker: Broker = None,
) -> None:
    """Give open dead letters up for good, and remove from Kafka what is of no more use.

    What begins a partition and belongs to no open letter is removed from it: purged and replayed
    letters, and the marks about them. Those behind an open letter stay until that one is settled.

    Examples: [b]python -m streamjobs dlq purge accounts:app --until 30d[/]

    [b]python -m streamjobs dlq purge accounts:app --id user-updates.dead/3/17 --yes[/]
    """
    with opened(app, broker, topics, selection) as desk:
        say_closed(desk, selection)
        letters = count(desk.open())
        if dry_run:
            _show({"dry_run": True, "letters": letters}, f"{letters:,} would be purged", as_json)
            return
        if letters and not yes:
            _ask(letters)
        sender = desk.sender()
        settle(desk.box, sender)
        chosen = desk.open()
        purging.purge(desk.box, sender, chosen)
        removed = _remove(desk)
    purged = count(chosen)
    told = {"purged": purged, "removed": removed}
    text = f"{purged:,} purged" if purged else "none purged"
    if removed:
        text += f"; settled ones removed from {len(removed):,} partitions"
    _show(told, text, as_json)


def _ask(letters: int) -> None:
    what = f"Purge {letters:,} dead letter{'s' if letters > 1 else ''} for good?"
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{what} There is no terminal to ask on: say --yes")
    typer.confirm(what, abort=True, err=True)


def _remove(desk: Desk) -> dict[str, int]:
    before = purging.removable(desk.box)
    try:
        desk.app.broker.delete_records(before, ASK_WITHIN)
    except TopicError as error:
        say(f"the marks are written, but the records stay: {error}")
        return {}
    return {f"{place.topic}/{place.partition}": offset for place, offset in before.items()}


def _show(told: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(told) if as_json else text)
