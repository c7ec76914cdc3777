"""Writes to the topics all the time, and knows what stands where."""

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import orjson

from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.receipts import Position, Receipt
from streamjobs.testing.history import Event, Sent
from tests.chaos.app import ChaosApp, few, heavy_tailed

TICK = 0.02


class _Underway(NamedTuple):
    at: float
    key: str | None
    receipt: Receipt


class Workload:
    """A thread that sends records.

    One thread sends all, so that the records of a key are sent in the order of their offsets.

    Args:
        chaos: whose topics.
        due: how many records should have been sent so many seconds after the beginning.
        limit: stop after so many; None goes on until `stop`.
        jobs: the share of records that are jobs, the others are clicks.
        keys: how many keys; low numbers are more frequent, unless `even`.
        seconds: how long each takes; None for a heavy tail, and some failures.
        seed: of the dice.
    """

    def __init__(
        self,
        chaos: ChaosApp,
        due: Callable[[float], float],
        *,
        limit: int | None = None,
        jobs: float = 0.5,
        keys: int = 500,
        even: bool = False,
        seconds: float | None = None,
        seed: int = 0,
    ) -> None:
        self.count = 0
        self.error: BaseException | None = None
        self._chaos = chaos
        self._due = due
        self._limit = limit
        self._jobs = jobs
        self._keys = keys
        self._even = even
        self._seconds = seconds
        self._dice = random.Random(seed)
        self._underway: deque[_Underway] = deque()
        self._sent: list[Event] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    @property
    def sending(self) -> bool:
        """Whether more is to come."""
        return self._thread.is_alive()

    def stop(self) -> list[Event]:
        """Send no more; returns what was sent, once the broker has all of it.

        Raises:
            DeliveryError: the broker does not have all of it.
        """
        self._stopped.set()
        self._thread.join()
        if self.error is not None:
            raise self.error
        self._collect(wait=True)
        return self._sent

    def _run(self) -> None:
        try:
            began = time.monotonic()
            while not self._stopped.is_set() and self.count != self._limit:
                self._collect()
                due = int(self._due(time.monotonic() - began))
                for _ in range(self.count, min(due, self._limit or due)):
                    self._send()
                time.sleep(TICK)
        except BaseException as error:
            self.error = error

    def _send(self) -> None:
        """One record, of what kind the dice say."""
        key = f"k{int(self._keys * self._dice.random() ** (1 if self._even else 1.5))}"
        seconds = heavy_tailed(self._dice) if self._seconds is None else self._seconds
        failures = few(self._dice) if self._seconds is None else 0
        if self._dice.random() < self._jobs:
            job = self._dice.choice((self._chaos.sleep, self._chaos.wait))
            self._note(time.monotonic(), key, job.enqueue(key, round(seconds, 4), failures))
        else:
            self._click(key, round(seconds, 4), failures)

    def stick(self, key: str, seconds: float, mark: str) -> Position:
        """A record that is stuck the first time it runs, and two more of its key, which has to
        be one that nothing else is sent for; says where it stands.
        """
        at = time.monotonic()
        stuck = self._chaos.stick.enqueue(key, seconds, mark)
        behind = [self._chaos.sleep.enqueue(key, 0.0) for _ in range(2)]
        for receipt in (stuck, *behind):
            self._note(at, key, receipt)
        return stuck.wait()

    def _click(self, key: str | None, seconds: float, failures: int) -> None:
        value = orjson.dumps({"seconds": seconds, "failures": failures})
        roll = self._dice.random()
        if roll < 0.02:
            key = None
        elif roll < 0.022:
            value = b"no JSON"
        receipt = Receipt(str(uuid.uuid4()))
        message = Message(self._chaos.clicks, value, None if key is None else key.encode())
        at = time.monotonic()
        self._chaos.app.publisher.send(message, receipt.resolve)
        self._note(at, key, receipt)

    def _note(self, at: float, key: str | None, receipt: Receipt) -> None:
        """`at` is before it was sent: no worker can have seen it earlier."""
        self.count += 1
        self._underway.append(_Underway(at, key, receipt))

    def _collect(self, *, wait: bool = False) -> None:
        while self._underway and (wait or self._underway[0].receipt.done):
            at, key, receipt = self._underway.popleft()
            topic, partition, offset = receipt.wait(60)
            self._sent.append(Sent(at, TopicPartition(topic, partition), offset, key))
