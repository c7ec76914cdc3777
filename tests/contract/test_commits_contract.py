"""What is committed, read and amended from outside of the group: on every broker."""

from collections.abc import Callable

import pytest

from streamjobs.broker.ports import Broker, Commit, TopicPartition
from streamjobs.errors import GroupActiveError
from tests.support.members import WITHIN, Member, poll_until

Create = Callable[..., str]
Join = Callable[..., Member]


def committing(broker: Broker, topic: str, group: str) -> list[Commit]:
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    return list(broker.committed(group, partitions, WITHIN))


def test_a_partition_without_a_commit_is_left_out(
    broker: Broker, create: Create, topic_name: str
) -> None:
    topic = create(2)
    commit = Commit(TopicPartition(topic, 1), 7, "what else there is to say ä㐀")
    assert committing(broker, topic, topic_name) == []
    broker.amend(topic_name, [commit], WITHIN)
    assert committing(broker, topic, topic_name) == [commit]


def test_what_a_member_finds_is_what_was_amended(
    broker: Broker, create: Create, join: Join, topic_name: str
) -> None:
    topic = create(1)
    broker.amend(topic_name, [Commit(TopicPartition(topic, 0), 0, "amended")], WITHIN)
    member = join(topic)
    poll_until(lambda: member.held, member)
    assert [(each.committed, each.metadata) for each in member.assignments] == [(0, "amended")]


def test_while_the_group_has_members_nothing_is_amended(
    broker: Broker, create: Create, join: Join, topic_name: str, adapter: str
) -> None:
    topic = create(1)
    member = join(topic)
    poll_until(lambda: member.held, member)
    with pytest.raises(GroupActiveError, match="stop all processes of the app"):
        broker.amend(topic_name, [Commit(TopicPartition(topic, 0), 3, "")], WITHIN)
    if adapter != "embedded":  # librdkafka's mock cluster tells only members what is committed
        assert committing(broker, topic, topic_name) == []
