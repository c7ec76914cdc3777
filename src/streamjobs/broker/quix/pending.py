"""Partitions whose group's offsets an open transaction holds: asked for, and never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.broker.quix.client import (
    QUIET,
    ConnectionConfig,
    GroupOffsets,
    KafkaError,
    KafkaException,
    Offset,
    TopicAdmin,
    logger,
)
from streamjobs.broker.quix.errors import error_of

__all__ = ("PendingOffsets",)

ASK_EVERY: Final = 0.1
ANSWER_WITHIN: Final = 10.0


class PendingOffsets:
    """Asks for what is committed until it is known, partition by partition.

    A consumer's own question waits until the offsets of all its partitions are stable, in the
    thread that asks. The admin client answers in the background, and says of which they are.
    """

    def __init__(
        self, connection: ConnectionConfig, group: str, on_error: Callable[[Any], None]
    ) -> None:
        self._group = group
        self._on_error = on_error
        self._admin = TopicAdmin(
            connection,
            logger=QUIET,  # type: ignore[arg-type]  # the client only calls its `log`
            extra_config={"error_cb": on_error},
        )
        self._partitions: set[TopicPartition] = set()
        self._question: Future[Any] | None = None
        self._next_question = 0.0

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Ask for these, too. An answer to what was asked before may be of another time."""
        added = sorted(partitions)
        self._partitions.update(added)
        self._question = None
        logger.info(
            "not read before the group's offsets are known, which an open transaction may hold: %s",
            ", ".join(map(str, added)),
        )

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._partitions

    def discard(self, partitions: Iterable[TopicPartition]) -> None:
        """These are of no interest any more; what is answered of them is forgotten."""
        self._partitions.difference_update(partitions)

    def known(self) -> list[Any]:
        """What is committed, as the client says it, of those that are known by now; each once."""
        if not self._partitions:
            return []
        if self._question is None:
            self._ask()
            return []
        if not self._question.done():
            return []
        found = [each for each in self._answers(self._question) if self._is_known(each)]
        self._question = None
        self.discard(TopicPartition(each.topic, each.partition) for each in found)
        return found

    def _ask(self) -> None:
        now = time.monotonic()
        if now < self._next_question:
            return
        self._next_question = now + ASK_EVERY
        places = [Offset(*each) for each in sorted(self._partitions)]
        asked = self._admin.admin_client.list_consumer_group_offsets(
            [GroupOffsets(self._group, places)],
            require_stable=True,
            request_timeout=ANSWER_WITHIN,
        )
        self._question = asked[self._group]

    def _answers(self, question: Future[Any]) -> list[Any]:
        try:
            return list(question.result().topic_partitions)
        except KafkaException as error:  # the coordinator moves, or the broker is away: ask again
            self._on_error(error_of(error))
            return []

    def _is_known(self, answer: Any) -> bool:
        if TopicPartition(answer.topic, answer.partition) not in self._partitions:
            return False
        if answer.error is not None and answer.error.code() != KafkaError.UNSTABLE_OFFSET_COMMIT:
            self._on_error(answer.error)
        return answer.error is None
