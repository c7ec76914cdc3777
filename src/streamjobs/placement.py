"""Where a call is written: its message key, its partition, its ordering key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamjobs.calls import JobCall, Partitioner
from streamjobs.errors import ConfigurationError, InvalidArgumentsError
from streamjobs.partitioning import key_bytes, partition_for
from streamjobs.policies import PartitionKeyType, one_of
from streamjobs.wire import Signature

__all__ = ("Place", "Placement")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one call goes: what is sent as key, header and partition."""

    key: bytes | None
    partition: int | None = None
    ordering_key: bytes | None = None


class Placement:
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

    def place(self, call: JobCall, partitions: Callable[[], int]) -> Place:
        """Where this call goes."""
        key = key_bytes(self._message_key(call))
        if self._kind == "key":
            return Place(key)
        assert self._partitioner is not None
        result = self._partitioner(call)
        if self._kind == "partition":
            return self._whole_partition(result, key, partitions())
        ordering_key = key_bytes(result)
        if ordering_key is None:
            return Place(key)
        return Place(key, partition_for(ordering_key, partitions()), ordering_key)

    def _message_key(self, call: JobCall) -> Any:
        if isinstance(self._key, str):
            return call.arguments[self._key]
        if self._key is not None:
            return self._key(call)
        return self._partitioner(call) if self._kind == "key" and self._partitioner else None

    def _whole_partition(self, result: Any, key: bytes | None, partitions: int) -> Place:
        if type(result) is not int or not 0 <= result < partitions:
            raise InvalidArgumentsError(
                f"job {self._name!r}: its partitioner returned {result!r}; with "
                f"partition_key_type='partition' that has to be a number from 0 to "
                f"{partitions - 1}"
            )
        return Place(key, result, str(result).encode() if key is None else key)
