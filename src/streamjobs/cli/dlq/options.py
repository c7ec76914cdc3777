"""Options that the `dlq` commands share."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from streamjobs.errors import ConfigurationError
from streamjobs.failures.selection import Selection, parse_moment

__all__ = ("DeadTopics", "DryRun", "Json", "filtered", "parse_id")

DeadTopics = Annotated[
    list[str] | None,
    typer.Option(
        "--dlq",
        help="A dead-letter topic to look into, in place of those of the app. May be repeated.",
        metavar="TOPIC",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]

_FILTERS = "Filters"
_PATTERN = "a pattern with * and ? is fine."


def _selection(
    job: Annotated[
        str | None,
        typer.Option(help=f"The job's name; {_PATTERN}", rich_help_panel=_FILTERS),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(
            help=f"The error's class, with its module or without; {_PATTERN}",
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="The message key or the ordering key.", rich_help_panel=_FILTERS),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Last failed at this time or later: [b]2h[/], [b]3d[/] (ago), or a time in "
            "ISO 8601 (UTC, unless it says otherwise).",
            metavar="TIME",
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="Last failed at this time or before.", metavar="TIME", rich_help_panel=_FILTERS
        ),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(help=f"The topic it was on; {_PATTERN}", rich_help_panel=_FILTERS),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help=f"The app that gave it up; {_PATTERN} Default: this app.",
            rich_help_panel=_FILTERS,
            show_default=False,
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            help="This letter. May be repeated.",
            metavar="TOPIC/PARTITION/OFFSET",
            rich_help_panel=_FILTERS,
            show_default=False,
        ),
    ] = None,
) -> Selection:
    """The filters, as options."""
    now = time.time()
    for each in ids or ():
        parse_id(each)
    return Selection(
        job=job,
        error=error,
        key=key,
        topic=topic,
        group=group,
        since=None if since is None else parse_moment(since, now),
        until=None if until is None else parse_moment(until, now),
        ids=frozenset(ids) if ids else None,
    )


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters as options, behind its arguments; it gets them as `selection`."""
    filters = inspect.signature(_selection, eval_str=True).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["selection"]
    arguments = [each for each in own.values() if each.default is each.empty]
    options = [each for each in own.values() if each.default is not each.empty]

    def run(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in filters}
        command(**given, selection=_selection(**chosen))

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer asks for it
        [*arguments, *filters.values(), *options]
    )
    return run


def parse_id(text: str) -> tuple[str, int, int]:
    """Topic, partition and offset of a letter.

    Raises:
        ConfigurationError: it is no id.
    """
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        raise ConfigurationError(
            f"{text!r} is no id of a letter; `dlq list` shows them: topic/partition/offset"
        )
    return topic, int(partition), int(offset)
