"""A user's own app as the thing that is simulated."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any

from streamjobs.app import App
from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.engine.route import Route
from streamjobs.errors import ConfigurationError
from streamjobs.testing.direct import DirectPublisher
from streamjobs.testing.simulation.dice import Dice
from streamjobs.testing.simulation.event_loop import VirtualTimeLoop
from streamjobs.testing.simulation.scenario import Scenario
from streamjobs.testing.workloads import typed_workload

__all__ = ("Workload", "app_routes", "app_scenario", "app_topics")

Workload = Callable[[Random], object]
"""Enqueues jobs of the app, with what the dice say; called at the beginning of each run. What
it returns, if anything, are further messages to write."""


def app_routes(app: App) -> Mapping[str, Route]:
    """The routes of an app, as a process of it would have them.

    Raises:
        ConfigurationError: it declares nothing.
    """
    if not app.topics:
        raise ConfigurationError(f"app {app.name!r} has no jobs and no stream handlers")
    exactly_once = app.settings.guarantee == "exactly-once"
    return {
        topic.name: topic.route(_wait_for, 1_000_000, app.name, exactly_once)
        for topic in app.topics.values()
    }


def app_topics(app: App, partitions: int | Mapping[str, int]) -> dict[str, int]:
    """The topics that an app reads and is known to write, with their partitions."""
    names = [
        *app.topics,
        *app.tables,
        *(name for topic in app.topics.values() for name in topic.outputs),
    ]
    if isinstance(partitions, int):
        counts = dict.fromkeys(names, partitions)
    else:
        counts = dict.fromkeys(names, 1) | dict(partitions)
    for made, origins in app.repartition_topics.items():
        counts[made] = max(counts[origin] for origin in origins)
    for topic in app.topics.values():
        counts.setdefault(topic.dead_letter_topic, counts[topic.name])
    return counts


def app_scenario(
    app: App, random: Random, faults: frozenset[str], workload: Workload | None, records: int
) -> Scenario:
    """One run of an app: its handlers, and the records that the workload writes.

    Raises:
        ConfigurationError: the app declares nothing, or the workload wrote nothing.
    """
    routes = app_routes(app)
    topics = app_topics(app, random.choice((1, 1, 2, 4)))
    messages = _written(app, topics, random, workload, records)
    if not messages:
        raise ConfigurationError("the workload enqueued nothing: there is nothing to simulate")
    for table in app.tables.values():
        table.open()  # nobody writes to it: it stays empty
    dice = Dice(random, faults)
    return Scenario(
        topics=topics,
        routes={name: dice.spoil(route) for name, route in routes.items()},
        workload=messages,
        behaviour=dice.seconds,
        heal=dice.heal,
        hits=dice.hits,
        dead_letters=[*app.dead_letter_topics],
    )


def _written(
    app: App,
    topics: Mapping[str, int],
    random: Random,
    workload: Workload | None,
    records: int,
) -> Sequence[Message]:
    """What the workload sends, caught on its way."""
    messages: list[Message] = []
    publisher = DirectPublisher(MemoryCluster(topics, blocking=False), write=messages.append)
    with app.on(publisher.broker, publisher):
        if workload is None:
            messages += typed_workload(app, random, records)
        else:
            more = workload(random)
            returned = more if isinstance(more, list | tuple) else ()
            messages += [each for each in returned if isinstance(each, Message)]  # no receipts
    return messages


def _wait_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return VirtualTimeLoop().run_until_complete(coroutine)
