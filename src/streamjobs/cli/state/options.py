"""Options that the `state` commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ("DryRun", "Json", "OfPartition", "OfStore", "OfTopic", "Yes")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_FILTERS = "Filters"
_PATTERN = "a pattern with * and ? is fine."

OfTopic = Annotated[
    str | None,
    typer.Option("--topic", help=f"Whose state; {_PATTERN}", rich_help_panel=_FILTERS),
]
OfPartition = Annotated[
    list[int] | None,
    typer.Option(
        "--partition",
        min=0,
        help="This partition. May be repeated.",
        rich_help_panel=_FILTERS,
        show_default=False,
    ),
]
OfStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        help=f"The store's name ([b]default[/] where the handler has state=True); {_PATTERN}",
        rich_help_panel=_FILTERS,
    ),
]
