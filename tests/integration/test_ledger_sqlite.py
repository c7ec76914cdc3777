"""The ledger example on a real Kafka: its process is killed, again and again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ledger_demo import Report, check, entries_of
from examples.ledger_sqlite import Ledger
from tests.support.processes import ROOT, Worker, wait_until

FLIGHTS = 2_000
KILLS = 3


def after_kills(
    kafka: str, topic: str, folder: Path, app: str = "examples.ledger_sqlite:app", **env: str
) -> Report:
    """What is in a ledger whose worker was killed in the middle, so often."""
    wanted, ledger = entries_of(FLIGHTS), Ledger(folder / "ledger.db")
    env |= {
        "STREAMJOBS_BROKER": kafka,
        "STREAMJOBS_INSTANCE": "teller",  # so that the next one need not wait for a session to end
        "LEDGER_TOPIC": topic,
        "LEDGER_DB": str(ledger.path),
    }
    command = f"-m examples.ledger_sqlite enqueue --partitions 4 --flights {FLIGHTS}"
    subprocess.run(
        [sys.executable, *command.split()], cwd=ROOT, env={**os.environ, **env}, check=True
    )
    for kill in range(1, KILLS + 1):
        goal = kill * FLIGHTS // (KILLS + 1)
        with Worker(app, log=folder / f"{kill}.log", env=env) as worker:
            wait_until(lambda goal=goal: len(ledger.entries()) >= goal, what=f"{goal} entries")
            worker.send(signal.SIGKILL)
            worker.wait()
    with Worker(app, "--until-idle", log=folder / "last.log", env=env) as worker:
        assert worker.wait() == 0
    report = check(wanted, ledger)
    ledger.close()
    print(report)
    return report


@pytest.mark.parametrize(
    "guard, guarantee",
    [("id", "exactly-once"), ("offset", "at-least-once")],
)
def test_each_flight_is_booked_once_however_often_the_process_is_killed(
    kafka: str, topic_name: str, tmp_path: Path, guard: str, guarantee: str
) -> None:
    report = after_kills(
        kafka, topic_name, tmp_path, LEDGER_GUARD=guard, STREAMJOBS_GUARANTEE=guarantee
    )

    assert report.right, report
    assert report.refused > 0, "no kill hit anything: nothing came twice"


def test_without_the_guard_exactly_once_does_not_help(
    kafka: str, topic_name: str, tmp_path: Path
) -> None:
    report = after_kills(
        kafka,
        topic_name,
        tmp_path,
        app="tests.support.careless_ledger:app",
        STREAMJOBS_GUARANTEE="exactly-once",
    )

    assert report.surplus
    assert report.wrong
    assert not report.missing
