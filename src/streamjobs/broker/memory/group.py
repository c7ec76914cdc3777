"""A consumer group and its coordinator: cooperative, sticky, and one owner a partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streamjobs.broker.memory.assignor import copartitioned, rotated, sticky
from streamjobs.broker.ports import Commit, TopicPartition

__all__ = ("METADATA_LIMIT", "Committed", "Group", "Member", "Membership")

METADATA_LIMIT: Final = 4095
"""Characters of commit metadata that Kafka keeps by default; one more is refused."""

SESSION_OVER: Final = "UNKNOWN_MEMBER_ID: this session is over"


class Committed(NamedTuple):
    """Where a group has got to in one partition."""

    offset: int
    metadata: str


class Member:
    """One session of one consumer; a consumer that was expired comes back as a new one."""

    __slots__ = ("bounced", "held", "instance", "name", "round", "target", "topics")

    def __init__(self, name: str, topics: frozenset[str], instance: str | None) -> None:
        self.name = name
        self.topics = topics
        self.instance = instance
        self.held: set[TopicPartition] = set()
        self.target: set[TopicPartition] = set()
        self.bounced: set[TopicPartition] = set()
        self.round = 0

    @property
    def revoked(self) -> list[TopicPartition]:
        """What it has to give up before anybody else gets it."""
        return sorted((self.held - self.target) | (self.held & self.bounced))


class Membership(NamedTuple):
    """As whom a transaction commits: a session, in one generation of its group."""

    group: Group
    member: Member
    generation: int

    def refusal(self, commits: Sequence[Commit]) -> str | None:
        """Why these commits are not taken, in the words of Kafka, which does not look at what the
        member holds: the generation is all that fences.
        """
        if not self.group.has(self.member):
            return SESSION_OVER
        if self.generation != self.group.generation:
            return f"ILLEGAL_GENERATION: it was {self.generation}, and is {self.group.generation}"
        return too_long(commits)


class Group:
    """The coordinator of one group. The cluster's lock guards it; it takes none itself.

    A partition moves in two steps, each in a poll of its own: the holder gives it up
    (`Member.revoked`, `release`), and only then the new owner gets it (`grant`).

    Attributes:
        generation: one more with each round of rebalancing, before its members hear of that.
        copartitioned: whether partitions of the same number go together, whatever their topic.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._topics = topics
        self._holders: dict[TopicPartition, Member] = {}
        self._pending: dict[object, list[Commit]] = {}
        self.generation = 0
        self.copartitioned = False
        self.members: dict[str, Member] = {}
        self.committed: dict[TopicPartition, Committed] = {}

    def has(self, member: Member | None) -> bool:
        """Whether this session is still a valid one."""
        return member is not None and self.members.get(member.name) is member

    def join(
        self, name: str, topics: Sequence[str], instance: str | None, copartitioned: bool = False
    ) -> Member:
        """A new session. One of the same instance is fenced, as Kafka does."""
        self.copartitioned = copartitioned
        for other in list(self.members.values()):
            if instance is not None and other.instance == instance:
                self._drop(other)
        member = self.members[name] = Member(name, frozenset(topics), instance)
        self.rebalance()
        return member

    def remove(self, name: str) -> None:
        """End a session: it left, or it expired. What it held is free at once."""
        if member := self.members.get(name):
            self._drop(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Find new targets after members, subscriptions or topics have changed."""
        # A holder counts before the one it was to hand over to: keeping costs nothing.
        owners = self._targets() | {p: m.name for p, m in self._holders.items()}
        self._aim(sticky(self._candidates(), owners))

    def rotate(self, shift: int) -> None:
        """A rebalance that moves partitions for no reason."""
        self._aim(rotated(self._targets(), shift))

    def bounce(self, name: str, partition: TopicPartition) -> None:
        """Have a member give up what it gets back after that."""
        member = self.members[name]
        if partition not in member.held:
            raise KeyError(f"{name!r} does not hold {partition}")
        for each in member.held:
            if each == partition or (self.copartitioned and each.partition == partition.partition):
                member.bounced.add(each)

    def release(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The member gave these up. That is a round of its own, as in Kafka."""
        if not self.has(member):
            return
        for partition in partitions:
            self._holders.pop(partition, None)
        member.held.difference_update(partitions)
        member.bounced.difference_update(partitions)
        self.generation += 1

    def grant(self, member: Member) -> list[TopicPartition] | None:
        """What the member gets now; empty when a round gave it nothing new, None without one."""
        free = sorted(p for p in member.target - member.held if p not in self._holders)
        if not free and member.round == self.generation:
            return None
        member.round = self.generation
        member.held.update(free)
        self._holders.update(dict.fromkeys(free, member))
        return free

    def refusal(self, member: Member | None, commits: Sequence[Commit]) -> str | None:
        """Why these commits are not taken, in the words of Kafka."""
        if member is None or not self.has(member):
            return SESSION_OVER
        for partition, *_ in commits:
            if partition not in member.held:
                return f"ILLEGAL_GENERATION: {partition} is not assigned to this member"
        return too_long(commits)

    def store(self, commits: Sequence[Commit]) -> None:
        """Keep what was committed."""
        for partition, offset, metadata in commits:
            self.committed[partition] = Committed(offset, metadata)

    def hold(self, transaction: object, commits: Sequence[Commit]) -> None:
        """Keep what a transaction commits until that has ended."""
        self._pending[transaction] = list(commits)

    def settle(self, transaction: object, committed: bool) -> None:
        """A transaction ends."""
        commits = self._pending.pop(transaction)
        if committed:
            self.store(commits)

    def is_pending(self, partition: TopicPartition) -> bool:
        """Whether an open transaction commits this partition: nobody is told its offset then."""
        if not self._pending:
            return False
        return any(each.partition == partition for held in self._pending.values() for each in held)

    def _drop(self, member: Member) -> None:
        del self.members[member.name]
        for partition in member.held:
            del self._holders[partition]

    def _candidates(self) -> dict[TopicPartition, list[str]]:
        return {
            TopicPartition(topic, partition): names
            for topic, count in self._topics.items()
            if (names := [m.name for m in self.members.values() if topic in m.topics])
            for partition in range(count)
        }

    def _targets(self) -> dict[TopicPartition, str]:
        return {p: m.name for m in self.members.values() for p in m.target}

    def _aim(self, owners: Mapping[TopicPartition, str]) -> None:
        if self.copartitioned:
            owners = copartitioned(owners)
        for member in self.members.values():
            member.target = {p for p, name in owners.items() if name == member.name}
        self.generation += 1


def too_long(commits: Sequence[Commit]) -> str | None:
    """Kafka's words for metadata that it does not keep."""
    for each in commits:
        if len(each.metadata) > METADATA_LIMIT:
            return f"OFFSET_METADATA_TOO_LARGE: {len(each.metadata)} characters"
    return None
