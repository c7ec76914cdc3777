"""The ledger example with its guard left out: it books whatever comes, however often."""

import sqlite3

from examples import ledger_sqlite
from streamjobs import Record

app = ledger_sqlite.app


def no_guard(_database: sqlite3.Connection, _record: Record) -> bool:
    """Every record is new."""
    return True


ledger_sqlite.ledger = ledger_sqlite.Ledger(ledger_sqlite.ledger.path, no_guard)
