"""Policies: values that are checked when they are made."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from streamjobs import VirtualPartitions
from streamjobs.errors import ConfigurationError


def test_the_defaults_keep_the_order_of_each_key() -> None:
    policy = VirtualPartitions()
    assert (policy.count, policy.distribution, policy.ordering) == (64, "consistent", "key")


@pytest.mark.parametrize("count", [1, 65_536])
def test_the_limits_of_the_count_are_in(count: int) -> None:
    assert VirtualPartitions(count).count == count


@pytest.mark.parametrize("count", [0, -1, 65_537, 1.0, "8", True, None])
def test_other_counts_are_refused(count: Any) -> None:
    with pytest.raises(ConfigurationError, match="a whole number from 1 to 65,536"):
        VirtualPartitions(count)


@pytest.mark.parametrize(
    "wrong, choices",
    [
        ({"distribution": "random"}, "'consistent', 'balanced'"),
        ({"ordering": "partition"}, "'key', 'virtual_partition', 'none'"),
    ],
)
def test_an_unknown_choice_is_refused_with_those_there_are(
    wrong: dict[str, Any], choices: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"it takes one of {choices}"):
        VirtualPartitions(**wrong)


def test_a_partitioner_has_to_be_a_function() -> None:
    with pytest.raises(ConfigurationError, match="a function of a Record"):
        VirtualPartitions(partitioner="user_id")  # type: ignore[arg-type]


def test_the_order_of_a_whole_virtual_partition_cannot_be_balanced() -> None:
    with pytest.raises(ConfigurationError, match='needs distribution="consistent"'):
        VirtualPartitions(ordering="virtual_partition", distribution="balanced")


def test_policies_are_values() -> None:
    assert VirtualPartitions(8) == VirtualPartitions(8) != VirtualPartitions(9)


def test_policies_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        VirtualPartitions().count = 3  # type: ignore[misc]
