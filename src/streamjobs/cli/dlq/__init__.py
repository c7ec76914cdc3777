"""`streamjobs dlq`: the commands about dead letters, one file each."""

from __future__ import annotations

import typer

from streamjobs.cli.dlq import listing, purge, replay, show

__all__ = ("dlq",)

dlq = typer.Typer(
    name="dlq",
    help="Look at dead letters, send them back, or give them up.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
dlq.command("list")(listing.list_letters)
dlq.command("show")(show.show)
dlq.command("replay")(replay.replay)
dlq.command("purge")(purge.purge)
