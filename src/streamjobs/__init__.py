"""Kafka jobs with order per key and parallelism inside a partition, built on Quix Streams."""

from streamjobs.app import App
from streamjobs.calls import JobCall
from streamjobs.context import Context, current_context
from streamjobs.errors import (
    AttemptInterruptedError,
    AttemptTimeoutError,
    LostCauseError,
    StreamjobsError,
)
from streamjobs.exit_codes import ExitCode
from streamjobs.failures.breaker import Breaker
from streamjobs.failures.letters import DeadLetter
from streamjobs.failures.retry import Discard, Retry
from streamjobs.failures.waits import constant, exponential, fibonacci
from streamjobs.jobs import Job
from streamjobs.middleware import Middleware
from streamjobs.policies import VirtualPartitions
from streamjobs.receipts import Position, Receipt
from streamjobs.record import Record
from streamjobs.streams import Stream

__all__ = (  # noqa: RUF022  # by what they are for
    # What a module declares
    "App",
    "Job",
    "Middleware",
    "Stream",
    "VirtualPartitions",
    # What is done about failures
    "Breaker",
    "DeadLetter",
    "Discard",
    "Retry",
    "constant",
    "exponential",
    "fibonacci",
    # What handlers and callers get
    "Context",
    "ExitCode",
    "JobCall",
    "Position",
    "Receipt",
    "Record",
    "current_context",
    # What goes wrong
    "AttemptInterruptedError",
    "AttemptTimeoutError",
    "LostCauseError",
    "StreamjobsError",
)
