"""The one door to Quix Streams and the Kafka client under it: every other file imports from here.

Importing this takes 0.6 s, so it is left until an app runs.

Raises:
    ConfigurationError: quixstreams is missing, or of a version these adapters were not checked
        with. They use some of its inner classes, which may change with each minor version.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from importlib import metadata
from typing import Any

from streamjobs.errors import ConfigurationError

__all__ = (
    "AUTO_CREATE",
    "DESERIALIZERS",
    "OFFSET_BEGINNING",
    "OFFSET_END",
    "QUIET",
    "BaseConsumer",
    "ConfigResource",
    "ConnectionConfig",
    "Deserializer",
    "GroupOffsets",
    "IgnoreMessage",
    "KafkaError",
    "KafkaException",
    "Message",
    "MessageField",
    "NewTopic",
    "Offset",
    "Producer",
    "SerializationContext",
    "SerializationError",
    "TopicAdmin",
    "logger",
)

SERIES = (3, 28)
AUTO_CREATE = "allow.auto.create.topics"

logger = logging.getLogger("streamjobs.broker")


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """librdkafka's own lines, at debug level: it repeats "connection refused" for every attempt,
    and what people must know is said once, by `watch`.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        self.logger.debug(msg, *args, **kwargs)


QUIET = _Quiet(logger)


def check_version(found: str | None) -> None:
    """Refuse a quixstreams that is missing (None) or of another series."""
    if found is None or tuple(found.split(".")[:2]) != tuple(map(str, SERIES)):
        first, following = f"{SERIES[0]}.{SERIES[1]}", f"{SERIES[0]}.{SERIES[1] + 1}"
        raise ConfigurationError(
            f"streamjobs works with quixstreams {first}.x, and "
            + (f"{found} is installed" if found else "none is installed")
            + f": pip install 'quixstreams>={first},<{following}'"
        )


def _installed() -> str | None:
    try:
        return metadata.version("quixstreams")
    except metadata.PackageNotFoundError:
        return None


def _ignore_authlib() -> None:
    """Authlib shows its own warning "always", by a filter it adds when it is imported: so import
    it first, then filter.
    """
    try:
        warning = importlib.import_module("authlib.deprecate").AuthlibDeprecationWarning
    except (ImportError, AttributeError):
        return
    warnings.simplefilter("ignore", warning)


check_version(_installed())

with warnings.catch_warnings():
    _ignore_authlib()
    from confluent_kafka import (
        OFFSET_BEGINNING,
        OFFSET_END,
        KafkaError,
        KafkaException,
        Message,
    )
    from confluent_kafka import ConsumerGroupTopicPartitions as GroupOffsets
    from confluent_kafka import TopicPartition as Offset
    from confluent_kafka.admin import ConfigResource, NewTopic
    from quixstreams.kafka import BaseConsumer, ConnectionConfig, Producer
    from quixstreams.models.serializers import (
        DESERIALIZERS,
        Deserializer,
        IgnoreMessage,
        MessageField,
        SerializationContext,
        SerializationError,
    )
    from quixstreams.models.topics import TopicAdmin
