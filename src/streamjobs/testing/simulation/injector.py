"""Makes things go wrong, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.simulation.faults import ALL
from streamjobs.testing.simulation.member import TRANSACTION_TIMEOUT

if TYPE_CHECKING:
    from streamjobs.testing.simulation.member import Member
    from streamjobs.testing.simulation.world import World

__all__ = ("Injector",)

TRANSACTION_FAULTS: Final = frozenset(
    {
        "crash-committing",
        "transaction-refused",
        "transaction-unanswered",
        "transaction-lost",
        "transaction-fenced",
        "transaction-expired",
        "zombie",
        "lost-disk",
    }
)
"""Those happen only where anything commits in transactions."""

HANDLER_FAULTS: Final = frozenset({"error", "slow", "endless"})
"""Those are the scenario's, attempt by attempt."""

MOST_MEMBERS: Final = 4


class Injector:
    """Picks a fault and lets it happen, if there is something it can happen to."""

    def __init__(self, world: World, faults: frozenset[str]) -> None:
        self._world = world
        self._random = world.random
        usual = sorted(faults - HANDLER_FAULTS - TRANSACTION_FAULTS)
        often = 2 * sorted(faults & TRANSACTION_FAULTS)
        if world.scenario.has_transactions:  # a partition that comes back finds its store
            usual += often + 8 * sorted(faults & {"rebalance"})
        rare = 3 * sorted(faults & {"retention"})  # it finds enough to take away now and then only
        self._names = usual + rare
        self._actions: dict[str, Callable[[Member], bool | None]] = {
            "crash": self._crash,
            "crash-inside": self._crash_inside,
            "freeze": self._freeze,
            "expire": self._expire,
            "join": self._join,
            "leave": self._leave,
            "rebalance": self._rebalance,
            "bounce": self._bounce,
            "storm": self._storm,
            "commit-refused": self._commit_refused,
            "commit-unanswered": self._commit_unanswered,
            "send-refused": self._send_refused,
            "send-unanswered": self._send_unanswered,
            "answers-held": self._answers_held,
            "away": self._away,
            "duplicate": self._duplicate,
            "gap": self._gap,
            "crash-committing": self._crash_committing,
            "transaction-refused": self._transaction_refused,
            "transaction-unanswered": self._transaction_unanswered,
            "transaction-lost": self._transaction_lost,
            "transaction-fenced": self._transaction_fenced,
            "transaction-expired": self._transaction_expired,
            "zombie": self._zombie,
            "lost-disk": self._lost_disk,
            "other-count": self._other_count,
            "compaction": self._compaction,
            "retention": self._retention,
            "clock": self._clock,
        }
        assert self._actions.keys() | HANDLER_FAULTS == ALL.keys()

    def inject(self) -> None:
        """One fault happens now, or starts to."""
        members = self._world.acting
        if not self._names or not members:
            return
        name = self._random.choice(self._names)
        if self._actions[name](self._random.choice(members)) is not False:
            self._world.coverage[name] += 1

    def heal(self) -> None:
        """All broker faults are over."""
        for member in self._world.members:
            faults = member.faults
            faults.away = faults.answers_held = False
            faults.commits_refused = faults.commits_unanswered = 0
            faults.transactions_refused = faults.transactions_unanswered = 0
            faults.transactions_lost = faults.transactions_fenced = 0
            faults.sends_refused = faults.sends_unanswered = faults.records_repeated = 0

    # -- processes ---------------------------------------------------------------------------

    def _crash(self, member: Member) -> None:
        self._world.crash(member)

    def _crash_inside(self, member: Member) -> None:
        member.crash_point.armed = self._random.randrange(6)

    def _crash_committing(self, member: Member) -> None:
        """What it leaves open hides what its successors commit, from their successors."""
        member.crash_point.armed_in_transaction = self._random.randrange(12)
        if self._random.random() < 0.5:
            for _ in range(3):
                self._world.later(self._random.uniform(0.5, 5.0), lambda: self._rebalance(member))

    def _lost_disk(self, member: Member) -> bool:
        machine = member.machine
        if any(each.machine is machine for each in self._world.members if each is not member):
            return False
        self._world.crash(member)
        machine.disk.wipe()
        return True

    def _other_count(self, _member: Member) -> bool:
        return self._world.change_counts()

    def _freeze(self, member: Member) -> None:
        self._world.freeze(member, self._random.uniform(0.5, 6.0))
        self._world.later(self._random.uniform(0.3, 3.0), lambda: self._world.expire(member))

    def _expire(self, member: Member) -> None:
        self._world.expire(member)

    def _join(self, _member: Member) -> bool:
        if len(self._world.members) >= MOST_MEMBERS:
            return False
        self._world.start_member()
        return True

    def _leave(self, member: Member) -> bool:
        if len(self._world.members) < 2:
            return False
        self._world.leave(member)
        return True

    # -- the group ---------------------------------------------------------------------------

    def _rebalance(self, _member: Member) -> None:
        self._world.cluster.rebalance("simulated", self._random.choice((1, 2)))

    def _bounce(self, member: Member) -> bool:
        held = self._world.cluster.members("simulated").get(member.name)
        if not held:
            return False
        self._world.cluster.bounce(member.name, *self._random.choice(held))
        return True

    def _storm(self, member: Member) -> None:
        for _ in range(3):
            self._world.later(self._random.uniform(0.0, 0.5), lambda: self._rebalance(member))

    # -- requests ----------------------------------------------------------------------------

    def _commit_refused(self, member: Member) -> None:
        member.faults.commits_refused += 1

    def _commit_unanswered(self, member: Member) -> None:
        member.faults.commits_unanswered += 1

    def _transaction_refused(self, member: Member) -> None:
        member.faults.transactions_refused += 1

    def _transaction_unanswered(self, member: Member) -> None:
        member.faults.transactions_unanswered += 1

    def _transaction_lost(self, member: Member) -> None:
        member.faults.transactions_lost += 1

    def _transaction_fenced(self, member: Member) -> None:
        member.faults.transactions_fenced += 1

    def _transaction_expired(self, member: Member) -> None:
        member.stall = TRANSACTION_TIMEOUT + self._random.uniform(0.0, 1.0), False

    def _zombie(self, member: Member) -> None:
        member.stall = self._random.uniform(1.0, 5.0), True

    def _send_refused(self, member: Member) -> None:
        member.faults.sends_refused += 1

    def _send_unanswered(self, member: Member) -> None:
        member.faults.sends_unanswered += 1

    def _answers_held(self, member: Member) -> None:
        member.faults.answers_held = True
        self._world.later(self._random.uniform(0.1, 2.0), lambda: self._release(member))

    def _release(self, member: Member) -> None:
        member.faults.answers_held = False

    def _away(self, _member: Member) -> None:
        affected = list(self._world.members)
        for member in affected:
            member.faults.away = True

        def back() -> None:
            for member in affected:
                member.faults.away = False

        self._world.later(self._random.uniform(0.1, 3.0), back)

    def _duplicate(self, member: Member) -> None:
        member.faults.records_repeated += self._random.choice((1, 5))

    # -- logs --------------------------------------------------------------------------------

    def _partition(self) -> TopicPartition:
        topic = self._random.choice(sorted(self._world.scenario.routes))
        return TopicPartition(topic, self._random.randrange(self._world.scenario.topics[topic]))

    def _gap(self, _member: Member) -> None:
        self._world.cluster.skip(*self._partition(), count=self._random.choice((1, 2, 30)))

    def _compaction(self, _member: Member) -> bool:
        partition = self._partition()
        records = self._world.cluster.log(*partition).records[:-1]
        if not records:
            return False
        for _ in range(self._random.choice((1, 3, 10))):
            if records:
                gone = records.pop(self._random.randrange(len(records)))
                self._world.cluster.delete(*partition, gone.offset)
        return True

    def _retention(self, _member: Member) -> bool:
        partition = self._partition()
        records = self._world.cluster.log(*partition).records
        if len(records) < 5:
            return False
        self._world.cluster.truncate(*partition, records[len(records) // 4].offset)
        return True

    def _clock(self, _member: Member) -> None:
        self._world.jump(self._random.choice((5.0, 60.0)))
