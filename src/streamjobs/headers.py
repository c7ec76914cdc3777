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
