"""Plays scenarios and judges what happened."""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.receipts import Position
from streamjobs.testing.history import Committed, Finished, History
from tests.chaos.outcome import Outcome, judge
from tests.chaos.scenarios import SCRIPTS
from tests.chaos.stage import Say, Stage
from tests.chaos.workload import Workload
from tests.support.kafka_server import KafkaServer

RATE: Final = 300
"""Records a second."""

BROKEN_BY: Final = ("broker", "all")
"""Scenarios that need a broker of their own, to break it."""

SCENARIOS: Final = (*SCRIPTS, "kill12", "stuck")

KILLS: Final = 12
KILL_JOBS: Final = 20_000

STUCK_BACKLOG: Final = 1_500
STUCK_SECONDS_EACH: Final = 0.1
STUCK_WARM_UP: Final = 3.0
STUCK_LEAST: Final = 0.95


class Theatre:
    """Where scenarios play.

    Args:
        broker: its address, or the broker itself for scenarios that break it.
        folder: each run makes a folder of its own there.
        say: told what happens while it happens.
        options: for `Stage`: named, protocol, seed.
    """

    def __init__(self, broker: str | KafkaServer, folder: Path, say: Say, **options: Any) -> None:
        self._server = None if isinstance(broker, str) else broker
        self._broker = broker if isinstance(broker, str) else broker.bootstrap
        self._folder = folder
        self._say = say
        self._options = options

    def play(self, scenario: str, seconds: float) -> Outcome:
        """Blow after blow of this scenario for so long, at least one round."""
        script = SCRIPTS[scenario]
        with self._stage(scenario) as stage:
            workload = Workload(stage.chaos, lambda elapsed: elapsed * RATE)
            stage.work(workload)
            stage.pause(2.0)
            until = time.monotonic() + seconds
            while True:
                script(stage)
                if time.monotonic() >= until:
                    break
            history = stage.finish(workload)
            outcome = judge(scenario, history, stage.complaints, steady=scenario not in BROKEN_BY)
        if scenario == "rolling" and outcome.replayed:
            outcome.failures.append(f"{outcome.replayed} records ran again after a good-order stop")
        return outcome

    def kill_twelve_times(self, jobs: int = KILL_JOBS, rate: float = 550) -> Outcome:
        """SIGKILL twelve times, spread over so many jobs."""
        with self._stage("kill12") as stage:
            workload = Workload(stage.chaos, lambda elapsed: elapsed * rate, limit=jobs, jobs=1.0)
            stage.work(workload)
            killed = None
            for number in range(KILLS):
                while workload.count < (number + 0.7) * jobs / KILLS and workload.sending:
                    stage.pause(0.1)
                killed = stage.kill_the_busiest(but_not=killed)
            while workload.sending:
                stage.pause(0.2)
            history = stage.finish(workload)
            return judge("kill12", history, stage.complaints, steady=True)

    def stick(self, seconds: float = 60.0, before: float = 15.0) -> Outcome:
        """One record is stuck for so long; the others go on as fast as before. SIGKILL then, and
        only what was in flight or done since the last commit runs again.
        """
        with self._stage("stuck", processes=1) as stage:
            # As fast as it can: what the stuck record takes from the others would show.
            workload = Workload(
                stage.chaos,
                lambda _elapsed: stage.crew.settled + STUCK_BACKLOG,
                jobs=1.0,
                keys=2000,
                even=True,
                seconds=STUCK_SECONDS_EACH,
            )
            stage.work(workload)
            stage.pause(STUCK_WARM_UP + before)
            mark = stage.folder / "stuck"
            stuck = workload.stick("stuck", seconds * 10, str(mark))
            while not mark.exists():
                stage.pause(0.1)
            began = time.monotonic()
            stage.say(f"stuck: partition {stuck.partition}, offset {stuck.offset}")
            stage.pause(seconds)
            ended = time.monotonic()
            stage.kill(0)
            stage.wait_until_assigned()
            history = stage.finish(workload)
            outcome = judge("stuck", history, stage.complaints, steady=True)
        _compare(outcome, history, stuck, (began - before, began), (began, ended))
        return outcome

    def _stage(self, scenario: str, **more: Any) -> Stage:
        run = f"chaos-{scenario}-{uuid.uuid4().hex[:6]}"
        folder = self._folder / run
        folder.mkdir(parents=True)
        self._say(f"--- {scenario}: {folder}")
        server = self._server if scenario in BROKEN_BY else None
        return Stage(run, self._broker, folder, self._say, server=server, **self._options, **more)


def _compare(
    outcome: Outcome,
    history: History,
    stuck: Position,
    before: tuple[float, float],
    during: tuple[float, float],
) -> None:
    """The throughput of the others, before a record was stuck and while it was."""
    place = TopicPartition(stuck.topic, stuck.partition)
    here, elsewhere = _Throughput(), _Throughput()
    done_above = 0
    for event in history:
        if isinstance(event, Finished) and event.error is None:
            throughput = here if event.partition == place else elsewhere
            throughput.count(event.at, before, during)
        elif isinstance(event, Committed) and event.partition == place and event.at < during[1]:
            done_above = sum(length for _, length in event.completed)
    both = _Throughput(here.before + elsewhere.before, here.during + elsewhere.during)
    for name, throughput in (
        ("all others", both),
        ("other partitions", elsewhere),
        ("its own partition", here),
    ):
        rates = throughput.rates(before, during)
        outcome.notes[name] = (
            f"{rates[0]:.0f}/s before, {rates[1]:.0f}/s while it was stuck: "
            f"{rates[1] / rates[0]:.3f} x"
        )
        if rates[1] < STUCK_LEAST * rates[0] - throughput.scatter(before, during):
            outcome.failures.append(f"{name} went slower: {outcome.notes[name]}")
    outcome.notes["committed above it"] = f"{done_above:,} records, none of which ran again"


@dataclass
class _Throughput:
    """Attempts that ended in two windows of time."""

    before: int = 0
    during: int = 0

    def count(self, at: float, before: tuple[float, float], during: tuple[float, float]) -> None:
        self.before += before[0] <= at < before[1]
        self.during += during[0] <= at < during[1]

    def rates(
        self, before: tuple[float, float], during: tuple[float, float]
    ) -> tuple[float, float]:
        return self.before / (before[1] - before[0]), self.during / (during[1] - during[0])

    def scatter(self, before: tuple[float, float], during: tuple[float, float]) -> float:
        """How far two such rates lie apart by chance, at two standard deviations: a count of n
        scatters by the root of n. Short windows of one partition count a few hundred records.
        """
        variance = self.before / (before[1] - before[0]) ** 2
        variance += self.during / (during[1] - during[0]) ** 2
        return 2 * float(variance**0.5)
