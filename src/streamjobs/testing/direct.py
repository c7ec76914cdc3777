"""`enqueue` without threads: what is sent is in the log at once."""

from __future__ import annotations

from collections.abc import Callable

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Delivery, Message
from streamjobs.publisher import Publisher, Topics
from streamjobs.settings import Settings

__all__ = ("DirectPublisher",)


class DirectPublisher(Publisher):
    """Writes to a cluster in memory and acknowledges in the same moment.

    Args:
        cluster: where to.
        partitions: of topics that are created on the way.
        write: what writes a message; for who wants to see them.
    """

    def __init__(
        self,
        cluster: MemoryCluster,
        partitions: int = 1,
        write: Callable[[Message], object] | None = None,
    ) -> None:
        self.broker = MemoryBroker(cluster)
        self.topics = Topics(self.broker, Settings(partitions=partitions))
        self._append = write or cluster.append

    def send(self, message: Message, done: Callable[[Delivery], None]) -> None:
        self.topics.partitions(message.topic)
        record = self._append(message)
        done(Delivery(message.topic, getattr(record, "partition", 0), getattr(record, "offset", 0)))

    def flush(self, timeout: float = 0.0) -> int:
        return 0

    def close(self) -> None:
        """Nothing is on its way."""
