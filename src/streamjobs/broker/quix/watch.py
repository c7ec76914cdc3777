"""Is the broker still there? librdkafka reconnects by itself and for ever; people want to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from streamjobs.broker.quix.client import KafkaError, logger
from streamjobs.broker.quix.errors import REFUSALS, unavailable
from streamjobs.errors import BrokerUnavailableError

__all__ = ("BrokerWatch",)

PROBE_EVERY: Final = 5.0
GIVE_UP_AFTER: Final = 300.0


class BrokerWatch:
    """Says once that the broker went away and once that it is back; gives up after five minutes.

    Attributes:
        reason: what the client said last about a connection, for messages.
    """

    def __init__(self, address: str, probe: Callable[[], bool]) -> None:
        """`probe` asks the broker something, and waits for a second at most."""
        self.reason = ""
        self._address = address
        self._probe = probe
        self._refusal: BrokerUnavailableError | None = None
        self._since: float | None = None
        self._next_probe = 0.0
        self._announced = False
        self._said: set[str] = set()

    def on_error(self, error: Any) -> None:
        """The client's error callback; called by the thread that polls."""
        if error.fatal() or error.code() in REFUSALS:
            self._refusal = self._refusal or unavailable(self._address, error)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            if self._since is None:
                self._since = time.monotonic()
        else:
            self.reason = error.str()

    def on_message(self, error: Any) -> None:
        """An error that came in place of a record: said once, unless the next `check` raises it."""
        if error.fatal() or error.code() in REFUSALS:
            self._refusal = self._refusal or unavailable(self._address, error)
        elif error.str() not in self._said:
            self._said.add(error.str())
            logger.warning("Kafka at %s: %s", self._address, error.str())

    def check(self) -> None:
        """Called with every poll; costs nothing while all is well.

        Raises:
            BrokerUnavailableError: the broker refuses us, or has been away for too long.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._since is not None and time.monotonic() >= self._next_probe:
            self._look(self._since)

    def _look(self, since: float) -> None:
        """An idle connection that ends is also "all brokers down": only a probe knows."""
        if self._probe():
            self._since, self._next_probe = None, 0.0
            if self._announced:
                logger.warning("Kafka at %s is back", self._address)
            self._announced = False
            return
        now = time.monotonic()
        self._next_probe = now + PROBE_EVERY
        if not self._announced:
            self._announced = True
            logger.warning(
                "Kafka at %s does not answer; trying again: %s", self._address, self.reason
            )
        if now - since > GIVE_UP_AFTER:
            raise BrokerUnavailableError(
                f"Kafka at {self._address} has not answered for {now - since:.0f} s: {self.reason}"
            )
