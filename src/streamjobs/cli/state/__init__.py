"""`streamjobs state`: the commands about stores, one file each."""

from __future__ import annotations

import typer

from streamjobs.cli.state import clean, listing, reset

__all__ = ("state",)

state = typer.Typer(
    name="state",
    help="Look at the stores of this machine, tidy them up, or begin anew.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
state.command("list")(listing.list_stores)
state.command("clean")(clean.clean)
state.command("reset")(reset.reset)
