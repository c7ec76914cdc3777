"""What goes to librdkafka: the connection, and what a consumer and a producer are set to."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from streamjobs.broker.ports import ConsumerOptions
from streamjobs.broker.quix.client import AUTO_CREATE, ConnectionConfig
from streamjobs.errors import SettingError

__all__ = (
    "connection_config",
    "consumer_settings",
    "offset_reset",
    "producer_settings",
    "reader_settings",
    "transaction_settings",
)

_OURS = "streamjobs sets it itself"
_CALLBACKS = dict.fromkeys(("error_cb", "stats_cb", "logger", "log.queue"), _OURS)

_CONSUMER_OWNED = {
    **_CALLBACKS,
    "bootstrap.servers": "set the broker",
    "group.id": "it is the app's name",
    "group.instance.id": "set the instance",
    "group.protocol": "set the group_protocol",
    "enable.auto.commit": "a commit follows what handlers have completed",
    "enable.auto.offset.store": "a commit follows what handlers have completed",
    "enable.partition.eof": _OURS,
    "on_commit": _OURS,
    "partition.assignment.strategy": "the group must rebalance cooperatively",
}
_PRODUCER_OWNED = {
    **_CALLBACKS,
    "bootstrap.servers": "set the broker",
    "acks": "an offset counts when all replicas have what its handler wrote",
    "request.required.acks": "an offset counts when all replicas have what its handler wrote",
    "delivery.report.only.error": _OURS,
    "dr_cb": _OURS,
    "on_delivery": _OURS,
    "enable.idempotence": "without it a retry may change the order of a key",
    "partitioner": "every client must find a key in the same partition",
    "transactional.id": _OURS,
    "transaction.timeout.ms": _OURS,
}
# As Kafka's own client. With librdkafka's 10 s a member finds a broker that was restarted so late
# that its session is over: it goes on with what others have been given, and all of that runs twice.
_BACK_SOON = {"reconnect.backoff.max.ms": 1000}
_READING = {
    **_BACK_SOON,
    # With librdkafka's second, a queue that filled up once is refilled once a second.
    "fetch.queue.backoff.ms": 10,
    # Quix's own statistics: it only logs with them, and they cost a JSON parse.
    "statistics.interval.ms": 0,
}
_CLASSIC_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type")


def connection_config(address: str, connection: Mapping[str, Any]) -> ConnectionConfig:
    """Quix's connection settings; the names may be dotted, as librdkafka's, or underscored.

    Raises:
        SettingError: names the setting, never its value: it may be a secret.
    """
    settings = {name.replace(".", "_"): value for name, value in connection.items()}
    if "bootstrap_servers" in settings:
        raise SettingError("connection: bootstrap_servers: set the broker instead")
    try:
        return ConnectionConfig(bootstrap_servers=address, **settings)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0])
        text = problem["msg"] if problem["type"] != "extra_forbidden" else _unknown(name)
        # `from None`: pydantic's own message would show the value.
        raise SettingError(f"connection: {name}: {text}") from None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, ConnectionConfig.model_fields, n=1)
    hint = f"did you mean {near[0]}?" if near else "is it one of consumer_config, producer_config?"
    return f"no such connection setting; {hint}"


def consumer_settings(options: ConsumerOptions) -> dict[str, Any]:
    """Settings of a group member, without those Quix takes as arguments.

    Raises:
        SettingError: `options.extra` sets what streamjobs must set.
    """
    _refuse_owned("consumer_config", options.extra, _CONSUMER_OWNED)
    settings: dict[str, Any] = {
        **_READING,
        "enable.partition.eof": options.report_ends,
        **options.extra,
    }
    if options.group_protocol == "consumer":
        for name in _CLASSIC_ONLY:  # the broker decides these, and librdkafka refuses them
            settings.pop(name, None)
        remote = {"group.remote.assignor": "range"} if options.copartitioned else {}
        return settings | {"group.protocol": "consumer"} | remote
    strategy = "range" if options.copartitioned else "cooperative-sticky"
    settings["partition.assignment.strategy"] = strategy
    if options.instance is not None:
        settings["group.instance.id"] = options.instance
    return settings


def reader_settings(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a reader, without those Quix takes as arguments.

    Raises:
        SettingError: `extra` sets what streamjobs must set.
    """
    _refuse_owned("consumer_config", extra, _CONSUMER_OWNED)
    return {
        **_READING,
        "isolation.level": "read_committed",
        # A broker answers each connection in turn: a fetch that waits at the end of one partition
        # holds up the next fetch, after a seek or to find another end, and every question.
        "fetch.wait.max.ms": 50,
        # A seek throws away what was fetched ahead.
        "queued.max.messages.kbytes": 16_384,
        **extra,
        "enable.partition.eof": True,
    }


def offset_reset(options: ConsumerOptions) -> str:
    """Where a partition without a commit starts: "earliest" (default) or "latest".

    Raises:
        SettingError: it is another word.
    """
    reset = options.extra.get("auto.offset.reset", "earliest")
    if reset not in {"earliest", "latest"}:
        raise SettingError('consumer_config: auto.offset.reset: "earliest" or "latest"')
    return str(reset)


def producer_settings(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a producer.

    Raises:
        SettingError: `extra` sets what streamjobs must set.
    """
    _refuse_owned("producer_config", extra, _PRODUCER_OWNED)
    return {
        "linger.ms": 5,
        **_BACK_SOON,
        # A mistyped topic is an error, not a new topic.
        AUTO_CREATE: False,
        "statistics.interval.ms": 0,
        **extra,
        "acks": "all",
        "enable.idempotence": True,
        # As Kafka's own client: murmur2 of the key; without a key, anywhere.
        "partitioner": "murmur2_random",
    }


def transaction_settings(
    extra: Mapping[str, Any], transactional_id: str, timeout: float
) -> dict[str, Any]:
    """Settings of a producer of transactions, which end by themselves after `timeout` seconds.

    Raises:
        SettingError: as `producer_settings`.
    """
    return {
        **producer_settings(extra),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": round(timeout * 1000),
    }


def _refuse_owned(where: str, extra: Mapping[str, Any], owned: Mapping[str, str]) -> None:
    for name in extra:
        if name in owned:
            raise SettingError(f"{where}: {name} cannot be set here: {owned[name]}")
