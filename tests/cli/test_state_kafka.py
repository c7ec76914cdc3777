"""`streamjobs state reset --changelog` on a real Kafka."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from streamjobs.exit_codes import ExitCode
from tests.support.counting import APP, PARTITIONS, Counting
from tests.support.processes import Worker, wait_until

pytestmark = pytest.mark.kafka

TIMEOUT = "3"


class Shop:
    """An app that counts, its processes one after another, and the command."""

    def __init__(self, counting: Counting, kafka: str) -> None:
        self.counting = counting
        self._kafka = kafka

    def worker(self) -> Worker:
        return self.counting.worker(STREAMJOBS_TRANSACTION_TIMEOUT=TIMEOUT)

    def run_to_the_end(self) -> None:
        with self.worker() as worker:
            worker.wait_for("running")
            wait_until(self.counting.is_done, 60, "all committed")
            assert worker.stop() == 0

    def reset(self, *options: str) -> "subprocess.CompletedProcess[str]":
        env = {
            **os.environ,
            "STREAMJOBS_BROKER": self._kafka,
            "STREAMJOBS_STATE_DIR": str(self.counting.state_dir()),
            "STATE_TOPIC": self.counting.topic,
        }
        command = [sys.executable, "-m", "streamjobs", "state", "reset", APP, "--yes", *options]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def make_changelog_anew(self) -> None:
        admin, name = AdminClient({"bootstrap.servers": self._kafka}), self.counting.changelog
        admin.delete_topics([name])[name].result(10)
        wait_until(lambda: name not in admin.list_topics(timeout=5).topics, 20, "it is gone")
        time.sleep(1)  # some time after nobody sees it any more its name is free
        self.counting.create(name, PARTITIONS, **{"cleanup.policy": "compact"})


@pytest.fixture
def shop(kafka: str, topic_name: str, tmp_path: Path) -> Shop:
    counting = Counting(kafka, topic_name, tmp_path, "at-least-once")
    counting.create(counting.topic)
    return Shop(counting, kafka)


@pytest.mark.timeout(180)
def test_a_changelog_that_was_made_anew_stops_the_app_until_its_state_is_reset(
    shop: Shop,
) -> None:
    counting = shop.counting
    counting.send(500)
    shop.run_to_the_end()
    shop.make_changelog_anew()
    before = counting.committed
    known = set(counting.sent)
    counting.send(300)

    with shop.worker() as worker:
        assert worker.wait() == ExitCode.ERROR
        assert "has it been deleted and made again?" in worker.output
        assert f"state reset MODULE:APP --changelog --topic {counting.topic}" in worker.output
    wait_until(lambda: shop.reset("--changelog").returncode == 0, 30, "the group is empty")

    assert counting.committed == before
    shop.run_to_the_end()
    fresh = Counter(key for of, key in counting.sent.items() if of not in known)
    assert counting.state() == fresh


@pytest.mark.timeout(180)
def test_state_that_is_reset_begins_anew_on_every_machine(shop: Shop) -> None:
    counting = shop.counting
    counting.send(500)
    shop.run_to_the_end()
    known = set(counting.sent)
    kept_elsewhere = counting.state_dir("p1")
    counting.state_dir().rename(kept_elsewhere)

    # A process with a name counts as a member until its session is over.
    wait_until(lambda: shop.reset("--changelog").returncode == 0, 30, "the group is empty")
    kept_elsewhere.rename(counting.state_dir())
    counting.send(300)
    shop.run_to_the_end()

    # What was deleted and not set again has a tombstone.
    fresh = Counter(key for of, key in counting.sent.items() if of not in known)
    last = {answer.key: answer.n for answer in counting.answers() if answer.of not in known}
    assert last == fresh


@pytest.mark.timeout(120)
def test_while_the_app_runs_its_state_is_not_reset(shop: Shop) -> None:
    counting = shop.counting
    counting.send(100)
    with shop.worker() as worker:
        wait_until(counting.is_done, 60, "all committed")
        here = shop.reset("--changelog")
        counting.state_dir().rename(counting.state_dir("hidden"))
        elsewhere = shop.reset("--changelog")
        counting.state_dir("hidden").rename(counting.state_dir())
        counting.send(100)
        wait_until(counting.is_done, 60, "all committed")
        assert worker.stop() == 0
    assert here.returncode == elsewhere.returncode == ExitCode.ERROR
    assert "open: stop the app on this machine first" in here.stderr
    assert "has members: stop all processes of the app" in elsewhere.stderr
    counting.assert_counted()
