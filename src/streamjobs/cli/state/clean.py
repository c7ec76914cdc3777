"""`streamjobs state clean`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from streamjobs.cli.options import AppName
from streamjobs.cli.state.options import DryRun, Json, OfPartition, OfStore, OfTopic, Yes
from streamjobs.cli.state.shelf import Choice, Shelf, confirm, counted, name_of, opened
from streamjobs.failures.selection import parse_moment
from streamjobs.state.errors import StateLockedError
from streamjobs.state.store import StoreId

__all__ = ("clean",)


def clean(
    app: AppName,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Also stores that the app declares, if nobody has used them for so long: "
            "[b]12h[/], [b]30d[/]. Default: the setting [b]state_keep[/], a week.",
            metavar="TIME",
            show_default=False,
        ),
    ] = None,
    topic: OfTopic = None,
    partition: OfPartition = None,
    store: OfStore = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Delete stores on this machine that are of no more use.

    Those are stores that no handler of the app declares any more, and those that nobody has used
    for long. Their changelogs stay: where one is wanted again, it is restored from there. Stores
    that a process has open are left alone.

    Examples: [b]python -m streamjobs state clean accounts:app --dry-run[/]

    [b]python -m streamjobs state clean accounts:app --older-than 12h --yes[/]
    """
    with opened(app) as shelf:
        useless, in_use = _useless(
            shelf, Choice(topic, partition, store), _cutoff(shelf, older_than)
        )
        if dry_run:
            _show("would be deleted", useless, in_use, as_json, dry_run=True)
            return
        if useless:
            confirm(f"Delete {counted(useless)} on this machine?", yes=yes)
        deleted = []
        for each in useless:
            try:
                shelf.stores.destroy(each)
                deleted.append(each)
            except StateLockedError:
                in_use.append(each)
    _show("deleted", deleted, in_use, as_json, dry_run=False)


def _cutoff(shelf: Shelf, older_than: str | None) -> float:
    """The moment at which a store has to have been used last, to be kept."""
    now = time.time()
    if older_than is not None:
        return parse_moment(older_than, now)
    keep = shelf.app.settings.state_keep
    return now - keep if keep else float("-inf")


def _useless(shelf: Shelf, choice: Choice, cutoff: float) -> tuple[list[StoreId], list[StoreId]]:
    """Those of no use: that can go, and that somebody has open."""
    chosen = {
        store: seen
        for store, seen in shelf.chosen(choice).items()
        if seen.used < cutoff or not shelf.declares(store)
    }
    free = [store for store, seen in chosen.items() if not seen.is_open]
    return free, [store for store in chosen if store not in free]


def _show(
    done: str, stores: Sequence[StoreId], in_use: Sequence[StoreId], as_json: bool, *, dry_run: bool
) -> None:
    if as_json:
        told = {"stores": [*map(name_of, stores)], "open": [*map(name_of, in_use)]}
        typer.echo(json.dumps(({"dry_run": True} if dry_run else {}) | told))
        return
    for store in stores:
        typer.echo(f"{done}: {store}")
    for store in in_use:
        typer.echo(f"left alone, a process has it open: {store}")
    if not stores and not in_use:
        typer.echo("nothing to clean")
