"""`streamjobs check`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streamjobs.app import App
from streamjobs.cli.loading import load
from streamjobs.cli.options import AppName, Broker
from streamjobs.errors import StreamjobsError
from streamjobs.failures.policy import OnFailure
from streamjobs.routes import Topic

__all__ = ("check",)

_SECRET = ("password", "secret", "pem")


def check(
    app: AppName,
    broker: Broker = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the broker for its topics.")
    ] = False,
) -> None:
    """Import the app and show its topics, handlers and settings, with where each came from.

    Exits with 1 and the reason if something is off: the app cannot be imported, a setting cannot
    be used, the broker does not answer, or a topic is missing that may not be created.
    """
    try:
        loaded = load(app)
        loaded.override(broker=broker)
        report = _report(loaded)
        problems = [] if offline else _problems(loaded, report)
    except StreamjobsError as error:
        report, problems = {}, [str(error)]
    if as_json:
        typer.echo(json.dumps(report | {"problems": problems}, indent=2))
    else:
        _show(report, problems)
    raise typer.Exit(1 if problems else 0)


def _report(app: App) -> dict[str, Any]:
    settings, sources = app.resolved
    return {
        "app": app.name,
        "topics": [_describe(topic) for topic in app.topics.values()],
        "settings": {
            name: {"value": _masked(value), "from": sources[name]}
            for name, value in settings.model_dump().items()
        },
        "notes": [note for topic in app.topics.values() for note in _notes(topic)],
    }


def _describe(topic: Topic) -> dict[str, Any]:
    policy = topic.virtual_partitions
    return {
        "topic": topic.name,
        "handlers": [
            {
                "name": name,
                "kind": "stream" if topic.stream else "job",
                "runs": options.kind,
                "attempts": options.handling.retry.attempts,
                "on_failure": _outcome(options.handling.on_failure),
                "timeout": options.timeout,
            }
            for name, options in topic.handlers
        ],
        "virtual_partitions": policy.count,
        "distribution": policy.distribution,
        "ordering": policy.ordering,
        "dead_letter": topic.dead_letter_topic,
    }


def _outcome(chosen: OnFailure) -> str:
    return getattr(chosen, "__name__", repr(chosen)) if callable(chosen) else chosen


def _notes(topic: Topic) -> list[str]:
    """What is allowed, and may still not be what is meant."""
    return [
        f"job {job.name!r} picks partitions by number, so one ordering key can be in several: "
        "its order is kept in each partition, not across"
        for job in topic.jobs.values()
        if job.partition_key_type == "partition"
    ]


def _problems(app: App, report: dict[str, Any]) -> list[str]:
    if not app.topics:
        return [f"app {app.name!r} has no jobs and no stream handlers"]
    if app.settings.broker == "embedded":
        return []
    there = app.broker.topics(8.0)
    for entry in report["topics"]:
        entry["partitions"] = there.get(entry["topic"])
    missing = [topic for topic in app.topics if topic not in there]
    if missing and app.settings.topics == "require":
        return [f"missing on {app.broker.address}: {', '.join(missing)} (topics=require)"]
    return []


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "***" if any(part in name.lower() for part in _SECRET) else _masked(each)
            for name, each in value.items()
        }
    return value


def _show(report: dict[str, Any], problems: list[str]) -> None:
    console = Console()
    if report:
        console.print(f"[b]{escape(report['app'])}[/]")
        console.print(_topics_table(report["topics"]))
        console.print(_settings_table(report["settings"]))
        for note in report["notes"]:
            console.print(f"[yellow]note:[/] {escape(note)}")
    for problem in problems:
        console.print("[bold red]problem:[/]", escape(problem), soft_wrap=True)
    if not problems:
        console.print("[green]all good[/]")


def _topics_table(topics: list[dict[str, Any]]) -> Table:
    table = Table("topic", "handlers", "partitions", "virtual partitions", "order")
    for topic in topics:
        handlers = ", ".join(
            f"{each['name']} ({each['kind']}, {each['runs']})" for each in topic["handlers"]
        )
        partitions = topic.get("partitions")
        table.add_row(
            escape(topic["topic"]),
            escape(handlers),
            "missing" if partitions is None and "partitions" in topic else str(partitions or "?"),
            f"{topic['virtual_partitions']} {topic['distribution']}",
            topic["ordering"],
        )
    return table


def _settings_table(settings: dict[str, Any]) -> Table:
    table = Table("setting", "value", "from")
    for name, entry in settings.items():
        table.add_row(name, escape(str(entry["value"])), entry["from"])
    return table
