"""From the client's errors to ours: what happened, and what to look at."""

from __future__ import annotations

from typing import Any

from streamjobs.broker.ports import TopicPartition
from streamjobs.broker.quix.client import KafkaError, KafkaException
from streamjobs.errors import BrokerUnavailableError, SettingError, StreamjobsError, TopicError

__all__ = (
    "REFUSALS",
    "TOO_LARGE",
    "TRANSIENT",
    "UNKNOWN",
    "client_error",
    "error_of",
    "no_partition",
    "text_of",
    "unavailable",
)

_CREDENTIALS = "Check sasl.mechanism, sasl.username and sasl.password in the connection settings."
_TLS = "Check security.protocol and the ssl.* settings: does this port speak TLS?"
_TRANSACTIONS = "Ask for the ACLs: Write and Describe on its transactional id."
_RIGHTS = "Ask for the ACLs: Read on its topics and on its group, Describe on the cluster."

REFUSALS = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _TRANSACTIONS,
}
"""Errors that trying again does not mend, and what to check."""

_ADVICE = {
    **REFUSALS,
    KafkaError._SSL: _TLS,
    KafkaError._FENCED: "Does another process run with the same instance name?",
    KafkaError.FENCED_INSTANCE_ID: "Does another process run with the same instance name?",
    KafkaError.INVALID_TRANSACTION_TIMEOUT: "The broker's transaction.max.timeout.ms is less.",
    KafkaError.UNSUPPORTED_VERSION: 'group_protocol="consumer" needs Kafka 4: try "classic".',
}
_DEFAULT = "Is it running there, and does its advertised.listeners name an address we can reach?"

UNKNOWN = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
"""No such topic, or no such partition of it."""

TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD}
"""What is refused for what it is: a message, or with it the whole batch that it is in."""

TRANSIENT = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
}
"""Nobody was there to answer: another time somebody may be."""

_PREFIXES = (
    "Commit failed: ",
    "Failed to get offsets: ",
    "Failed to get watermark offsets: ",
    "Unable to produce message: ",
)


def error_of(exception: KafkaException) -> Any:
    """The KafkaError inside of the exception."""
    return exception.args[0]


def text_of(error: Any) -> str:
    """What a KafkaError says, whether it was raised or given to a callback."""
    text = str(error.str()).strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return text


def unavailable(address: str, error: Any, reason: str = "") -> BrokerUnavailableError:
    """`error` is a KafkaError or a KafkaException; `reason` is what the client said last."""
    error = error_of(error) if isinstance(error, KafkaException) else error
    advice = _ADVICE.get(error.code(), _DEFAULT)
    what = text_of(error)
    if reason and reason != what:
        what = f"{what}; {reason}"
    return BrokerUnavailableError(f"Kafka at {address}: {what}. {advice}")


def client_error(
    address: str, where: str, exception: KafkaException, reason: str = ""
) -> StreamjobsError:
    """What the client said no to: its settings (`where` they came from), or the broker."""
    error = error_of(exception)
    if error.code() == KafkaError._INVALID_ARG:
        return SettingError(f"{where}: {text_of(error)}")
    return unavailable(address, error, reason)


def no_partition(partition: TopicPartition) -> TopicError:
    """Nobody knows this partition."""
    number, topic = partition.partition, partition.topic
    return TopicError(f"no partition {number} of topic {topic!r}: create it first")
