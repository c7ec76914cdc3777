"""State and exactly-once on a real Kafka, hit where it hurts: at one place of one checkpoint.

And the same without one of the protections, which has to show: what would pass either way proves
nothing. STREAMJOBS_LONG=1 crosses every place with every guarantee and every disk.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.support.counting import PARTITIONS, Counting
from tests.support.failpoints import NEVER, VARIABLE, Failpoint
from tests.support.processes import Worker, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

APP = "tests.support.failpoints_app:app"
LONG = os.environ.get("STREAMJOBS_LONG") == "1"
GUARANTEES = ["exactly-once", "at-least-once"]
DISKS = ["kept", "lost"]

PLACES = {
    "changelog": Failpoint("written"),
    "offsets": Failpoint("added"),
    "commit-begun": Failpoint("committing", act="kill-soon", seconds=0.0003),
    "commit-under-way": Failpoint("committing", act="kill-soon", seconds=0.002),
    "commit": Failpoint("committed"),
    "half-a-flush": Failpoint("flushing"),
}
"""After what the process dies."""

KILLS = [
    ("exactly-once", "changelog", "lost"),
    ("exactly-once", "offsets", "kept"),
    ("exactly-once", "commit-begun", "lost"),
    ("exactly-once", "commit", "kept"),
    ("exactly-once", "half-a-flush", "kept"),
    ("at-least-once", "commit", "lost"),
]

DOUBTS = {
    "never-sent": Failpoint("committing", act="lose-answer"),
    "still-on-its-way": Failpoint("committing", act="lose-sight", seconds=0.001),
    "answer-lost": Failpoint("committed", act="lose-answer"),
}
"""Where a commit is whose result nobody knows."""

ABORTED = "transaction aborted; reading again from the last commit"

Make = Callable[..., Counting]


@pytest.fixture
def counting(kafka: str, topic_name: str, tmp_path: Path) -> Make:
    def make(guarantee: str, session: float = 6.0) -> Counting:
        made = Counting(kafka, topic_name, tmp_path, guarantee, seconds=0.01, session=session)
        for topic in (made.topic, made.counts):
            made.create(topic)
        made.send(400)
        return made

    return make


def aimed(
    run: Counting, at: Failpoint = NEVER, sabotage: str = "", place: str = "p0", **more: str
) -> Worker:
    """A process that meets a failpoint, and lacks one of its protections if a sabotage says so."""
    env = {VARIABLE: str(at), "STATE_SABOTAGE": sabotage, "STREAMJOBS_COMMIT_INTERVAL": "0.1"}
    return run.worker(place, app=APP, **env, **more)


def die(run: Counting, at: Failpoint, sabotage: str = "") -> None:
    """One process, to its death at the failpoint."""
    with aimed(run, at, sabotage) as worker:
        assert worker.wait() == -signal.SIGKILL


def finish(run: Counting, worker: Worker) -> None:
    """Let this one do all that is there, and stop in good order."""
    wait_until(run.is_done, 60, "all committed")
    assert worker.stop() == 0


def go_on(run: Counting, sabotage: str = "", place: str = "p0") -> None:
    """One more process, to the end."""
    with aimed(run, sabotage=sabotage, place=place) as worker:
        finish(run, worker)


@contextmanager
def frozen(run: Counting, at: Failpoint, sabotage: str = "", **more: str) -> Iterator[Worker]:
    """A process that has stopped at the failpoint, and sleeps until the block wakes it."""
    with aimed(run, at._replace(act="freeze"), sabotage, **more) as sleeper:
        wait_until(lambda: "failpoint" in sleeper.output, what="it gets there")
        yield sleeper


# -- death -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guarantee, after, disk", list(product(GUARANTEES, PLACES, DISKS)) if LONG else KILLS
)
def test_a_death_in_the_middle_of_a_checkpoint_leaves_every_count_right(
    counting: Make, guarantee: str, after: str, disk: str
) -> None:
    run = counting(guarantee)
    die(run, PLACES[after])
    if disk == "lost":
        run.lose_disk()
    go_on(run)
    run.assert_right()


# -- sleep -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guarantee, after",
    list(product(GUARANTEES, ["changelog", "offsets"]))
    if LONG
    else [("exactly-once", "changelog"), ("at-least-once", "offsets")],
)
def test_nothing_is_seen_of_an_owner_that_wakes_in_a_checkpoint_after_its_successor_is_done(
    counting: Make, guarantee: str, after: str
) -> None:
    run = counting(guarantee, session=1.5)
    with frozen(run, PLACES[after], STREAMJOBS_TRANSACTION_TIMEOUT="3") as sleeper:
        with aimed(run, place="p1") as successor:
            wait_until(run.is_done, 60, "all committed")
            sleeper.send(signal.SIGCONT)
            sleeper.wait_for(ABORTED)
            finish(run, successor)
        assert sleeper.stop() == 0
    run.assert_right()


# -- a changelog with a hidden tail ----------------------------------------------------------------


@contextmanager
def hidden_tail(run: Counting) -> Iterator[Producer]:
    """A stranger's transaction in every partition of the changelog, until the block ends it."""
    run.create(run.changelog, **{"cleanup.policy": "compact"})
    stranger = run.stranger()
    for partition in range(PARTITIONS):
        stranger.produce(run.changelog, b"nothing of ours", b"stranger", partition)
    assert stranger.flush(10) == 0
    yield stranger


