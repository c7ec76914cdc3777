"""The names of the Kafka headers that streamjobs writes and reads: public, they stay."""

from __future__ import annotations

from typing import Final

JOB: Final = "streamjobs-job"
"""The job's name."""

ID: Final = "streamjobs-id"
"""The job's id, the same as in the body."""

ORDERING_KEY: Final = "streamjobs-ordering-key"
"""The ordering key, where it is not the message key."""

TRACEPARENT: Final = "traceparent"
"""W3C Trace Context, handed on as it came."""

CONTEXT: Final = "streamjobs-context"
"""Context variables of whoever enqueued: a JSON object."""

# What a dead letter adds to the headers of its record; the value is UTF-8 text.

DEAD: Final = "streamjobs-dead-"
"""All of them begin so."""

DEAD_TOPIC: Final = DEAD + "topic"
DEAD_PARTITION: Final = DEAD + "partition"
DEAD_OFFSET: Final = DEAD + "offset"
"""Where the record stands (or stood): three headers."""

DEAD_TIMESTAMP: Final = DEAD + "timestamp"
"""The record's own timestamp, in milliseconds."""

DEAD_GROUP: Final = DEAD + "group"
"""The app that gave up: its consumer group."""

DEAD_ATTEMPTS: Final = DEAD + "attempts"
"""How often the record was attempted; 0 when it could not be."""

DEAD_ERROR: Final = DEAD + "error"
"""The class of the last error, with its module."""

DEAD_MESSAGE: Final = DEAD + "message"
"""What the error said, cut to a bounded length."""

DEAD_TRACEBACK: Final = DEAD + "traceback"
"""Its traceback, the end of it if it is long."""

DEAD_FIRST: Final = DEAD + "first"
DEAD_LAST: Final = DEAD + "last"
"""When the first and the last attempt failed: ISO 8601, UTC."""

DEAD_SEQUENCED: Final = DEAD + "sequenced"
"""Present where later records of the key follow this one until it is released."""

DEAD_MARK: Final = DEAD + "mark"
"""Present on what is no dead letter but a note about some: see `docs/errors.md`."""

REPLAY_OF: Final = "streamjobs-replay-of"
"""On a record that was replayed: its dead letter, as `topic/partition/offset`."""

REPLAY: Final = "streamjobs-replay"
"""Which replay wrote it: the same for all records of one `dlq replay`."""
