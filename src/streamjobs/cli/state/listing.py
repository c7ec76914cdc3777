"""`streamjobs state list`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from streamjobs.cli.options import AppName
from streamjobs.cli.state.options import Json, OfPartition, OfStore, OfTopic
from streamjobs.cli.state.shelf import Choice, Shelf, counted, opened
from streamjobs.state.store import Seen, StoreId

__all__ = ("list_stores",)


def list_stores(
    app: AppName,
    topic: OfTopic = None,
    partition: OfPartition = None,
    store: OfStore = None,
    as_json: Json = False,
) -> None:
    """List the stores that are on this machine, in the app's [b]state_dir[/].

    The number of entries is an estimate, the size is what the files take. [b]open[/]: a process
    works with it. [b]not declared[/]: no handler of the app has such a store any more. Times are in
    UTC. [b]--json[/] prints one object a line.

    Example: [b]python -m streamjobs state list accounts:app[/]
    """
    with opened(app) as shelf:
        chosen = shelf.chosen(Choice(topic, partition, store))
        if as_json:
            for each, seen in chosen.items():
                typer.echo(json.dumps(describe(shelf, each, seen)))
        else:
            _show(shelf, chosen)


def describe(shelf: Shelf, store: StoreId, seen: Seen) -> dict[str, Any]:
    """Everything that is known; the names are public, they stay."""
    return {
        "topic": store.topic,
        "partition": store.partition,
        "store": store.store,
        "entries": None if seen.size is None else seen.size.entries,
        "bytes": None if seen.size is None else seen.size.bytes,
        "used": datetime.fromtimestamp(seen.used, UTC).isoformat(timespec="seconds"),
        "declared": shelf.declares(store),
        "open": seen.is_open,
    }


def _show(shelf: Shelf, chosen: Mapping[StoreId, Seen]) -> None:
    if chosen:
        table = Table("topic", "partition", "store", "entries", "size", "last used", "")
        for store, seen in chosen.items():
            table.add_row(*_row(shelf, store, seen))
        Console().print(table)
    typer.echo(f"{counted(chosen) if chosen else 'no stores'} in {shelf.app.settings.state_dir}")


def _row(shelf: Shelf, store: StoreId, seen: Seen) -> list[Text]:
    remarks = [
        remark
        for remark, holds in (
            ("open", seen.is_open),
            ("not declared", not shelf.declares(store)),
            ("cannot be read", seen.size is None),
        )
        if holds
    ]
    cells = [
        store.topic,
        str(store.partition),
        store.store,
        "-" if seen.size is None else f"{seen.size.entries:,}",
        "-" if seen.size is None else decimal(seen.size.bytes),
        datetime.fromtimestamp(seen.used, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        ", ".join(remarks),
    ]
    return [Text(cell, overflow="fold") for cell in cells]
