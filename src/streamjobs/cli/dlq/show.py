"""`streamjobs dlq show`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamjobs.broker.ports import TopicPartition
from streamjobs.cli.dlq.describe import describe, job_text, key_text, moment, printable
from streamjobs.cli.dlq.opened import opened
from streamjobs.cli.dlq.options import Json, parse_id
from streamjobs.cli.options import AppName, Broker
from streamjobs.failures.letters import Letter
from streamjobs.failures.selection import Selection

__all__ = ("show",)


def show(
    app: AppName,
    ident: Annotated[
        str,
        typer.Argument(metavar="ID", help="The letter: topic/partition/offset, as in the list."),
    ],
    as_json: Json = False,
    broker: Broker = None,
) -> None:
    """Show everything about one dead letter: its record, and what it died of.

    Example: [b]python -m streamjobs dlq show accounts:app user-updates.dead/3/17[/]
    """
    topic, partition, offset = parse_id(ident)
    place = TopicPartition(topic, partition)
    selection = Selection(group="*", ids={f"{topic}/{partition}/{offset}"})
    with opened(app, broker, [topic], selection) as desk:
        [letter] = desk.box.letters({place: [offset]})
        state = desk.state(letter)
    if as_json:
        typer.echo(json.dumps(describe(letter, state), indent=2))
    else:
        _show(letter, state)


def _show(letter: Letter, state: str) -> None:
    record, death = letter.record, letter.death
    facts = {
        "letter": letter.id,
        "state": state,
        "record": record.id,
        "app": death.group,
        "job": job_text(letter),
        "key": key_text(letter),
        "attempts": str(death.attempts),
        "first": moment(death.first),
        "last": moment(death.last),
        "sequenced": "later records of its key follow it" if death.sequenced else "no",
        "error": death.error,
        "message": printable(death.message),
    }
    console = Console(highlight=False)
    console.print(_grid(facts.items()))
    if record.headers:
        console.print("\n[b]headers[/]")
        console.print(_grid((printable(name), _text(value)) for name, value in record.headers))
    for title, text in (("value", _pretty(record.value)), ("traceback", death.traceback)):
        console.print(f"\n[b]{title}[/]")
        console.print(Text(printable(text)), soft_wrap=True)


def _grid(pairs: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
    return grid


def _pretty(value: bytes | None) -> str:
    if value is None:
        return "none: a tombstone"
    try:
        parsed: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return _text(value)
    return orjson.dumps(parsed, option=orjson.OPT_INDENT_2).decode()


def _text(value: bytes | None) -> str:
    return "-" if value is None else printable(value.decode(errors="backslashreplace"))
