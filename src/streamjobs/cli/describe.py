"""`streamjobs describe`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from streamjobs.cli.flowchart import flowchart
from streamjobs.cli.loading import load
from streamjobs.cli.options import AppName
from streamjobs.description import AppDescription, Handler, TopicDescription
from streamjobs.description import describe as description_of

__all__ = ("describe",)


WIDE: Final = 1_000
"""Columns: the terminal wraps what is longer than it is, so that no name is cut or torn."""


class Format(StrEnum):
    """For whom it is."""

    text = "text"
    mermaid = "mermaid"
    json = "json"


def describe(
    app: AppName,
    form: Annotated[
        Format, typer.Option("--format", help="For people, for a drawing, or for scripts.")
    ] = Format.text,
) -> None:
    """Show what the app is made of: topics, what handles their records and writes where, parallel
    stages, virtual partitions, stores and their changelogs, dead-letter topics. No broker needed.
    """
    _SHOW[form](description_of(load(app)))


def _as_text(description: AppDescription) -> None:
    tree = Tree(f"[b]{escape(description.app)}[/]")
    if not description.topics:
        tree.add("[yellow]no jobs, stream handlers or pipelines[/]")
    for topic in description.topics:
        _add_topic(tree, topic)
    for table in description.tables:
        tree.add(f"table [b cyan]{escape(table)}[/], all of it in each process")
    Console(width=WIDE).print(tree)


def _add_topic(tree: Tree, topic: TopicDescription) -> None:
    made = " [dim](made by group_by)[/]" if topic.repartition else ""
    branch = tree.add(f"[b cyan]{escape(topic.name)}[/]{made}")
    branch.add(_splitting(topic))
    for handler in topic.handlers:
        _add_handler(branch, handler)
    for store in topic.stores:
        branch.add(f"store {escape(store.name)} [dim]with changelog {escape(store.changelog)}[/]")
    if topic.together:
        branch.add(f"shares stores and time with {escape(', '.join(topic.together))}")
    branch.add(f"given up → [red]{escape(topic.dead_letter)}[/]")


def _splitting(topic: TopicDescription) -> str:
    split = topic.virtual_partitions
    if split.count == 1:
        return "1 virtual partition: each partition is one order"
    order = {"key": "in order per key", "none": "in no order"}.get(
        split.ordering, "in order per virtual partition"
    )
    return f"{split.count} virtual partitions ({split.distribution}), {order}"


def _add_handler(branch: Tree, handler: Handler) -> None:
    node = branch.add(f"[b green]{escape(handler.name)}[/] ({handler.kind}, {handler.runs})")
    if handler.parallel is not None:
        stage = handler.parallel
        node.add(f"parallel stage [green]{escape(stage.name)}[/] ({stage.runs})")
    for looked_up in handler.tables:
        node.add(f"looks up [cyan]{escape(looked_up)}[/]")
    for written in handler.writes:
        node.add(f"→ [cyan]{escape(written)}[/]")
    for sink in handler.sinks:
        node.add(f"→ sink [magenta]{escape(sink)}[/]")


def _as_mermaid(description: AppDescription) -> None:
    typer.echo(flowchart(description))


def _as_json(description: AppDescription) -> None:
    typer.echo(json.dumps(asdict(description), indent=2))


_SHOW: Final[dict[Format, Callable[[AppDescription], None]]] = {
    Format.text: _as_text,
    Format.mermaid: _as_mermaid,
    Format.json: _as_json,
}
