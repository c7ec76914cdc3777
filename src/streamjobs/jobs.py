"""Jobs: functions that are called by a worker, with the arguments of a record."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from streamjobs import headers
from streamjobs.broker.ports import Message
from streamjobs.context import Context, refuse_coroutine
from streamjobs.engine.effects import Effects
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.errors import (
    ConfigurationError,
    InvalidArgumentsError,
    UndecodableRecordError,
    UnknownJobError,
)
from streamjobs.partitioning import key_bytes, partition_for
from streamjobs.policies import PartitionKeyType, one_of
from streamjobs.receipts import Receipt, Receipts
from streamjobs.record import Header
from streamjobs.wire import Envelope, Signature, open_envelope

if TYPE_CHECKING:
    from streamjobs.app import App

__all__ = ("Arguments", "Job", "JobCall", "Partitioner")

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class JobCall:
    """One call of a job, as a partitioner and `ctx.job` see it.

    Attributes:
        name: the job's name.
        id: the same at every attempt; unique for each `enqueue`.
        arguments: by parameter name, defaults included.
    """

    name: str
    id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments for `enqueue_many`, checked by the type checker; made by `Job.arguments`."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]


Partitioner = Callable[[JobCall], Any]


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
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.topic = topic
        self.partition_key_type = partition_key_type
        self.function = function
        self._app = app
        self._signature = Signature(name, function)
        self._placement = _Placement(name, self._signature, partitioner, key, partition_key_type)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Job {self.name} on {self.topic}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """Write one call to the topic; a worker will run it.

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

    def call(self, call: JobCall) -> Any:
        """Run the function with the arguments of a call."""
        args, kwargs = self._signature.call_arguments(call.arguments)
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
        trace = _traceparent()
        if trace is not None:
            pairs.append((headers.TRACEPARENT, trace))
        return Message(self.topic, body, place.key, pairs, place.partition), ident

    def _partitions(self) -> int:
        return self._app.publisher.topics.partitions(self.topic)

    def _send(self, prepared: Sequence[tuple[Message, str]]) -> list[Receipt]:
        receipts = []
        for message, ident in prepared:
            receipt = Receipt(ident)
            self._app.publisher.send(message, receipt.resolve)
            receipts.append(receipt)
        return receipts


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one call goes: what is sent as key, header and partition."""

    key: bytes | None
    partition: int | None = None
    ordering_key: bytes | None = None


class _Placement:
    """From a call to its place, by the `partition_key_type`.

    Raises:
        ConfigurationError: the parts do not make sense together.
    """

    def __init__(
        self,
        name: str,
        signature: Signature,
        partitioner: Partitioner | None,
        key: str | Partitioner | None,
        kind: PartitionKeyType,
    ) -> None:
        one_of(f"job {name!r}: partition_key_type", kind, PartitionKeyType)
        if kind != "key" and partitioner is None:
            raise ConfigurationError(
                f"job {name!r}: partition_key_type={kind!r} needs a partitioner, for example "
                "partitioner=lambda job: job.arguments[...]"
            )
        if kind == "key" and partitioner is not None and key is not None:
            raise ConfigurationError(
                f"job {name!r}: with partition_key_type='key' the partitioner's result is the "
                "message key; give partitioner= or key=, not both"
            )
        if isinstance(key, str) and key not in signature.parameters:
            raise ConfigurationError(
                f"job {name!r}: key={key!r} is none of its parameters "
                f"({', '.join(signature.parameters) or 'it has none'})"
            )
        self._name = name
        self._kind = kind
        self._partitioner = partitioner
        self._key = key

    def place(self, call: JobCall, partitions: Callable[[], int]) -> _Place:
        """Where this call goes."""
        key = key_bytes(self._message_key(call))
        if self._kind == "key":
            return _Place(key)
        assert self._partitioner is not None
        result = self._partitioner(call)
        if self._kind == "partition":
            return self._whole_partition(result, key, partitions())
        ordering_key = key_bytes(result)
        if ordering_key is None:
            return _Place(key)
        return _Place(key, partition_for(ordering_key, partitions()), ordering_key)

    def _message_key(self, call: JobCall) -> Any:
        if isinstance(self._key, str):
            return call.arguments[self._key]
        if self._key is not None:
            return self._key(call)
        return self._partitioner(call) if self._kind == "key" and self._partitioner else None

    def _whole_partition(self, result: Any, key: bytes | None, partitions: int) -> _Place:
        if type(result) is not int or not 0 <= result < partitions:
            raise InvalidArgumentsError(
                f"job {self._name!r}: its partitioner returned {result!r}; with "
                f"partition_key_type='partition' that has to be a number from 0 to "
                f"{partitions - 1}"
            )
        return _Place(key, result, str(result).encode() if key is None else key)


class JobRoute:
    """Runs the records of one topic that jobs share."""

    def __init__(self, jobs: Mapping[str, Job[..., Any]]) -> None:
        self._jobs = jobs

    def open(self, piece: Slice, index: int) -> tuple[Job[..., Any], Context]:
        """The job that a record asks for, and the context of this attempt.

        Raises:
            UndecodableRecordError: there is no such job, or its arguments do not fit.
        """
        envelope = open_envelope(piece.records[index])
        job = self._jobs.get(envelope.job)
        if job is None:
            known = ", ".join(sorted(self._jobs))
            raise UnknownJobError(f"there is no job {envelope.job!r} here; known are {known}")
        context = piece.context = Context(piece, index, job.decode(envelope))
        return job, context

    def invoke(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a plain function."""
        job, context = self.open(piece, index)
        assert context.job is not None
        result = job.call(context.job)
        if result is not None:
            refuse_coroutine(result)
        return context.effects

    async def invoke_async(self, piece: Slice, index: int) -> Effects | None:
        """Attempt one record of a coroutine function."""
        job, context = self.open(piece, index)
        assert context.job is not None
        await job.call(context.job)
        return context.effects


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


def _traceparent() -> bytes | None:
    """Inside of an attempt, the trace of the record that caused it."""
    piece = RUNNING.get()
    return None if piece is None else piece.records[piece.current].header(headers.TRACEPARENT)
