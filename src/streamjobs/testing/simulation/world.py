"""The interleaver: several processes, one clock, and dice that decide who moves next."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine import completion_map
from streamjobs.testing.history import (
    Assigned,
    Crashed,
    Event,
    Expired,
    Frozen,
    History,
    Jumped,
    Stored,
)
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.cluster import ObservedCluster
from streamjobs.testing.simulation.coverage import Branches
from streamjobs.testing.simulation.disk import Machine
from streamjobs.testing.simulation.injector import Injector
from streamjobs.testing.simulation.member import TRANSACTION_TIMEOUT, Member, SimulatedCrash
from streamjobs.testing.simulation.rest import is_committed, is_committed_but
from streamjobs.testing.simulation.scenario import Scenario
from streamjobs.testing.simulation.small_map import map_of

__all__ = ("GROUP", "World")

GROUP: Final = "simulated"
SETTLING_STEPS: Final = 20_000

SLOTS: Final = 12
"""Places for processes; more than there ever are at once."""


class World:
    """A cluster, its processes, and what happens to them.

    Everything that is not decided by the scenario is decided by `random`, step by step, so that
    the same dice give the same history.

    Args:
        scenario: what is simulated.
        random: the dice.
        faults: the names of the faults that may happen, see `faults.ALL`.
        members: how many processes there are at first.
        after_attempt: called when an attempt has ended, for the user's own invariants.
    """

    def __init__(
        self,
        scenario: Scenario,
        random: Random,
        faults: frozenset[str],
        members: int = 2,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.history = History()
        self.coverage: Counter[str] = scenario.hits
        self.scenario = scenario
        self.random = random
        self.members: list[Member] = []
        self._watch = watch
        self._write = self.history.add if watch is None else self._add_and_watch
        self.cluster = ObservedCluster(
            scenario.topics,
            scenario.routes,
            self.clock,
            self._write,
            dead_letters=scenario.dead_letters,
        )
        self._branches = Branches(self.coverage)
        self._unsent = list(reversed(scenario.workload))
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._injector = Injector(self, faults)
        self._lives = 0
        self._routes = scenario.routes
        number = random.choice((2, 3)) if scenario.has_transactions else SLOTS
        machines = [Machine(f"machine-{each}") for each in range(number)]
        self._slots = [machines[slot % number] for slot in range(SLOTS)]
        self._is_named = scenario.has_transactions and random.random() < 0.5
        self._taken: dict[Member, int] = {}
        for _ in range(members):
            self.start_member()

    # -- the run -----------------------------------------------------------------------------

    def run(self, steps: int) -> History:
        """Let things happen for so many steps, then heal everything and come to rest."""
        with map_of(self.scenario.map_characters):
            for _ in range(steps):
                self.step()
            self._heal()
            self._settle()
            self._part()
            self._read_back()
        return self.history

    def step(self) -> None:
        """One thing happens."""
        roll = self.random.random()
        if roll < 0.44:
            self._turn_one()
        elif roll < 0.84:
            self._work_one()
        elif roll < 0.92:
            self.pass_time(self.random.choice((0.002, 0.02, 0.1, 0.5)))
        elif roll < 0.97:
            self._send()
        else:
            self._injector.inject()

    def pass_time(self, seconds: float) -> None:
        """The clock moves, and what was to happen later happens."""
        self.clock.advance(seconds)
        due = [entry for entry in self._later if entry[0] <= self.clock.now]
        self._later = [entry for entry in self._later if entry[0] > self.clock.now]
        for _, action in due:
            action()

    def jump(self, seconds: float) -> None:
        """The clock jumps: so much time is gone, and nobody could do anything in it."""
        self._write(Jumped(self.clock.now + seconds, seconds))
        self.pass_time(seconds)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when so much time has passed."""
        self._later.append((self.clock.now + seconds, action))

    # -- members -----------------------------------------------------------------------------

    @property
    def acting(self) -> list[Member]:
        """Members that could move now."""
        return [each for each in self.members if each.can_act and not each.inside]

    def start_member(self) -> None:
        """A process starts and will join the group."""
        self._lives += 1
        slot = self._free_slot()
        self.members.append(
            Member(
                f"p{self._lives}",
                self.cluster,
                GROUP,
                self._routes,
                self.clock,
                self.random,
                self.scenario.limits,
                self.scenario.behaviour,
                self._write,
                self._wait,
                self._branches,
                self._slots[slot],
                f"slot-{slot}" if self._is_named else None,
                self.scenario.piece,
                self._stand_still,
            )
        )
        self._taken[self.members[-1]] = slot

    def _free_slot(self) -> int:
        """Where the next process starts: often where one has ended."""
        taken = {slot for member, slot in self._taken.items() if member.alive}
        free = [slot for slot in range(SLOTS) if slot not in taken]
        if not self.scenario.has_transactions or self.random.random() < 0.5:
            return free[0]
        return self.random.choice(free)

    def change_counts(self) -> bool:
        """Processes that start from now on have other numbers of virtual partitions, of which keys
        get theirs in another way; one is restarted. Not where the order is that of a virtual
        partition, or of the only one: it would be another order.
        """
        policies = [each.virtual_partitions for each in self._routes.values()]
        if any(each.ordering != "key" or each.count == 1 for each in policies):
            return False
        self._routes = {
            topic: dataclasses.replace(
                route,
                virtual_partitions=dataclasses.replace(
                    route.virtual_partitions,
                    count=self.random.choice((2, 3, 8)),
                    distribution=self.random.choice(("consistent", "balanced")),
                ),
            )
            for topic, route in self._routes.items()
        }
        self._restart(self.random.choice(self.acting))
        return True

    def crash(self, member: Member) -> None:
        """A process ends on the spot; the group notices later, and another one starts."""
        member.inside_checkpoint("crashed")
        member.die()
        self.members.remove(member)
        self.cluster.kill(member.name)
        for generation in member.owner.scheduler.generations.values():
            self._branches.ended(generation)
        self._write(Crashed(self.clock.now, member.name))
        self.later(self.random.uniform(0.0, 3.0), lambda: self.expire(member))
        self.later(self.random.uniform(0.0, 2.0), self.start_member)

    def expire(self, member: Member) -> None:
        """The group ends a member's session."""
        if member.name in self.cluster.group(GROUP).members:
            self._write(Expired(self.clock.now, member.name))
            self.cluster.expire(member.name)

    def freeze(self, member: Member, seconds: float) -> None:
        """A process stands still for so long."""
        self._write(Frozen(self.clock.now, member.name))
        member.frozen_until = self.clock.now + seconds

    def _stand_still(self, member: Member, seconds: float, expires: bool) -> None:
        """The same in the middle of a turn: everybody else goes on meanwhile."""
        self.freeze(member, seconds)
        if expires:
            self.later(self.random.uniform(0.0, seconds / 2), lambda: self.expire(member))
        while self.clock.now < member.frozen_until:
            self.pass_time(self.random.uniform(0.05, 0.5))
            self._turn_one()
            self._work_one()

    def leave(self, member: Member) -> None:
        """A process stops in good order."""
        self.members.remove(member)
        try:
            member.close()
        except SimulatedCrash:
            self.members.append(member)
            self.crash(member)
        else:  # where its farewell did not arrive, the session ends by itself
            self.later(self.random.uniform(0.0, 3.0), lambda: self.expire(member))

    def _turn_one(self) -> None:
        if self.acting:
            self._turn(self.random.choice(self.acting))

    def _turn(self, member: Member) -> None:
        if not member.alive:
            return  # it ended while somebody else waited
        try:
            member.turn()
        except SimulatedCrash:
            self.crash(member)
        else:
            if member.has_stopped and member in self.members:
                self._restart(member)

    def _restart(self, member: Member) -> None:
        """A process ends in good order, and whoever watches over it starts another one."""
        self.leave(member)
        self.later(self.random.uniform(0.0, 2.0), self.start_member)

    def _work_one(self) -> None:
        busy = [each for each in self.members if each.can_act and each.workers.busy]
        if not busy:
            self._turn_one()
        elif not self.random.choice(busy).workers.step():
            self.pass_time(0.005)

    def _wait(self, member: Member, seconds: float) -> None:
        """A member waits for its workers, maybe in the middle of a rebalance: everybody else
        goes on meanwhile.
        """
        self.pass_time(seconds if self.random.random() < 0.5 else self.random.uniform(0.0, 0.3))
        member.workers.step()
        if self.random.random() < 0.3:
            self._turn_one()

    def _send(self) -> None:
        for _ in range(min(len(self._unsent), self.random.choice((1, 3, 8)))):
            self.cluster.append(self._unsent.pop())

    def _add_and_watch(self, event: Event) -> None:
        self.history.add(event)
        assert self._watch is not None
        self._watch(event)

    # -- coming to rest ----------------------------------------------------------------------

    def _heal(self) -> None:
        """No more faults; everything that was to happen happens."""
        self.scenario.heal()
        while self._unsent:
            self.cluster.append(self._unsent.pop())
        self._injector.heal()
        for member in self.members:
            member.frozen_until = 0.0
            member.crash_point.disarm()
            member.stall = None
            member.workers.patient = False
        for member in [each for each in self.members if each.blocks.any]:
            self._restart(member)  # somebody mended the handler
        while self._later:
            self.pass_time(1.0)
        if not self.members:
            self.start_member()
        for member in self.members:
            member.workers.patient = False

    def _settle(self) -> None:
        """Everybody works until all is committed; a promise that is broken by then shows as a
        record that was never settled.
        """
        for number in range(SETTLING_STEPS):
            for member in list(self.members):
                self._turn(member)
                while member.workers.step():
                    pass
            self.pass_time(0.02 if number < 200 else 0.5)
            if self._at_rest():
                return

    def _at_rest(self) -> bool:
        return not any(member.workers.busy for member in self.members) and all(
            self._is_committed(TopicPartition(topic, number))
            for topic in self.scenario.routes
            for number in range(self.scenario.topics[topic])
        )

    def _is_committed(self, partition: TopicPartition) -> bool:
        """Whether all that is not held by a blocked key is."""
        if is_committed(self.cluster, GROUP, partition):
            return True
        end = self.cluster.log(*partition).end
        held = [
            each.blocks.held(partition)
            for each in self.members
            if each.blocks.any and each.has_read(partition, end)
        ]
        return any(
            is_committed_but(self.cluster, GROUP, partition, self.scenario.routes, records)
            for records in held
            if records
        )

    def _part(self) -> None:
        for member in list(self.members):
            self.leave(member)

    def _read_back(self) -> None:
        """Where the next process would begin: the answer to the last commit may have been lost,
        with nobody left to learn what the broker has.
        """
        for topic in self.scenario.routes:
            for number in range(self.scenario.topics[topic]):
                committed = self.cluster.committed(GROUP, topic, number)
                if committed is not None:
                    place, name = TopicPartition(topic, number), f"next/{topic}/{number}"
                    runs = tuple(completion_map.decode(committed.offset, committed.metadata).runs)
                    self._write(
                        Assigned(self.clock.now, "next", name, place, committed.offset, runs)
                    )
        self.pass_time(2 * TRANSACTION_TIMEOUT)  # what the dead left open hides the end of logs
        self.cluster.heed_time()
        for machine in dict.fromkeys(self._slots):
            for place, counts in machine.stores(self.cluster):
                self._write(Stored(self.clock.now, machine.name, place, counts))
