"""What `enqueue` returns: the way to know where a record was written."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple, NoReturn, overload

from streamjobs.broker.ports import Delivery
from streamjobs.context import inside_an_attempt
from streamjobs.errors import ConfigurationError, DeliveryError, DeliveryTimeoutError

__all__ = ("Position", "Receipt", "ReceiptOfAttempt", "Receipts")

DEFAULT_TIMEOUT = 30.0


class Position(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Receipt:
    """One record on its way. Wait for it in a thread, or await it.

    Example:
        >>> update_user.enqueue(7, {"name": "Ada"}).wait(5)  # doctest: +SKIP
        Position(topic='user-updates', partition=0, offset=12)
    """

    __slots__ = ("_callbacks", "_delivery", "_event", "_lock", "id")

    def __init__(self, ident: str) -> None:
        self.id = ident
        """The job's id, the same in the record and in `ctx.job.id`."""
        self._delivery: Delivery | None = None
        self._event: threading.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether the broker has answered."""
        return self._delivery is not None

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> Position:
        """Block until the broker has the record, up to `timeout` seconds.

        Raises:
            DeliveryTimeoutError: no answer yet; the record may still arrive.
            DeliveryError: the broker refused it, or it was given up.
            ConfigurationError: called inside of an attempt, where it would hold up a worker for
                what the attempt's end may have to send first.
        """
        if inside_an_attempt():
            raise ConfigurationError(
                "wait() inside of a handler would block a worker; enqueue without waiting, or "
                "wait where the handler's caller is"
            )
        with self._lock:
            if self._delivery is None and self._event is None:
                self._event = threading.Event()
        if self._event is not None and not self._event.wait(timeout):
            raise DeliveryTimeoutError(
                f"no acknowledgement within {timeout:g} s; the record may still arrive. "
                "Is the broker there? Wait longer, or look at `python -m streamjobs check`"
            )
        return self._position()

    def __await__(self) -> Generator[object, None, Position]:
        """As `wait`, in a coroutine, without a time limit (see `asyncio.timeout`)."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not arrived.done():
                arrived.set_result(None)

        def done() -> None:
            # The loop may be closed by now, if its owner gave up waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(wake)

        self._when_done(done)
        yield from arrived
        return self._position()

    def _when_done(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if self._delivery is None:
                self._callbacks.append(callback)
                return
        callback()

    def _position(self) -> Position:
        delivery = self._delivery
        assert delivery is not None
        if delivery.error is not None:
            raise DeliveryError(f"{delivery.topic}: {delivery.error}")
        return Position(delivery.topic, delivery.partition, delivery.offset)

    def resolve(self, delivery: Delivery) -> None:
        """The producer's answer; called once, in its thread."""
        with self._lock:
            self._delivery = delivery
            callbacks, self._callbacks = self._callbacks, []
        if self._event is not None:
            self._event.set()
        for callback in callbacks:
            callback()


class ReceiptOfAttempt(Receipt):
    """Of a record that an attempt writes when it has succeeded. It knows the id; where the record
    stands nobody is told.
    """

    __slots__ = ()

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> NoReturn:
        """There is nothing to wait for.

        Raises:
            ConfigurationError: always; says why.
        """
        raise ConfigurationError(
            "what is enqueued inside of an attempt is written when the attempt has succeeded, so "
            "neither wait() nor await can say where: leave that out. What has to be written before "
            "the attempt ends belongs in a thread of its own"
        )

    def __await__(self) -> NoReturn:
        """As `wait`."""
        self.wait()


class Receipts(Sequence[Receipt]):
    """The receipts of `enqueue_many`, in the order of its calls."""

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self._receipts = receipts

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> list[Position]:
        """Wait for all, up to `timeout` seconds together.

        Raises:
            DeliveryError: the first one that failed, DeliveryTimeoutError included.
        """
        deadline = time.monotonic() + timeout
        return [receipt.wait(max(0.0, deadline - time.monotonic())) for receipt in self]

    def __await__(self) -> Generator[object, None, list[Position]]:
        return asyncio.gather(*map(_awaited, self)).__await__()

    def __len__(self) -> int:
        return len(self._receipts)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Receipt]: ...

    def __getitem__(self, index: int | slice) -> Receipt | Sequence[Receipt]:
        return self._receipts[index]

    def __iter__(self) -> Iterator[Receipt]:
        return iter(self._receipts)


async def _awaited(receipt: Receipt) -> Position:
    return await receipt
