"""Dead letters and marks on a partition, without an engine that writes them."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Broker, Message, TopicPartition
from streamjobs.failures.journal import Order
from streamjobs.failures.letterbox import Chosen, Letterbox
from streamjobs.failures.letters import Death, Letter, write_letter
from streamjobs.failures.marks import Mark, write_mark
from streamjobs.failures.replay import Replay, Summary
from streamjobs.failures.sender import Sender
from streamjobs.failures.settle import Settled, settle
from streamjobs.record import Header, Record

SOURCE = "jobs"
DEAD = "jobs.dead"
PLACE = TopicPartition(DEAD, 0)
GROUP = "accounts"


def death(
    error: BaseException | None = None, *, group: str = GROUP, last: float = 1_000.0
) -> Death:
    """Three attempts, the first one ten seconds before the last."""
    error = error or ValueError("no such user")
    return Death.by(error, group=group, attempts=3, first=last - 10, last=last)


def letter_message(
    key: bytes | None = b"k",
    value: bytes | None = b"v",
    *,
    source: str = f"{SOURCE}/0/0",
    headers: Sequence[Header] = (),
    died: Death | None = None,
    place: TopicPartition = PLACE,
) -> Message:
    """What the engine would write about a record that stood at `source`."""
    topic, partition, offset = source.split("/")
    record = Record(topic, int(partition), int(offset), key, value, headers, 500)
    return write_letter(*place, record, died or death())


def mark_message(mark: Mark, place: TopicPartition = PLACE) -> Message:
    """What a replay or a purge would write."""
    return write_mark(place, mark)


def records(*messages: Message) -> list[Record]:
    """These messages, as they are read."""
    return [
        Record(each.topic, each.partition or 0, offset, each.key, each.value, each.headers, 0)
        for offset, each in enumerate(messages)
    ]


def by_key(letter: Letter) -> Hashable | None:
    """The order of letters where no app says otherwise."""
    return None if letter.record.key is None else (letter.record.topic, letter.record.key)


class PostOffice:
    """Letters on a Kafka in memory, and what replays and purges do with them.

    Args:
        sources: topics that records died on, and how many partitions each has; each has a
            dead-letter topic that is as large.

    Attributes:
        cluster: where all of it is.
        broker: what the next replay or purge works through.
    """

    def __init__(self, sources: Mapping[str, int] | None = None) -> None:
        self._sources = sources or {SOURCE: 1}
        self.cluster = MemoryCluster(self._sources)
        for topic, partitions in self._sources.items():
            self.cluster.create(f"{topic}.dead", partitions)
        self.broker: Broker = MemoryBroker(self.cluster)

    def bury(
        self,
        key: bytes | None = b"k",
        value: bytes | None = b"v",
        headers: Sequence[Header] = (),
        topic: str = SOURCE,
        partition: int = 0,
        died: Death | None = None,
    ) -> str:
        """A letter about a record that once stood there; returns its id."""
        place = TopicPartition(f"{topic}.dead", partition)
        source = f"{topic}/{partition}/0"
        message = letter_message(key, value, source=source, headers=headers, died=died, place=place)
        return self.cluster.append(message).id

    def mark(self, mark: Mark, place: TopicPartition = PLACE) -> None:
        """Some process wrote this."""
        self.cluster.append(mark_message(mark, place))

    @contextmanager
    def opened(self) -> Iterator[tuple[Letterbox, Chosen]]:
        """The letters, all of them chosen."""
        with Letterbox(self.broker, [f"{topic}.dead" for topic in self._sources], {}) as box:
            [everything] = box.read(lambda _: True)
            yield box, everything

    def replay(self, order: Order = by_key, ident: str = "r1") -> Summary:
        """Replay all that is open, as the command does."""
        with self.opened() as (box, everything):
            sender = Sender(self.broker, {})
            settle(box, sender, pause=lambda: None)
            return Replay(box, sender, ident, order).run(box.open(everything))

    def settle(self, meanwhile: Callable[[], None] = lambda: None) -> Settled:
        """Settle what was interrupted, while other processes do something."""
        with self.opened() as (box, _):
            return settle(box, Sender(self.broker, {}), pause=meanwhile)

    def states(self) -> dict[str, str]:
        """What has become of each letter, by its id."""
        with self.opened() as (box, everything):
            return {
                letter.id: str(box.journals[letter.place].state(letter.offset))
                for letter in box.letters(everything)
            }

    def arrived(self, topic: str = SOURCE, partition: int = 0) -> list[Record]:
        """What stands on a topic that records died on."""
        return list(self.cluster.log(topic, partition).records)

    def values(self, topic: str = SOURCE, partition: int = 0) -> list[bytes | None]:
        """The values of what stands there."""
        return [record.value for record in self.arrived(topic, partition)]