def begun(run: Counting) -> dict[int, int]:
    """The offsets of partitions that have any progress, and so any state."""
    return {partition: offset for partition, offset in run.offsets().items() if offset}


def test_a_successor_waits_for_what_an_open_transaction_hides_of_its_changelog(
    counting: Make,
) -> None:
    run = counting("exactly-once")
    with hidden_tail(run) as stranger:
        die(run, PLACES["commit"])
        run.lose_disk()
        hidden = begun(run)
        assert hidden
        with aimed(run) as successor:
            successor.wait_for("partition assigned")
            time.sleep(1.5)
            assert hidden.items() <= begun(run).items()
            stranger.abort_transaction(10)
            finish(run, successor)
    run.assert_right()


# -- doubt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guarantee, commit",
    list(product(GUARANTEES, DOUBTS))
    if LONG
    else [*product(["exactly-once"], DOUBTS), ("at-least-once", "answer-lost")],
)
def test_counts_are_right_whatever_became_of_a_commit_whose_result_is_unknown(
    counting: Make, guarantee: str, commit: str
) -> None:
    run = counting(guarantee)
    with aimed(run, DOUBTS[commit]) as worker:
        finish(run, worker)
        assert worker.events(ABORTED)
    run.assert_right()


# -- refusal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", GUARANTEES if LONG else ["exactly-once"])
def test_a_record_whose_state_the_changelog_does_not_take_ends_as_a_dead_letter(
    counting: Make, guarantee: str
) -> None:
    run = counting(guarantee)
    run.create(run.changelog, **{"cleanup.policy": "compact", "max.message.bytes": "20000"})
    run.send(1, value=b'{"kept": 50000}')
    run.send(100)
    go_on(run)
    [refused] = run.letters()
    assert refused.error == "StateTooLargeError"
    del run.sent[refused.of]
    run.assert_right()


# -- the same without protection -------------------------------------------------------------------


def wrong(run: Counting) -> bool:
    """Whether the counts are found to be wrong."""
    with pytest.raises(AssertionError) as found:
        run.assert_right()
    print(found.value)
    return True


def test_a_progress_of_its_own_loses_records(counting: Make) -> None:
    run = counting("at-least-once")
    die(run, PLACES["offsets"], "naive-frontier")
    go_on(run)
    assert wrong(run)


def test_a_changelog_outside_of_the_transaction_counts_twice(counting: Make) -> None:
    run = counting("at-least-once")
    die(run, PLACES["changelog"], "no-transaction")
    run.lose_disk()
    go_on(run)
    assert wrong(run)


def test_a_store_that_is_written_before_the_commit_counts_twice(counting: Make) -> None:
    run = counting("exactly-once")
    die(run, PLACES["changelog"], "flush-before-commit")
    go_on(run)
    assert wrong(run)


def test_a_successor_that_ignores_the_changelogs_end_counts_from_an_old_state(
    counting: Make,
) -> None:
    run = counting("exactly-once")
    with hidden_tail(run) as stranger:
        die(run, PLACES["commit"])
        run.lose_disk()
        go_on(run, sabotage="ignore-changelog-end")
        stranger.abort_transaction(10)
    assert wrong(run)


def test_an_owner_that_wakes_and_commits_as_anybody_is_seen(counting: Make) -> None:
    run = counting("exactly-once", session=1.5)
    with frozen(run, PLACES["changelog"], "no-membership") as sleeper:
        go_on(run, place="p1")
        sleeper.send(signal.SIGCONT)
        wait_until(lambda: len(run.answers()) > len(run.sent), what="it commits")
    assert wrong(run)
