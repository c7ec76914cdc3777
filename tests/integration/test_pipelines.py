"""Pipelines on a real Kafka: killed again and again, they make what one thread would."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.piping import Piping
from tests.support.processes import wait_until

pytestmark = pytest.mark.kafka

LONG = os.environ.get("STREAMJOBS_LONG") == "1"
RECORDS, KILLS = (10_000, 8) if LONG else (1_200, 2)
SEEDS = range(5 if LONG else 2)

Make = Callable[..., Piping]


@pytest.fixture
def piping(kafka: str, topic_name: str, tmp_path: Path) -> Make:
    def make(guarantee: str, seed: int = 0, seconds: float = 0.001) -> Piping:
        # The names of the topics that pipelines make have all of it in them, twice.
        topic = f"pipes-{topic_name[-8:]}"
        return Piping(kafka, topic, tmp_path, guarantee, seed, seconds)

    return make


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_pipeline_makes_exactly_what_one_thread_makes(piping: Make, seed: int) -> None:
    run = piping("exactly-once", seed)
    run.send(RECORDS)
    dice = random.Random(seed)
    for kill in range(1, KILLS + 1):
        with run.worker() as worker:
            goal = kill * RECORDS // (KILLS + 2)
            wait_until(lambda goal=goal: run.count("groups") > goal, 60, "it gets on")
            time.sleep(dice.uniform(0.0, 0.2))
            worker.send(signal.SIGKILL)
            worker.wait()
        if kill % 2 == 0:
            run.lose_disk()
    with run.worker() as worker:
        worker.wait_for("running")
        run.wait_until_done()
        assert worker.stop() == 0
    run.assert_exact()


@pytest.mark.timeout(300)
def test_joined_topics_move_together_between_processes(piping: Make) -> None:
    run = piping("exactly-once", seconds=0.002)
    run.send(RECORDS)
    with ExitStack() as stack:
        first = stack.enter_context(run.worker("p0"))
        wait_until(lambda: run.count("groups") > RECORDS // 6, 60, "it gets on")
        second = stack.enter_context(run.worker("p1"))
        second.wait_for("running")
        wait_until(lambda: run.count("groups") > RECORDS // 2, 60, "both get on")
        first.send(signal.SIGKILL)
        first.wait()
        run.wait_until_done()
        assert second.stop() == 0
    run.assert_exact()


@pytest.mark.timeout(300)
def test_at_least_once_a_killed_pipeline_loses_nothing(piping: Make) -> None:
    run = piping("at-least-once")
    run.send(RECORDS)
    with run.worker() as worker:
        wait_until(lambda: run.count("groups") > RECORDS // 3, 60, "it gets on")
        worker.send(signal.SIGKILL)
        worker.wait()
    run.lose_disk()
    with run.worker() as worker:
        worker.wait_for("running")
        run.wait_until_done()
        assert worker.stop() == 0
    run.assert_counted()
