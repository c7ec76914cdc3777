"""What the tests write."""

from streamjobs.broker.ports import Message

__all__ = ("numbered",)


def numbered(topic: str, count: int, partition: int = 0, first: int = 0) -> list[Message]:
    """Messages of one partition, whose values count up."""
    return [
        Message(topic, b"%d" % number, partition=partition)
        for number in range(first, first + count)
    ]
