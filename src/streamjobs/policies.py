"""What users choose, as frozen values that are checked when they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from streamjobs.errors import ConfigurationError
from streamjobs.record import Record

__all__ = ("Distribution", "Ordering", "PartitionKeyType", "VirtualPartitions")

Distribution = Literal["consistent", "balanced"]
Ordering = Literal["key", "virtual_partition", "none"]
PartitionKeyType = Literal["key", "partition_key", "partition"]


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def one_of(what: str, value: object, choices: object) -> None:
    """Refuse a value that is none of the choices of a `Literal`.

    Raises:
        ConfigurationError: names the value and the choices.
    """
    known = get_args(choices)
    if value not in known:
        listed = ", ".join(repr(choice) for choice in known)
        raise ConfigurationError(f"{what} is {value!r}; it takes one of {listed}")


@dataclass(frozen=True, slots=True)
class VirtualPartitions:
    """How one Kafka partition is split for parallel work.

    Args:
        count: how many records of one partition may run at the same time, 1 to 65,536.
            1 keeps the order of the whole partition: a failing record then holds back all.
        distribution: "consistent" gives a key the same virtual partition always; "balanced"
            gives a key with nothing pending the least loaded one and binds it while it has
            work. Order holds in both.
        ordering: "key" keeps the order of each ordering key; "virtual_partition" keeps the
            order of a whole virtual partition (a failing record parks all of it); "none"
            keeps no order.
        partitioner: takes a `Record`, returns its ordering key (bytes, or anything with a
            `str`, or None for no order) in place of the message key. For records that other
            producers wrote. If it raises, that record alone fails.

    Raises:
        ConfigurationError: on any other value.

    Example:
        >>> VirtualPartitions(64, distribution="balanced").count
        64
    """

    count: int = 64
    distribution: Distribution = "consistent"
    ordering: Ordering = "key"
    partitioner: Callable[[Record], Any] | None = None

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= 65_536:
            raise ConfigurationError(
                f"VirtualPartitions(count={self.count!r}): a whole number from 1 to 65,536"
            )
        one_of("VirtualPartitions(distribution=)", self.distribution, Distribution)
        one_of("VirtualPartitions(ordering=)", self.ordering, Ordering)
        if self.partitioner is not None and not callable(self.partitioner):
            raise ConfigurationError("VirtualPartitions(partitioner=) takes a function of a Record")
        if self.ordering == "virtual_partition" and self.distribution == "balanced":
            raise ConfigurationError(
                'ordering="virtual_partition" needs distribution="consistent": '
                "a balanced key moves between virtual partitions, so their order says nothing"
            )
