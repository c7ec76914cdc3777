"""An app on a Kafka in memory: write to its topics, let it work, look at what it did."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from streamjobs.app import App
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.counts import Counts
from streamjobs.exit_codes import ExitCode
from streamjobs.failures.letters import Letter, read_letter
from streamjobs.record import Header, Record
from streamjobs.runtime import Runtime

GROUP = "stage"


class Stage:
    """One app, its cluster and its broker.

    Args:
        topics: which there are, and how many partitions each has.
        settings: arguments of the `App`; it commits often unless they say otherwise.

    Attributes:
        app: where tests declare jobs and streams.
        cluster, broker: what it runs on.
    """

    def __init__(self, topics: Mapping[str, int], /, **settings: Any) -> None:
        self.cluster = MemoryCluster(topics)
        self.broker = MemoryBroker(self.cluster, "worker")
        self.app = App(GROUP, broker=self.broker, **{"commit_interval": 0.02} | settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.close()

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> Record:
        """A record that some other program wrote."""
        return self.cluster.append(Message(topic, value, key, headers, partition))

    def work(self) -> Counts:
        """Run the app until everything is settled and committed; returns what it counted."""
        runtime = Runtime(self.app)
        assert runtime.run(until_idle=True) is ExitCode.OK
        return runtime.counts

    def records(self, topic: str) -> list[Record]:
        """What is on a topic, partition by partition."""
        return [
            record
            for partition in range(self.cluster.topics().get(topic, 0))
            for record in self.cluster.log(topic, partition).records
        ]

    def record(self, topic: str) -> Record:
        """The only record on a topic."""
        (record,) = self.records(topic)
        return record

    def letter(self, topic: str) -> Letter:
        """The only dead letter on a topic."""
        return read_letter(self.record(topic))

    def committed(self, topic: str, partition: int = 0) -> int:
        """How far the app's group has got."""
        committed = self.cluster.committed(GROUP, topic, partition)
        return 0 if committed is None else committed.offset
