"""Sending letters and marks: what is waited for, and for how long."""

from collections.abc import Mapping
from typing import Any

import pytest

from streamjobs.broker.memory import MemoryBroker, MemoryCluster, MemoryProducer
from streamjobs.broker.ports import Delivery, Message
from streamjobs.errors import BrokerUnavailableError, DeliveryError
from streamjobs.failures import sender
from streamjobs.failures.sender import Sender

MESSAGE = Message("jobs", b"v", partition=0)


class Broker(MemoryBroker):
    """Remembers how its producers were made."""

    kind: type[MemoryProducer] = MemoryProducer

    def __init__(self) -> None:
        super().__init__(MemoryCluster({"jobs": 1}))
        self.asked: list[Mapping[str, Any]] = []

    def producer(self, extra: Mapping[str, Any]) -> MemoryProducer:
        self.asked.append(extra)
        return self.kind(self._cluster, self._process)


class Deaf(MemoryProducer):
    """Refuses the first message, and says nothing of the others."""

    def flush(self, timeout: float) -> int:
        if self._deliveries:
            done, delivery = self._deliveries[0]
            self._deliveries.clear()
            assert done is not None
            done(delivery._replace(error="too large"))
        return 0


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_what_is_written_is_acknowledged(broker: Broker) -> None:
    assert Sender(broker, {}).write(MESSAGE) == Delivery("jobs", 0, 0)


def test_what_is_refused_is_an_error(broker: Broker) -> None:
    broker.faults.sends_refused = 1
    with pytest.raises(DeliveryError, match=r"jobs\[0\]: _FAIL: refused"):
        Sender(broker, {}).write(MESSAGE)


def test_all_that_was_sent_is_waited_for(broker: Broker) -> None:
    told: list[Delivery] = []
    post = Sender(broker, {})
    for _ in range(3):
        post.send(MESSAGE, told.append)
    post.wait()

    assert [delivery.offset for delivery in told] == [0, 1, 2]


def test_a_silent_broker_is_given_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PATIENCE", 0.01)
    broker.faults.answers_held = True
    with pytest.raises(BrokerUnavailableError, match="what has arrived is found"):
        Sender(broker, {}).write(MESSAGE)


def test_after_a_refusal_the_rest_is_not_waited_for(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "GRACE", 0.01)
    monkeypatch.setattr(broker, "kind", Deaf)
    told: list[Delivery] = []
    post = Sender(broker, {})
    for _ in range(3):
        post.send(MESSAGE, told.append)
    post.wait()

    assert [delivery.error for delivery in told] == ["too large"]


def test_another_producer_starts_anew(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "GRACE", 0.01)
    monkeypatch.setattr(broker, "kind", Deaf)
    post = Sender(broker, {})
    for _ in range(2):
        post.send(MESSAGE, lambda _: None)
    post.wait()
    monkeypatch.setattr(broker, "kind", MemoryProducer)
    post.renew()

    assert post.write(MESSAGE).error is None


def test_the_apps_settings_are_kept_but_for_what_order_needs(broker: Broker) -> None:
    given = {
        "linger.ms": 9,
        "delivery.timeout.ms": 1,
        "message.timeout.ms": 1,
        "max.in.flight": 5,
    }
    Sender(broker, given)

    assert broker.asked == [
        {
            "linger.ms": 9,
            "message.timeout.ms": 0,
            "enable.gapless.guarantee": True,
            "max.in.flight.requests.per.connection": 1,
        }
    ]
