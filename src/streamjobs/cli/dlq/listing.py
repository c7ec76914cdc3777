"""`streamjobs dlq list`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from streamjobs.cli.dlq.describe import describe, job_text, key_text, moment, printable
from streamjobs.cli.dlq.opened import Desk, count, first, opened, say
from streamjobs.cli.dlq.options import DeadTopics, Json, filtered
from streamjobs.cli.options import AppName, Broker
from streamjobs.failures.letters import Letter
from streamjobs.failures.selection import Selection

__all__ = ("list_letters",)

SHOWN: Final = 100
"""Letters in a table where nobody said how many."""

MESSAGE: Final = 80
"""Characters of an error's message in a table."""

WIDEST: Final = 10_000


class By(StrEnum):
    """What letters can be counted by."""

    error = "error"
    job = "job"
    key = "key"
    topic = "topic"


_NAME: Final[dict[By, Callable[[Letter], str]]] = {
    By.error: lambda letter: letter.death.error,
    By.job: job_text,
    By.key: key_text,
    By.topic: lambda letter: letter.record.topic,
}


@filtered
def list_letters(
    app: AppName,
    selection: Selection,
    by: Annotated[
        By | None, typer.Option(help="Count them by this instead.", show_default=False)
    ] = None,
    closed: Annotated[
        bool, typer.Option("--all", help="Also those that were replayed or purged.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"So many at most. A table shows {SHOWN} by default.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    topics: DeadTopics = None,
    broker: Broker = None,
) -> None:
    """List the dead letters of an app that are open, the oldest of each partition first.

    [b]--json[/] prints one object a line. Times are in UTC.

    Examples: [b]python -m streamjobs dlq list accounts:app --by error[/]

    [b]python -m streamjobs dlq list accounts:app --error TimeoutError --since 2h[/]
    """
    with opened(app, broker, topics, selection) as desk:
        letters = desk.chosen if closed else desk.open()
        if by is not None:
            _show_groups(by, _grouped(by, desk.box.letters(letters)), as_json)
        elif as_json:
            for letter in desk.box.letters(first(letters, limit)):
                typer.echo(json.dumps(describe(letter, desk.state(letter))))
        else:
            _show(desk, desk.box.letters(first(letters, limit or SHOWN)), with_state=closed)
            shown = min(count(letters), limit or SHOWN)
            say(_footer(shown, count(letters)))


def _footer(shown: int, there: int) -> str:
    if not there:
        return "no dead letters"
    letters = "1 dead letter" if there == 1 else f"{there:,} dead letters"
    return letters if shown == there else f"{letters}, of which {shown:,} are shown: see --limit"


def _show(desk: Desk, letters: Iterable[Letter], with_state: bool) -> None:
    """Two lines a letter, so that a narrow terminal is wide enough."""
    names = ["letter\nrecord", "job\nkey", "error\nmessage", "last\nattempts"]
    table = Table(*names, *(["state"] if with_state else []))
    for letter in letters:
        death = letter.death
        message = printable(death.message.partition("\n")[0])
        row = [
            _cell(letter.id, letter.record.id),
            _cell(job_text(letter), key_text(letter)),
            _cell(
                death.error.rpartition(".")[2],
                message if len(message) <= MESSAGE else message[:MESSAGE] + "…",
            ),
            _cell(_short(death.last), str(death.attempts)),
        ]
        table.add_row(*row, *([desk.state(letter)] if with_state else []))
    _print(table)


def _cell(text: str, more: str) -> Text:
    return Text.assemble(text, "\n", (more, "dim"), overflow="fold")


def _short(seconds: float) -> str:
    return moment(seconds)[:19].replace("T", " ")


def _print(table: Table) -> None:
    """In full, where it goes to another program or a file."""
    if not table.row_count:
        return
    console = Console()
    if not console.is_terminal:
        wide = console.options.update(max_width=WIDEST)
        console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)


@dataclass(slots=True)
class Group:
    """Letters that have something in common.

    Attributes:
        letters: how many.
        first, last: when the earliest and the latest of them were given up.
    """

    letters: int = 0
    first: float = float("inf")
    last: float = float("-inf")


def _grouped(by: By, letters: Iterable[Letter]) -> dict[str, Group]:
    """The largest first."""
    groups: dict[str, Group] = {}
    for letter in letters:
        group = groups.setdefault(_NAME[by](letter), Group())
        group.letters += 1
        group.first = min(group.first, letter.death.last)
        group.last = max(group.last, letter.death.last)
    return dict(sorted(groups.items(), key=lambda each: (-each[1].letters, each[0])))


def _show_groups(by: By, groups: dict[str, Group], as_json: bool) -> None:
    if as_json:
        for name, group in groups.items():
            times = {"first": moment(group.first), "last": moment(group.last)}
            typer.echo(json.dumps({by.value: name, "letters": group.letters} | times))
        return
    table = Table(by.value, "letters", "first", "last")
    for name, group in groups.items():
        first, last = _short(group.first), _short(group.last)
        table.add_row(Text(name, overflow="fold"), f"{group.letters:,}", first, last)
    _print(table)
    letters = sum(group.letters for group in groups.values())
    say(_footer(letters, letters))
