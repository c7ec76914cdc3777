"""Quix's topics, without a broker: a pipeline is composed before anybody is asked."""

from __future__ import annotations

from streamjobs.pipelines.quix import Topic, TopicConfig, TopicManager

__all__ = ("OfflineTopics",)


class OfflineTopics(TopicManager):
    """Knows every topic, all with the same number of partitions: how many there are, and whether
    those of a join agree, is found out when the app starts. More than one, or Quix would let
    `group_by` change keys on the way, and their order would be that of the keys before.
    """

    def __init__(self, group: str) -> None:
        super().__init__(topic_admin=None, consumer_group=group)  # type: ignore[arg-type]

    def _fetch_topic(self, topic: Topic) -> Topic:
        known = Topic(topic.name)
        known.broker_config = TopicConfig(
            num_partitions=2,
            replication_factor=1,
            extra_config={"retention.ms": "-1", "retention.bytes": "-1"},
        )
        return known
