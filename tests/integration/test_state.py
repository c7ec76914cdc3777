"""State and exactly-once on a real Kafka: restarts, lost disks, kills, and owners that were frozen.

STREAMJOBS_LONG=1 makes them long: twelve kills over 20,000 records, for each of five seeds.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamjobs.exit_codes import ExitCode
from tests.support.counting import PARTITIONS, SESSION, Counting
from tests.support.processes import Worker, wait_until

pytestmark = pytest.mark.kafka

LONG = os.environ.get("STREAMJOBS_LONG") == "1"
KILLS, RECORDS, SECONDS = (12, 20_000, 0.01) if LONG else (2, 1_000, 0.04)
SEEDS = range(int(os.environ.get("STREAMJOBS_STATE_SEEDS", "5")))
BOTH = pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])

Make = Callable[..., Counting]


@pytest.fixture
def counting(kafka: str, topic_name: str, tmp_path: Path) -> Make:
    def make(guarantee: str, *, partitions: int = PARTITIONS, **options: float) -> Counting:
        made = Counting(kafka, topic_name, tmp_path, guarantee, **options)
        made.create(made.topic, partitions)
        return made

    return make


def run_to_the_end(counting: Counting, within: float = 60) -> Worker:
    """One more process, which does all that is there and stops in good order."""
    with counting.worker() as worker:
        worker.wait_for("running")  # before that SIGTERM ends it as any other process
        wait_until(counting.is_done, within, "all committed")
        assert worker.stop() == 0
    return worker


@pytest.mark.timeout(150)
@BOTH
def test_counts_go_on_after_a_restart_and_after_a_lost_disk(counting: Make, guarantee: str) -> None:
    run = counting(guarantee)
    run.send(5000)
    run_to_the_end(run)
    run.assert_right()
    run.send(1000)
    run_to_the_end(run)
    run.assert_right()
    run.lose_disk()
    run.send(1000)
    run_to_the_end(run)
    assert run.assert_right() == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
@BOTH
def test_kills_and_lost_disks_leave_every_count_right(
    counting: Make, guarantee: str, seed: int
) -> None:
    run = counting(guarantee, seconds=SECONDS, seed=seed)
    dice = random.Random(seed)
    run.send(RECORDS)
    hits = 0
    for kill in range(1, KILLS + 1):
        with run.worker(STREAMJOBS_COMMIT_INTERVAL="0.1") as worker:
            goal = kill * RECORDS // (KILLS + 2)
            wait_until(lambda goal=goal: run.committed > goal, what="it gets on")
            time.sleep(dice.uniform(0.0, 0.3))
            worker.send(signal.SIGKILL)
            worker.wait()
        hits += run.committed < RECORDS
        if kill % 2 == 0:
            run.lose_disk()
    run_to_the_end(run)
    twice = run.assert_right()
    print(f"{guarantee}: {hits} kills hit, {twice} records answered twice")
    assert hits, "no kill hit anybody at work"


@pytest.mark.timeout(300)
@BOTH
def test_three_processes_that_are_killed_and_frozen_leave_every_count_right(
    counting: Make, guarantee: str
) -> None:
    run = counting(guarantee, seconds=0.03)
    dice = random.Random(7)
    run.send(40_000 if LONG else 6_000)
    places = ["p0", "p1", "p2"]
    with ExitStack() as stack:
        crew = {place: stack.enter_context(run.worker(place)) for place in places}
        wait_until(lambda: run.committed > 0, what="it begins")
        for number in range(4):
            time.sleep(dice.uniform(0.5, 1.5))
            place = dice.choice(places)
            if number % 2:
                crew[place].send(signal.SIGSTOP)
                time.sleep(SESSION + 2)
                crew[place].send(signal.SIGCONT)
            else:
                crew[place].send(signal.SIGKILL)
                crew[place].wait()
                crew[place] = stack.enter_context(run.worker(place))
        for worker in crew.values():
            worker.wait_for("running")  # before that SIGTERM ends it as any other process
        wait_until(run.is_done, 120, "all committed")
        codes = [worker.stop() for worker in crew.values()]
    print(f"{guarantee}: {run.assert_right()} answered twice")
    assert codes == [0, 0, 0]


@pytest.mark.timeout(150)
@BOTH
def test_an_owner_that_was_frozen_past_its_transaction_goes_on_from_the_last_commit(
    counting: Make, guarantee: str
) -> None:
    run = counting(guarantee, seconds=0.02)
    run.send(2000)
    with run.worker(STREAMJOBS_TRANSACTION_TIMEOUT=str(SESSION)) as worker:
        wait_until(lambda: run.committed > 0, what="it begins")
        worker.send(signal.SIGSTOP)
        time.sleep(SESSION + 3)
        worker.send(signal.SIGCONT)
        wait_until(run.is_done, 60, "all committed")
        assert worker.stop() == 0
    run.assert_right()


@pytest.mark.timeout(150)
@BOTH
def test_a_record_whose_answer_the_broker_refuses_ends_as_a_dead_letter(
    counting: Make, guarantee: str
) -> None:
    run = counting(guarantee)
    run.create(run.counts, **{"max.message.bytes": "20000"})
    run.send(300)
    run.send(1, value=b'{"padding": 50000}')
    run.send(300)
    run.send(1, value=b'{"padding": 50000}')
    run.send(300)
    run_to_the_end(run)
    refused = {letter.of: letter.error for letter in run.letters()}
    assert len(refused) == 2
    assert set(refused.values()) == {"EmitRefusedError"}
    for record in refused:
        del run.sent[record]
    run.assert_right()


def test_a_changelog_with_another_count_is_refused_at_the_start(counting: Make) -> None:
    run = counting("at-least-once")
    run.create(run.changelog, PARTITIONS + 1)
    with run.worker() as worker:
        assert worker.wait() == ExitCode.ERROR
        assert f"has {PARTITIONS} partitions and its changelog" in worker.output


def test_exactly_once_on_the_embedded_broker_is_refused(counting: Make) -> None:
    run = counting("exactly-once")
    with run.worker(STREAMJOBS_BROKER="embedded") as worker:
        assert worker.wait() == ExitCode.USAGE
        assert "exactly-once needs a broker with transactions" in worker.output
