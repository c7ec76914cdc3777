"""Records whose emits the broker refuses: who is to blame, so that it fails and nobody else."""

from __future__ import annotations

from streamjobs.broker.ports import TopicPartition
from streamjobs.errors import EmitRefusedError

__all__ = ("Refusals",)


class Refusals:
    """A broker refuses a whole batch for one record in it, so a refusal makes suspects of all whose
    emits were in it. What suspects emit is sent alone the next time: who is refused then is
    convicted, and fails without being attempted again.
    """

    def __init__(self) -> None:
        self._suspects: dict[TopicPartition, set[int]] = {}
        self._convicts: dict[TopicPartition, dict[int, str]] = {}
        self._news = False

    def is_suspect(self, partition: TopicPartition, offset: int) -> bool:
        """Whether what this record emits has to be sent alone."""
        return offset in self._suspects.get(partition, ())

    def note(self, partition: TopicPartition, offset: int, reason: str, *, alone: bool) -> None:
        """Something that this record emitted was refused."""
        if alone:
            self._suspects.get(partition, set()).discard(offset)
            self._convicts.setdefault(partition, {})[offset] = reason
            self._news = True
        elif not self.is_suspect(partition, offset):
            self._suspects.setdefault(partition, set()).add(offset)
            self._news = True

    def take_news(self) -> bool:
        """Whether somebody was accused or convicted since this was asked last: then reading the
        partition again brings something new.
        """
        news, self._news = self._news, False
        return news

    def convicted(self, partition: TopicPartition, frontier: int) -> dict[int, Exception]:
        """The errors of records that must not be attempted any more; those below the frontier are
        over, and forgotten.
        """
        suspects = self._suspects.get(partition, set())
        suspects.difference_update([offset for offset in suspects if offset < frontier])
        convicts = self._convicts.get(partition, {})
        for offset in [each for each in convicts if each < frontier]:
            del convicts[offset]
        return {
            offset: EmitRefusedError(f"what it emitted was refused: {reason}")
            for offset, reason in convicts.items()
        }

    def forget(self, partition: TopicPartition) -> None:
        """The partition has gone to somebody else."""
        self._suspects.pop(partition, None)
        self._convicts.pop(partition, None)
