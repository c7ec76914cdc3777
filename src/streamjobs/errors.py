"""Every error that streamjobs raises, in one tree. Messages say what to try next."""

from __future__ import annotations

__all__ = (
    "AppNotFoundError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "DeliveryError",
    "DeliveryTimeoutError",
    "InvalidArgumentsError",
    "SettingError",
    "StreamjobsError",
    "TopicError",
    "UndecodableRecordError",
    "UnknownJobError",
)


class StreamjobsError(Exception):
    """The root of the tree: `except StreamjobsError` catches all that is ours."""


class ConfigurationError(StreamjobsError):
    """A declaration (app, job, stream, virtual partitions) that cannot work."""


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


class UndecodableRecordError(StreamjobsError):
    """A record that no attempt can make sense of: attempting it again is of no use."""


class UnknownJobError(UndecodableRecordError):
    """A job record whose name no job of this app has."""
