"""Jobs: functions that are called by a worker, with the arguments of a record."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from streamjobs import headers
from streamjobs.broker.ports import Message
from streamjobs.calls import Arguments, JobCall, Partitioner
from streamjobs.context import Context, current_context, inside_an_attempt
from streamjobs.errors import (
    InvalidArgumentsError,
    UndecodableRecordError,
)
from streamjobs.handlers import HandlerOptions
from streamjobs.placement import Placement
from streamjobs.policies import PartitionKeyType
from streamjobs.receipts import Receipt, ReceiptOfAttempt, Receipts
from streamjobs.record import Header
from streamjobs.wire import Envelope, Signature

if TYPE_CHECKING:
    from streamjobs.app import App

__all__ = ("Job",)

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Job(Generic[P, R_co]):
    """A function that can be enqueued. Calling it runs it here and now, as before.

    Made by `App.job`.
    """

    __name__: str

    def __init__(
        self,
        app: App,
        function: Callable[P, R_co],
        *,
        name: str,
        topic: str,
        partitioner: Partitioner | None,
        key: str | Partitioner | None,
        partition_key_type: PartitionKeyType,
        options: HandlerOptions,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.topic = topic
        self.partition_key_type = partition_key_type
        self.function = function
        self.options = options
        self.timeout = options.timeout
        self.around = app.around
        self._app = app
        self._signature = Signature(name, function)
        self._placement = Placement(name, self._signature, partitioner, key, partition_key_type)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Job {self.name} on {self.topic}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Write one call to the topic; a worker will run it. Inside of an attempt it is written
        when that has succeeded, with what it emits.

        Raises:
            InvalidArgumentsError: the arguments do not fit; names the parameter.
            DeliveryError: refused at once, as too large for example.
            BrokerUnavailableError, TopicError: the topic cannot be reached or made.
            Nothing was sent then.
        """
        return self._send([self._prepare(args, kwargs)])[0]

    def enqueue_many(
        self, calls: Iterable[Arguments | tuple[Any, ...] | Mapping[str, Any]]
    ) -> Receipts:
        """Write many calls, in their order. All are checked before the first is sent.

        Args:
            calls: each one as `job.arguments(...)` (checked by the type checker, too), a tuple
                of positional, or a mapping of keyword arguments.

        Raises:
            InvalidArgumentsError: says which call; nothing was sent.
        """
        prepared = []
        for number, call in enumerate(calls):
            try:
                args, kwargs = _split(call)
                prepared.append(self._prepare(args, kwargs))
            except InvalidArgumentsError as error:
                raise InvalidArgumentsError(f"call {number}: {error}") from None
        return Receipts(self._send(prepared))

    @property
    def parameters(self) -> Sequence[str]:
        """The names of its parameters."""
        return self._signature.parameters

    def arguments(self, *args: P.args, **kwargs: P.kwargs) -> Arguments:
        """Arguments for `enqueue_many`."""
        return Arguments(args, kwargs)

    def enqueue_json(self, arguments: Mapping[str, Any]) -> Receipt:
        """Write one call whose arguments are JSON values by parameter name.

        Raises:
            InvalidArgumentsError: they do not fit; names the parameter. Nothing was sent.
        """
        try:
            decoded = self._signature.decode((), arguments)
        except UndecodableRecordError as error:
            raise InvalidArgumentsError(str(error)) from None
        return self._send([self._message(decoded)])[0]

    # -- for the route -----------------------------------------------------------------------

    def decode(self, envelope: Envelope) -> JobCall:
        """The call that a record asks for.

        Raises:
            UndecodableRecordError: its arguments do not fit.
        """
        arguments = self._signature.decode(envelope.args, envelope.kwargs)
        return JobCall(self.name, envelope.id, self._signature.with_defaults(arguments))

    def call(self, context: Context) -> Any:
        """Run the function with the arguments of an attempt."""
        assert context.job is not None
        args, kwargs = self._signature.call_arguments(context.job.arguments)
        return self.function(*args, **kwargs)

    # -- inside ------------------------------------------------------------------------------

    def _prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Message, str]:
        return self._message(self._signature.bind(args, kwargs))

    def _message(self, arguments: dict[str, Any]) -> tuple[Message, str]:
        ident = str(uuid.uuid4())
        body = self._signature.encode(ident, arguments)
        call = JobCall(self.name, ident, self._signature.with_defaults(arguments))
        place = self._placement.place(call, self._partitions)
        pairs: list[Header] = [(headers.JOB, self.name.encode()), (headers.ID, ident.encode())]
        if place.ordering_key is not None:
            pairs.append((headers.ORDERING_KEY, place.ordering_key))
        return Message(self.topic, body, place.key, pairs, place.partition), ident

    def _partitions(self) -> int:
        return self._app.publisher.topics.partitions(self.topic)

    def _send(self, prepared: Sequence[tuple[Message, str]]) -> list[Receipt]:
        receipts = []
        ready = [(self.around.before_enqueue(message), ident) for message, ident in prepared]
        for message, ident in ready:
            receipt = self._write(message, ident)
            self.around.after_enqueue(message, receipt)
            receipts.append(receipt)
        return receipts

    def _write(self, message: Message, ident: str) -> Receipt:
        attempt = self._attempt()
        if attempt is None:
            receipt = Receipt(ident)
            self._app.publisher.send(message, receipt.resolve)
            return receipt
        self._app.publisher.topics.have(message.topic)
        attempt.write(message)
        return ReceiptOfAttempt(ident)

    def _attempt(self) -> Context | None:
        """The attempt that runs here, if what it emits goes to the cluster of this job."""
        if not inside_an_attempt():
            return None
        attempt = current_context()
        same = attempt.app is not None and self._app.shares_broker_with(attempt.app)
        return attempt if same else None


def _split(call: object) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(call, Arguments):
        return call.args, call.kwargs
    if isinstance(call, Mapping):
        return (), call
    if isinstance(call, tuple):
        return call, {}
    raise InvalidArgumentsError(
        f"enqueue_many takes job.arguments(...), tuples or mappings, not {type(call).__name__}"
    )
