"""The door of pipelines to Quix Streams: every symbol of it that they use. `tests/contract` says
what each has to be like.

Importing this takes 0.6 s, so it is left until an app with pipelines is composed.
"""

from __future__ import annotations

# First: it checks the version, and mutes what quixstreams has to say when it is imported.
from streamjobs.broker.quix import client  # noqa: F401

# isort: split
from quixstreams.context import message_context, set_message_context
from quixstreams.core.stream import Stream
from quixstreams.dataframe import DataFrameRegistry, StreamingDataFrame
from quixstreams.dataframe.joins.lookups.base import BaseField, BaseLookup
from quixstreams.dataframe.windows.base import Window
from quixstreams.dataframe.windows.time_based import ClosingStrategy
from quixstreams.models import MessageContext, Row, TimestampType, Topic, TopicConfig, TopicManager
from quixstreams.models.serializers import IgnoreMessage, SerializationContext, SerializationError
from quixstreams.models.serializers.base import MessageField
from quixstreams.models.serializers.json import JSONDeserializer
from quixstreams.models.serializers.simple_types import BytesDeserializer
from quixstreams.processing import ProcessingContext
from quixstreams.sinks import BaseSink, BatchingSink, SinkBackpressureError
from quixstreams.state.base.transaction import (
    PartitionTransactionCache,
    PartitionTransactionStatus,
)
from quixstreams.state.metadata import Marker
from quixstreams.state.rocksdb.cache import Cache
from quixstreams.state.rocksdb.timestamped import TimestampedPartitionTransaction
from quixstreams.state.rocksdb.transaction import RocksDBPartitionTransaction
from quixstreams.state.rocksdb.windowed.transaction import WindowedRocksDBPartitionTransaction
from quixstreams.state.serialization import deserialize, serialize
from quixstreams.utils.json import dumps, loads

__all__ = (
    "BaseField",
    "BaseLookup",
    "BaseSink",
    "BatchingSink",
    "BytesDeserializer",
    "Cache",
    "ClosingStrategy",
    "DataFrameRegistry",
    "IgnoreMessage",
    "JSONDeserializer",
    "Marker",
    "MessageContext",
    "MessageField",
    "PartitionTransactionCache",
    "PartitionTransactionStatus",
    "ProcessingContext",
    "RocksDBPartitionTransaction",
    "Row",
    "SerializationContext",
    "SerializationError",
    "SinkBackpressureError",
    "Stream",
    "StreamingDataFrame",
    "TimestampType",
    "TimestampedPartitionTransaction",
    "Topic",
    "TopicConfig",
    "TopicManager",
    "Window",
    "WindowedRocksDBPartitionTransaction",
    "deserialize",
    "dumps",
    "loads",
    "message_context",
    "serialize",
    "set_message_context",
)
