"""Sees to it that something happens at a failpoint: in what the checkpoint talks to, librdkafka's
client of transactions and the stores. There is nothing of it in the product.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streamjobs.broker.quix.producer import WritingClient
from streamjobs.state.changelog import Changes
from streamjobs.state.rocks import RocksStorePartition
from tests.support.failpoints import Failpoint

__all__ = ("Watch", "each_client", "install", "replace")


class Watch:
    """Counts the checkpoints of this process, and acts when one passes the failpoint: once."""

    def __init__(self, failpoint: Failpoint) -> None:
        self._failpoint = failpoint
        self._number = self._committed = 0
        self._acted = False

    def begin(self) -> None:
        """A checkpoint that has changes of state."""
        self._number += 1

    def passes(self, place: str) -> bool:
        """Whether this is where something is to happen."""
        point = self._failpoint
        number = self._committed if place == "flushing" else self._number
        return place == point.place and number == point.number and not self._acted

    def at(self, place: str, step: Callable[[], None] | None = None) -> None:
        """Let happen what is to happen here, before this step."""
        if place == "committed":
            self._committed = self._number
        if self.passes(place):
            self._acted = True
            os.write(2, f"failpoint {self._failpoint}\n".encode())
            _act(self._failpoint, step)


def _act(failpoint: Failpoint, step: Callable[[], None] | None) -> None:
    match failpoint.act:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill-soon":
            kill = partial(os.kill, os.getpid(), signal.SIGKILL)
            threading.Timer(failpoint.seconds, kill).start()
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "lose-answer":
            raise _time_is_up()
        case "lose-sight":
            threading.Thread(target=step, daemon=True).start()
            time.sleep(failpoint.seconds)
            raise _time_is_up()


def _time_is_up() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "lost by a test", False, True))


class WatchedClient:
    """Stands between the adapter and one client of transactions."""

    def __init__(self, client: WritingClient, watch: Watch) -> None:
        self._watch = watch
        self._changes = False
        self._begin, client.begin_transaction = client.begin_transaction, self.begin
        self._queue, client.queue = client.queue, self.queue
        self._add, client.send_offsets_to_transaction = (
            client.send_offsets_to_transaction,
            self.add,
        )
        self._commit, client.commit_transaction = client.commit_transaction, self.commit

    def begin(self) -> None:
        self._changes = False
        self._begin()

    def queue(self, topic: str, *rest: Any, **options: Any) -> None:
        self._queue(topic, *rest, **options)
        if topic.startswith("changelog__") and not self._changes:
            self._changes = True
            self._watch.begin()

    def add(self, *offsets: Any) -> None:
        self._at("written")
        self._add(*offsets)
        self._at("added")

    def commit(self, timeout: float) -> None:
        self._at("committing", partial(self._commit, timeout))
        self._commit(timeout)
        self._at("committed")

    def _at(self, place: str, step: Callable[[], None] | None = None) -> None:
        if self._changes:
            self._watch.at(place, step)


def install(watch: Watch) -> None:
    """Have every client of transactions, and every store, watched that this process opens."""
    each_client(lambda client: WatchedClient(client, watch))
    write = RocksStorePartition.write

    def written(store: RocksStorePartition, changes: Changes, changelog_offset: int | None) -> None:
        if watch.passes("flushing") and len(changes) > 1:
            write(store, dict(islice(changes.items(), len(changes) // 2)), None)
            watch.at("flushing")
        write(store, changes, changelog_offset)

    replace(RocksStorePartition, "write", written)


def each_client(substitute: Callable[[WritingClient], object]) -> None:
    """Have this done to every client of transactions that is made: the last one comes outermost."""
    make = WritingClient.__init__

    def made(client: WritingClient, connection: Any, settings: dict[str, Any], *rest: Any) -> None:
        make(client, connection, settings, *rest)
        if "transactional.id" in settings:
            substitute(client)

    replace(WritingClient, "__init__", made)


def replace(owner: type, name: str, substitute: Callable[..., Any]) -> None:
    """Put a substitute for what has to be there: else nothing would be put to the test."""
    assert name in vars(owner), f"{owner.__name__} has no {name} any more: where is it now?"
    setattr(owner, name, substitute)
