"""What peers hand in says what they did wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from benchmarks.accidents import per_second
from benchmarks.peers.common import Run
from benchmarks.peers.journal import Journal
from benchmarks.peers.task import Task

ONE_KEY = Task(broker="", topic="", group="", records=4, keys=1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal.create(tmp_path / "journal", 4)
    yield found
    found.close()


def reported(capsys: pytest.CaptureFixture[str], numbers: Sequence[int]) -> dict[str, int]:
    run = Run(ONE_KEY)
    for number in numbers:
        run.handle({"n": number})
    run.report()
    return dict(orjson.loads(capsys.readouterr().out))


def test_records_in_order_are_no_violation(capsys: pytest.CaptureFixture[str]) -> None:
    found = reported(capsys, [0, 1, 2, 3])

    assert (found["records"], found["violations"], found["lost"], found["twice"]) == (4, 0, 0, 0)


def test_records_out_of_order_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(capsys, [0, 2, 1, 3])["violations"] == 1


def test_records_that_are_missing_or_come_twice_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = reported(capsys, [0, 1, 1, 3])

    assert (found["lost"], found["twice"]) == (1, 1)


def test_a_journal_knows_what_another_process_wrote(tmp_path: Path, journal: Journal) -> None:
    other = Journal(tmp_path / "journal", 4)
    other.ended(2, began=5)
    other.ended(2, began=6)
    other.close()

    assert journal.done == 1
    assert journal.counts() == bytes([0, 0, 2, 0])
    assert journal.times()[2][0] == 6


def test_a_journal_sees_two_records_of_a_key_at_the_same_time(journal: Journal) -> None:
    journal.ended(0, began=1)
    journal.ended(1, began=2)  # before the first one ended: that is now

    assert journal.violations(ONE_KEY) == 1


def test_a_hot_key_gets_every_second_record_once_it_counts() -> None:
    task = Task(broker="", topic="", group="", records=100, keys=1000, hot=True, skipped=50)

    hot = [number for number in range(100) if task.key_of(number) == 0]

    assert hot == list(range(50, 100, 2))


def test_a_second_without_progress_is_seen() -> None:
    samples = [(0.0, 0), (0.5, 50), (1.0, 100), (1.5, 100), (2.0, 100), (3.0, 300)]

    assert per_second(samples) == [100.0, 0.0, 200.0]
