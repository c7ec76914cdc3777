"""Every error that streamjobs raises, in one tree. Messages say what to try next."""

from __future__ import annotations

__all__ = (
    "AbortableTransactionError",
    "AppNotFoundError",
    "AttemptInterruptedError",
    "AttemptTimeoutError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "DeliveryError",
    "DeliveryTimeoutError",
    "EmitRefusedError",
    "FencedError",
    "GroupActiveError",
    "InvalidArgumentsError",
    "LostCauseError",
    "MessageRefusedError",
    "PartitionerError",
    "PipelineError",
    "PoisonRecordError",
    "RecordGoneError",
    "RemoteError",
    "SequencedRecordError",
    "SettingError",
    "SinkError",
    "StreamjobsError",
    "TableNotReadError",
    "TopicError",
    "TransactionError",
    "UndecodableRecordError",
    "UnknownJobError",
    "UnknownTransactionError",
    "WorkerProcessDiedError",
    "WorkerStartError",
)


class StreamjobsError(Exception):
    """The root of the tree: `except StreamjobsError` catches all that is ours."""


class ConfigurationError(StreamjobsError):
    """A declaration (app, job, stream, virtual partitions) that cannot work."""


class PipelineError(ConfigurationError):
    """A pipeline that virtual partitions cannot run; says why, and what to do instead."""


class SinkError(StreamjobsError):
    """A pipeline's sink cannot connect to where it writes."""


class TableNotReadError(StreamjobsError):
    """A table is looked up in a process that does not read it."""


class SettingError(ConfigurationError):
    """A setting with an unusable value; says which one, where it came from and what it takes."""


class AppNotFoundError(StreamjobsError):
    """`MODULE:APP` names nothing that can be run."""


class BrokerUnavailableError(StreamjobsError):
    """No broker answered at the address within the time allowed."""


class TopicError(StreamjobsError):
    """A topic that is missing, may not be created, or has another shape than asked for."""


class InvalidArgumentsError(StreamjobsError, TypeError):
    """Arguments that do not fit the job's signature; nothing was sent."""


class DeliveryError(StreamjobsError):
    """The broker refused a record, or librdkafka gave up on it."""


class DeliveryTimeoutError(DeliveryError, TimeoutError):
    """No acknowledgement within the time asked for. The record may still arrive."""


class TransactionError(StreamjobsError):
    """A Kafka transaction that did not go through."""


class AbortableTransactionError(TransactionError):
    """The open transaction has failed: once it is aborted nothing of it is ever seen."""


class UnknownTransactionError(TransactionError):
    """Nobody knows whether the transaction was committed. A new producer with the same id settles
    it when it starts; then read what is there.
    """


class FencedError(TransactionError):
    """A transactional producer that can do nothing more: another one has its id now, or its
    transaction was open for too long. A new one can go on, from what it reads.
    """


class GroupActiveError(StreamjobsError):
    """Something that only a group without members allows.

    Args:
        group: the app's name.
    """

    def __init__(self, group: str) -> None:
        super().__init__(
            f"group {group!r} has members: stop all processes of the app. One that was killed "
            "counts as a member until its session is over (session.timeout.ms, 45 s by default)"
        )


class MessageRefusedError(DeliveryError):
    """A record that was refused for what it is, such as its size: again would be of no use."""


class LostCauseError(StreamjobsError):
    """A record for which another attempt is of no use: it is dead-lettered at once."""


class UndecodableRecordError(LostCauseError):
    """A record that no attempt can make sense of."""


class UnknownJobError(UndecodableRecordError):
    """A job record whose name no job of this app has."""


class PartitionerError(LostCauseError):
    """A partitioner raised, so nobody knows the record's order; the cause is what it raised."""


class RecordGoneError(LostCauseError):
    """A record whose turn came after the broker had deleted it (retention, compaction)."""


class EmitRefusedError(LostCauseError):
    """A record whose handler emitted what the broker does not take, such as what is too large."""


class PoisonRecordError(LostCauseError):
    """A record that ended its process again and again, the last time while it ran alone."""


class SequencedRecordError(LostCauseError):
    """A record that follows an earlier one of its key to the dead-letter topic."""


class AttemptTimeoutError(StreamjobsError, TimeoutError):
    """An attempt took longer than its `timeout`; nothing of it is kept."""


class AttemptInterruptedError(StreamjobsError):
    """An attempt ended early because the app stops or its partition goes away. No failure: the
    record is run again, where it is next.
    """


class WorkerProcessDiedError(StreamjobsError):
    """The worker process that ran the attempt died; says how, and what to look at."""


class WorkerStartError(StreamjobsError):
    """Worker processes cannot start: the handlers' module fails there, or an initializer does."""


class RemoteError(StreamjobsError):
    """An exception of a worker process whose class cannot be brought over: its own class has the
    same name, and the same message.
    """
