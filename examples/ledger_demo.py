"""`python -m examples.ledger_sqlite`: demo, enqueue and check."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from examples import ledger_sqlite as books
from examples.flights import read_flights
from examples.ledger_sqlite import NOBODY, Entry, Ledger, app, book
from streamjobs.testing import TestDriver

BATCH: Final = 250


class Report(NamedTuple):
    """What is right and wrong about a ledger: nothing is if the first three are empty.

    Attributes:
        missing: entries that ought to be there.
        surplus: entries that are there too often.
        wrong: accounts whose minutes are not the sum of what was to be booked.
        booked: how many entries there are.
        refused: how often a record came that was booked already.
    """

    missing: Sequence[Entry]
    surplus: Sequence[Entry]
    wrong: Sequence[str]
    booked: int
    refused: int

    @property
    def right(self) -> bool:
        return not (self.missing or self.surplus or self.wrong)

    def __str__(self) -> str:
        return (
            f"{self.booked:,} entries: {len(self.missing):,} missing, "
            f"{len(self.surplus):,} booked twice, {len(self.wrong):,} accounts wrong; "
            f"{self.refused:,} came again and were refused"
        )


def entries_of(flights: int | None = None) -> list[Entry]:
    """What the flights of the file, all or the first so many, are to book."""
    return [
        Entry(flight.tailnum or NOBODY, flight.minutes_late or 0)
        for flight in read_flights(flights)
    ]


def check(wanted: Sequence[Entry], found: Ledger) -> Report:
    """Compare a ledger with a recount of what was to be booked."""
    expected, booked = Counter(wanted), Counter(found.entries())
    balances, recount = found.balances(), Counter[str]()
    for account, minutes in wanted:
        recount[account] += minutes
    return Report(
        missing=[*(expected - booked).elements()],
        surplus=[*(booked - expected).elements()],
        wrong=[each for each in {*balances, *recount} if balances.get(each) != recount.get(each)],
        booked=booked.total(),
        refused=found.refused(),
    )


def main() -> None:
    """Run a command; the demo if there is none."""
    options = _parser().parse_args()
    sys.exit(0 if options.command(options) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.ledger_sqlite")
    parser.set_defaults(command=_demo, flights=4_000)
    commands = parser.add_subparsers()
    demo = commands.add_parser("demo", help="in memory, with crashes; no Kafka needed")
    demo.add_argument("--flights", type=int, default=4_000, help="only the first so many")
    demo.set_defaults(command=_demo)
    put = commands.add_parser("enqueue", help="write a job for each flight to a Kafka")
    put.add_argument("--broker", metavar="HOST:PORT")
    put.add_argument("--partitions", type=int, help="of the topic, if it is made now")
    put.set_defaults(command=_enqueue)
    look = commands.add_parser("check", help="compare the ledger with the file")
    look.set_defaults(command=_check)
    for each in (put, look):
        each.add_argument("--flights", type=int, help="only the first so many")
    return parser


def _enqueue(options: argparse.Namespace) -> bool:
    app.override(broker=options.broker, partitions=options.partitions)
    wanted = entries_of(options.flights)
    book.enqueue_many(wanted).wait()
    app.close()
    print(f"{len(wanted):,} jobs on {book.topic!r}")
    return True


def _check(options: argparse.Namespace) -> bool:
    report = check(entries_of(options.flights), books.ledger)
    print(report)
    return report.right


def _demo(options: argparse.Namespace) -> bool:
    """The real engine in memory; a crash ends it on the spot, after what it did to SQLite."""
    wanted = entries_of(options.flights)
    with tempfile.TemporaryDirectory() as folder, TestDriver(app) as driver:
        books.ledger = Ledger(Path(folder) / "ledger.db")
        for batch in range(0, len(wanted), BATCH):
            book.enqueue_many(wanted[batch : batch + BATCH])
            driver.advance(0.4)  # a commit comes every second
            if batch // BATCH % 4 == 3:
                print(f"a crash, with {len(books.ledger.entries()):,} booked")
                driver.restart(crash=True)
        driver.run_until_idle()
        report = check(wanted, books.ledger)
        books.ledger.close()
    print(report)
    print("The ledger equals the file:", "yes" if report.right else "NO")
    return report.right
