"""The three brokers that the contract is checked on, and members that leave when a test ends."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from streamjobs.broker.ports import Broker, Delivery, Message, Reader, TopicSpec
from tests.support.members import WITHIN, Member

ADAPTERS = ("memory", "embedded", "kafka")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests on real Kafka ask for the `kafka` fixture by name.

    The outer conftest marks those that do, and leaves them out where there is no Java.
    """
    for item in items:
        if isinstance(item, pytest.Function) and _adapter(item) == "kafka":
            item.fixturenames = [*item.fixturenames, "kafka"]


def _adapter(item: pytest.Function) -> object:
    return item.callspec.params.get("adapter") if hasattr(item, "callspec") else None


@pytest.fixture(scope="session", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    """Which broker this is: a test that expects something else of one of them says so."""
    return str(request.param)


@pytest.fixture(scope="session")
def broker(adapter: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker = _broker(adapter, request)
    yield broker
    broker.close()


def _broker(adapter: str, request: pytest.FixtureRequest) -> Broker:
    if adapter == "memory":
        from streamjobs.broker.memory import MemoryBroker

        return MemoryBroker()
    if adapter == "embedded":
        from streamjobs.broker.embedded import EmbeddedBroker

        return EmbeddedBroker()
    from streamjobs.broker.quix.broker import QuixBroker

    return QuixBroker(request.getfixturevalue("kafka"), None)


@pytest.fixture
def create(broker: Broker, topic_name: str) -> Callable[..., str]:
    """Create a topic of this test: `create(partitions)`, and with a suffix another one."""

    def create(partitions: int, suffix: str = "") -> str:
        name = topic_name + suffix
        broker.create_topics([TopicSpec(name, partitions)], WITHIN)
        return name

    return create


@pytest.fixture
def join(broker: Broker, topic_name: str) -> Iterator[Callable[..., Member]]:
    """A new member of the group of this test: `join(topic, ...)`."""
    members: list[Member] = []

    def join(*topics: str, **options: Any) -> Member:
        members.append(Member(broker, topic_name, *topics, **options))
        return members[-1]

    yield join
    for member in members:
        member.leave()


@pytest.fixture
def reader(broker: Broker) -> Iterator[Reader]:
    """A reader of no group."""
    reader = broker.reader({})
    yield reader
    reader.close()


@pytest.fixture
def write(broker: Broker) -> Callable[..., list[Delivery]]:
    """Write messages and wait: `write(message, ...)` returns what became of them, in order."""

    def write(*messages: Message) -> list[Delivery]:
        producer = broker.producer({})
        told: dict[int, Delivery] = {}
        for number, message in enumerate(messages):
            producer.send(message, partial(told.__setitem__, number))
        assert producer.flush(WITHIN) == 0
        return [told[number] for number in range(len(messages))]

    return write
