"""`streamjobs enqueue`."""

from __future__ import annotations

import json
from typing import Annotated

import orjson
import typer

from streamjobs import logs
from streamjobs.app import App
from streamjobs.cli.loading import load
from streamjobs.cli.options import AppName, Broker, Verbose
from streamjobs.errors import ConfigurationError
from streamjobs.jobs import Job

__all__ = ("enqueue",)


def enqueue(
    app: AppName,
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")],
    arguments: Annotated[
        str, typer.Option("--json", help="""Its arguments: '{"user_id": 7, ...}'""")
    ] = "{}",
    broker: Broker = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the broker.")] = 10.0,
    verbose: Verbose = False,
) -> None:
    """Write one call of a job to its topic, and print where it stands as JSON.

    Example: [b]python -m streamjobs enqueue accounts:app update_user --json '{"user_id": 7}'[/]
    """
    logs.configure(None, verbose)
    loaded = load(app)
    loaded.override(broker=broker)
    if loaded.settings.broker == "embedded":
        raise ConfigurationError(
            "an embedded broker ends with this command, and the job with it; start one for "
            "several programs with `python -m streamjobs broker`, and give its address"
        )
    found = _find(loaded, job)
    values = _parse(arguments)
    try:
        receipt = found.enqueue_json(values)
        position = receipt.wait(timeout)
    finally:
        loaded.close()
    typer.echo(json.dumps({"id": receipt.id, **position._asdict()}))


def _find(app: App, name: str) -> Job[..., object]:
    jobs = {each: job for topic in app.topics.values() for each, job in topic.jobs.items()}
    if name not in jobs:
        known = ", ".join(sorted(jobs)) or "it has none"
        raise ConfigurationError(f"app {app.name!r} has no job {name!r}; known are: {known}")
    return jobs[name]


def _parse(text: str) -> dict[str, object]:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"--json is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError("--json has to be an object: arguments by parameter name")
    return values
