"""What group members and readers do alike with Quix's consumer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from streamjobs.broker.ports import TopicPartition
from streamjobs.broker.quix.client import (
    QUIET,
    BaseConsumer,
    ConnectionConfig,
    KafkaException,
    Offset,
)

__all__ = ("ReadingClient", "sound")

MOST_AT_ONCE: Final = 10_000
PROBE_WITHIN: Final = 1.0


class ReadingClient(BaseConsumer):
    """Quix's consumer, which makes its client when it is first used; it never commits by itself."""

    def __init__(
        self,
        connection: ConnectionConfig,
        group: str,
        reset: Literal["earliest", "error"],
        settings: Mapping[str, Any],
        on_error: Callable[[Any], None],
    ) -> None:
        super().__init__(
            broker_address=connection,
            consumer_group=group,
            auto_offset_reset=reset,
            auto_commit_enable=False,
            logger=QUIET,  # type: ignore[arg-type]  # the client only calls its `log`
            error_callback=on_error,
            extra_config=dict(settings),
        )

    def close(self) -> None:
        """A client that was never needed is not made to be closed."""
        if self._inner_consumer is not None:
            self._inner_consumer.close()

    def answers(self, topic: str | None) -> bool:
        """Does the broker answer? Waits up to a second. To ask about one topic is cheaper."""
        try:
            self.list_topics(topic, timeout=PROBE_WITHIN)
        except KafkaException:
            return False
        return True

    def take(self, limit: int, timeout: float) -> list[Any]:
        """Up to `limit` messages, some of which may be errors; waits only when there is none."""
        # `consume(n, timeout)` would wait for a full batch.
        messages: list[Any] = self.consume(min(limit, MOST_AT_ONCE), 0)
        if not messages and timeout > 0:
            message = self.poll(timeout)
            return [] if message is None else [message]
        return messages

    def read_from(self, partition: TopicPartition, offset: int) -> None:
        """Forget what is fetched of this partition and go on at the offset. (A `seek` fails while
        the partition is not being fetched yet.)
        """
        self.incremental_unassign([Offset(*partition)])
        self.incremental_assign([Offset(*partition, offset)])


def sound(answers: list[Any]) -> list[Any]:
    """The answers, if none of them is an error; else a KafkaException."""
    for each in answers:
        if each.error is not None:
            raise KafkaException(each.error)
    return answers
