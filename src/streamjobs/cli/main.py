"""`python -m streamjobs`: the commands, and how they fail."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from streamjobs.cli import broker, check, describe, enqueue, resume, run, simulate
from streamjobs.cli.dlq import dlq
from streamjobs.cli.state import state
from streamjobs.errors import AppNotFoundError as NotFound
from streamjobs.errors import ConfigurationError, InvalidArgumentsError, StreamjobsError
from streamjobs.exit_codes import ExitCode

__all__ = ("cli", "main")

cli = typer.Typer(
    name="streamjobs",
    help="Kafka jobs with order per key and parallelism inside a partition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command()(run.run)
cli.command()(enqueue.enqueue)
cli.command()(check.check)
cli.command()(describe.describe)
cli.command()(broker.broker)
cli.command()(simulate.simulate)
cli.command()(resume.resume)
cli.add_typer(dlq)
cli.add_typer(state)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("streamjobs"))
        raise typer.Exit


@cli.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    """Kafka jobs with order per key and parallelism inside a partition."""


def main() -> None:
    """Run the command line; what is the user's to mend is one line, not a stack trace."""
    try:
        cli()
    except StreamjobsError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {_escape(error)}", soft_wrap=True)
        usage = isinstance(error, NotFound | ConfigurationError | InvalidArgumentsError)
        sys.exit(ExitCode.USAGE if usage else ExitCode.ERROR)


def _escape(error: Exception) -> str:
    return str(error).replace("[", "\\[")
