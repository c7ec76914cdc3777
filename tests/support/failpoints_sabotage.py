"""What protects state and exactly-once, taken out piece by piece: a check that still passes then
proves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, Producer

from streamjobs.broker.quix.group_client import GroupClient
from streamjobs.broker.quix.producer import WritingClient
from streamjobs.state.cache import Cut, WriteBackCache
from streamjobs.state.keeper import StateKeeper
from tests.support.failpoints_watch import each_client, replace
from tests.support.state_app import app

__all__ = ("SABOTAGES",)

BROKER: Final = os.environ["STREAMJOBS_BROKER"]


def naive_frontier() -> None:
    """The consumer commits the progress, and not the transaction."""
    consumer = _consumer()

    def substitute(client: WritingClient) -> None:
        def add(offsets: Any, *_rest: Any) -> None:
            consumer().commit(offsets=offsets, asynchronous=False)

        client.send_offsets_to_transaction = add

    each_client(substitute)


def no_transaction() -> None:
    """A producer without transactions writes the changelog."""
    plain = Producer({"bootstrap.servers": BROKER, "linger.ms": 0})

    def substitute(client: WritingClient) -> None:
        queue = client.queue
        poll = client.poll

        def queue_outside(topic: str, *rest: Any, **options: Any) -> None:
            outside = topic.startswith("changelog__")
            (plain.produce if outside else queue)(topic, *rest, **options)

        def poll_both(timeout: float) -> int:
            plain.poll(timeout)
            return int(poll(0))

        client.queue = queue_outside
        client.poll = poll_both  # type: ignore[method-assign, assignment]

    each_client(substitute)


def no_membership() -> None:
    """Offsets are committed as anybody's, as before Kafka 2.5, and not as a member's."""

    def substitute(client: WritingClient) -> None:
        add = client.send_offsets_to_transaction

        def add_as_anybody(offsets: Any, _member: Any, timeout: float) -> None:
            anybody = Consumer({"bootstrap.servers": BROKER, "group.id": app.name})
            add(offsets, anybody.consumer_group_metadata(), timeout)
            anybody.close()

        client.send_offsets_to_transaction = add_as_anybody

    each_client(substitute)


def flush_before_commit() -> None:
    """RocksDB has changes before Kafka has."""
    take = WriteBackCache.take

    def take_and_write(cache: WriteBackCache) -> Cut:
        cut = take(cache)
        cache.store.write(cut.changes, None)
        return cut

    replace(WriteBackCache, "take", take_and_write)


def ignore_changelog_end() -> None:
    """State is restored as far as it can be read just now."""
    wait = StateKeeper._wait_for_end

    def wait_for_nothing(keeper: Any, generation: Any, place: Any, _told: int) -> Any:
        return wait(keeper, generation, place, 0)

    replace(StateKeeper, "_wait_for_end", wait_for_nothing)


def _consumer() -> Callable[[], GroupClient]:
    """The consumer that this process makes."""
    made: list[GroupClient] = []
    make = GroupClient.__init__

    def remembered(client: GroupClient, *settings: Any) -> None:
        make(client, *settings)
        made.append(client)

    replace(GroupClient, "__init__", remembered)
    return lambda: made[-1]


SABOTAGES: Final = {
    sabotage.__name__.replace("_", "-"): sabotage
    for sabotage in (
        naive_frontier,
        no_transaction,
        no_membership,
        flush_before_commit,
        ignore_changelog_end,
    )
}
