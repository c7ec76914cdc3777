"""How to test that a database has each record once: with a guard, without, and with a wrong one.

Run it with `python -m pytest examples/test_ledger_sqlite.py`.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from examples import ledger_sqlite
from examples.ledger_demo import Report, check
from examples.ledger_sqlite import NOBODY, Entry, Guard, Ledger, app, book, by_id, by_offset
from streamjobs import Record
from streamjobs.testing import TestDriver

Open = Callable[[Guard], Ledger]


@pytest.fixture
def open_ledger(monkeypatch: pytest.MonkeyPatch) -> Open:
    """An empty ledger with this guard, where the job books from now on."""

    def make(guard: Guard) -> Ledger:
        ledger = Ledger(Path(":memory:"), guard)
        monkeypatch.setattr(ledger_sqlite, "ledger", ledger)
        return ledger

    return make


def no_guard(_database: sqlite3.Connection, _record: Record) -> bool:
    """Books whatever comes."""
    return True


def by_offset_of_the_partition(database: sqlite3.Connection, record: Record) -> bool:
    """One highest offset for all keys: what would do if a partition was read in its order."""
    alone = Record(record.topic, record.partition, record.offset, key=b"all")
    return by_offset(database, alone)


def after_faults(simulate_app: Callable[..., Any], open_ledger: Open, guard: Guard) -> list[Report]:
    """What is wrong with the ledgers of 20 histories with crashes, rebalances and so on."""
    reports = []
    for seed in range(20):
        ledger = open_ledger(guard)
        wanted: list[Entry] = []

        def workload(random: Random, wanted: list[Entry] = wanted) -> None:
            accounts = ["N1", "N2", "N3", NOBODY]
            wanted += [Entry(random.choice(accounts), random.randrange(-9, 90)) for _ in range(40)]
            book.enqueue_many(wanted)

        simulate_app(app, workload=workload, seeds=[seed])
        reports.append(check(wanted, ledger))
        ledger.close()
    return reports


def test_a_crash_after_an_entry_and_before_the_commit_books_nothing_twice(
    open_ledger: Open,
) -> None:
    ledger = open_ledger(by_id)
    with TestDriver(app) as driver:
        book.enqueue("N1", 5)
        driver.run_until_quiet()
        assert driver.committed("ledger") == {0: 0}, "the entry is there, and Kafka does not know"

        driver.restart(crash=True)
        driver.run_until_idle()

    assert ledger.balances() == {"N1": 5}
    assert ledger.refused() == 1


@pytest.mark.parametrize("guard", [by_id, by_offset])
def test_a_guard_keeps_the_ledger_right_whatever_goes_wrong(
    simulate_app: Callable[..., Any], open_ledger: Open, guard: Guard
) -> None:
    reports = after_faults(simulate_app, open_ledger, guard)

    assert [report for report in reports if not report.right] == []
    assert sum(report.refused for report in reports) > 0, "nothing ever came twice"


def test_without_a_guard_some_entries_are_booked_twice(
    simulate_app: Callable[..., Any], open_ledger: Open
) -> None:
    reports = after_faults(simulate_app, open_ledger, no_guard)

    assert any(report.surplus for report in reports)
    assert not any(report.missing for report in reports)


def test_one_offset_for_a_whole_partition_loses_entries(
    simulate_app: Callable[..., Any], open_ledger: Open
) -> None:
    """Keys overtake each other, so a lower offset may well be new."""
    reports = after_faults(simulate_app, open_ledger, by_offset_of_the_partition)

    assert any(report.missing for report in reports)
    assert not any(report.surplus for report in reports)


@pytest.mark.parametrize("guard", [by_id, by_offset])
def test_an_entry_that_fails_leaves_no_mark(open_ledger: Open, guard: Guard) -> None:
    ledger = open_ledger(guard)
    record = Record("ledger", 0, 7, key=b"N1")
    with pytest.raises(sqlite3.Error):
        ledger.book(record, "N1", object())  # type: ignore[arg-type]

    assert ledger.book(record, "N1", 5)
    assert ledger.balances() == {"N1": 5}


def test_a_key_that_moved_to_another_partition_begins_at_a_lower_offset(open_ledger: Open) -> None:
    ledger = open_ledger(by_offset)

    assert ledger.book(Record("ledger", 0, 700, key=b"N1"), "N1", 5)
    assert ledger.book(Record("ledger", 4, 2, key=b"N1"), "N1", 6)
    assert not ledger.book(Record("ledger", 0, 699, key=b"N1"), "N1", 5)
    assert ledger.balances() == {"N1": 11}
