"""Writing letters and marks, with every acknowledgement waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from streamjobs.broker.ports import Broker, Delivery, Message, TopicPartition
from streamjobs.errors import BrokerUnavailableError, DeliveryError
from streamjobs.failures.journal import Journal
from streamjobs.failures.letterbox import Letterbox
from streamjobs.failures.marks import Mark, write_mark

__all__ = ("Sender", "note")

PATIENCE: Final = 60.0
"""Seconds without any acknowledgement after which we give up."""

GRACE: Final = 2.0
"""The same after a refusal: then the broker is there, and nothing else may come."""

_NO_GAPS: Final = {
    # When the broker refuses a record (too large for its topic), the ones behind it, which are on
    # their way already, fail too: a later record of its key must not overtake it.
    "enable.gapless.guarantee": True,
    # Otherwise those on their way are not heard of again (librdkafka 2.12); now it is one at most.
    "max.in.flight.requests.per.connection": 1,
    # No record is given up while the ones behind it still can arrive: we give up all at once.
    "message.timeout.ms": 0,
}
_ALIASES: Final = {"delivery.timeout.ms", "max.in.flight"}


class Sender:
    """A producer, and another one where it has failed: then it sends nothing any more.

    Args:
        broker: where to.
        extra: the settings of its producers.
    """

    def __init__(self, broker: Broker, extra: Mapping[str, Any]) -> None:
        self._broker = broker
        self._extra = {
            name: value for name, value in extra.items() if name not in _ALIASES
        } | _NO_GAPS
        self._producer = broker.producer(self._extra)
        self._pending = 0
        self._failed = False
        self._heard = 0.0

    def send(self, message: Message, done: Callable[[Delivery], None]) -> None:
        """Queue a message; `done` is called in `wait`.

        Raises:
            DeliveryError: refused at once.
        """

        def acknowledged(delivery: Delivery) -> None:
            self._pending -= 1
            self._heard = time.monotonic()
            self._failed = self._failed or delivery.error is not None
            done(delivery)

        self._producer.send(message, acknowledged)
        self._pending += 1

    def wait(self) -> None:
        """Until everything is acknowledged or refused. After a refusal, what nothing comes of is
        as good as refused: its place in the log is behind a gap, where the broker takes nothing.

        Raises:
            BrokerUnavailableError: the broker does not answer (any more). What is on its way may
                still arrive.
        """
        self._heard = time.monotonic()
        while self._pending:
            self._producer.flush(0.2)  # not for longer: Ctrl-C waits for it
            silence = time.monotonic() - self._heard
            if self._pending and self._failed and silence > GRACE:
                return
            if self._pending and silence > PATIENCE:
                raise BrokerUnavailableError(
                    f"{self._broker.address} has acknowledged nothing for {PATIENCE:.0f} s. Run "
                    "this again when it is back: what has arrived is found, and not sent again"
                )

    def write(self, message: Message) -> Delivery:
        """Send one message and wait.

        Raises:
            DeliveryError: refused.
            BrokerUnavailableError: as `wait`.
        """
        told: list[Delivery] = []
        self.send(message, told.append)
        self.wait()
        if told and told[0].error is None:
            return told[0]
        reason = told[0].error if told else "the broker did not answer"
        raise DeliveryError(f"{message.topic}[{message.partition}]: {reason}")

    def renew(self) -> None:
        """After a refusal, which may have ended the producer."""
        self._producer = self._broker.producer(self._extra)
        self._pending = 0
        self._failed = False


def note(box: Letterbox, sender: Sender, place: TopicPartition, mark: Mark) -> Journal:
    """Write a mark and read up to it: the journal then knows what others have written, too."""
    written = sender.write(write_mark(place, mark)).offset
    # The offset is unknown where the client had to send twice and only the first one counted.
    return box.catch_up(place, written + 1 if written >= 0 else None)
