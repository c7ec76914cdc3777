"""`streamjobs state reset`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer

from streamjobs.broker.ports import TopicPartition
from streamjobs.cli.options import AppName, Broker
from streamjobs.cli.state.options import DryRun, Json, OfPartition, OfStore, OfTopic, Yes
from streamjobs.cli.state.shelf import Choice, Shelf, confirm, counted, name_of, opened
from streamjobs.errors import ConfigurationError
from streamjobs.state import resetting
from streamjobs.state.errors import StateLockedError
from streamjobs.state.resetting import Target
from streamjobs.state.store import StoreId

__all__ = ("reset",)

ASK_WITHIN = 8.0


def reset(
    app: AppName,
    changelog: Annotated[
        bool,
        typer.Option(
            "--changelog",
            help="Begin with no state: also empty the changelogs. Only while the app is stopped, "
            "everywhere. What is complete stays complete.",
        ),
    ] = False,
    topic: OfTopic = None,
    partition: OfPartition = None,
    store: OfStore = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    broker: Broker = None,
) -> None:
    """Repair the stores of this machine, or begin with no state.

    Alone it deletes the stores here, and the next start restores them from their changelogs: for
    files that are damaged. With [b]--changelog[/] the state is gone for good: each entry of the
    changelogs gets a tombstone, and the commits of the group say no more how far the changelogs
    reached. That also helps where a changelog was deleted and made again, and the app stops because
    it ends too early.

    Examples: [b]python -m streamjobs state reset accounts:app --partition 3[/]

    [b]python -m streamjobs state reset accounts:app --changelog --topic orders[/]
    """
    choice = Choice(topic, partition, store)
    with opened(app, broker) as shelf:
        here = shelf.chosen(choice)
        targets = _targets(shelf, choice) if changelog else {}
        if dry_run:
            _show_plan(here, targets, as_json)
            return
        _refuse_those_in_use({each for each, seen in here.items() if seen.is_open})
        if here or targets:
            confirm(_question(here, targets), yes=yes)
        done = _begin_anew(shelf, targets) if targets else resetting.Reset(0, 0)
        for each in here:
            shelf.stores.destroy(each)
    _show(here, done, as_json)


def _targets(shelf: Shelf, choice: Choice) -> dict[StoreId, Target]:
    """The stores of all partitions, wherever they are, and their changelogs."""
    if shelf.app.settings.broker == "embedded":
        raise ConfigurationError(
            "an embedded broker ends with this command, so there are no changelogs on it; give the "
            "address of one that goes on running"
        )
    counts = shelf.app.broker.topics(ASK_WITHIN)
    return {
        store: Target(
            TopicPartition(changelog, number) if number < counts.get(changelog, 0) else None,
            place=sorted(changelogs).index(name),
        )
        for topic, changelogs in shelf.changelogs.items()
        for name, changelog in changelogs.items()
        for number in range(counts.get(topic, 0))
        if choice.takes(store := StoreId(topic, number, name))
    }


def _begin_anew(shelf: Shelf, targets: Mapping[StoreId, Target]) -> resetting.Reset:
    app = shelf.app
    return resetting.reset(
        app.broker,
        app.name,
        targets,
        consumer_config=app.settings.consumer_config,
        producer_config=app.settings.producer_config,
    )


def _refuse_those_in_use(stores: Collection[StoreId]) -> None:
    if stores:
        raise StateLockedError(
            f"a process has {', '.join(map(str, sorted(stores)))} open: stop the app on this "
            "machine first"
        )


def _question(here: Collection[StoreId], targets: Collection[StoreId]) -> str:
    if targets:
        return (
            f"Delete the state of {counted(targets)} for good: their changelogs, and "
            f"{counted(here)} on this machine?"
        )
    return f"Delete {counted(here)} on this machine, to be restored from their changelogs?"


def _show_plan(here: Collection[StoreId], targets: Collection[StoreId], as_json: bool) -> None:
    if as_json:
        told = {"stores": [*map(name_of, here)], "changelogs": [*map(name_of, targets)]}
        typer.echo(json.dumps({"dry_run": True} | told))
        return
    for store in here:
        typer.echo(f"would be deleted here: {store}")
    for store in targets:
        typer.echo(f"the changelog would be emptied: {store}")
    if not here and not targets:
        typer.echo("nothing to reset")


def _show(here: Collection[StoreId], done: resetting.Reset, as_json: bool) -> None:
    told: dict[str, Any] = {
        "stores": [*map(name_of, here)],
        "tombstones": done.tombstones,
        "commits": done.commits,
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    parts = [f"{counted(here)} deleted here"] if here else []
    if done.tombstones:
        parts.append(f"{done.tombstones:,} entries removed from changelogs")
    if done.commits:
        parts.append(f"ends of changelogs taken out of the commits of {done.commits:,} partitions")
    typer.echo("; ".join(parts) or "nothing to reset")
