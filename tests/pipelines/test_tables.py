"""Tables: the latest value of each key of a topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from streamjobs import App
from streamjobs.broker.memory import Faults, MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.errors import ConfigurationError, TableNotReadError, UndecodableRecordError
from streamjobs.record import Record
from streamjobs.tables import Table
from streamjobs.tables.follower import Follower, Following
from streamjobs.testing import TestDriver


def table_of(*entries: tuple[bytes | None, bytes | None], value: Any = "json") -> Table:
    table = Table("carriers", value)
    table.open()
    table.take([Record("carriers", 0, 0, key, value) for key, value in entries])
    return table


# -- what it shows -----------------------------------------------------------------------------


def test_it_has_the_latest_value_of_each_key() -> None:
    table = table_of((b"AA", b"1"), (b"UA", b"2"), (b"AA", b"3"))

    assert (table.get("AA"), table["UA"], len(table), sorted(table)) == (3, 2, 2, [b"AA", b"UA"])


def test_a_tombstone_deletes_and_a_record_without_a_key_is_passed_over() -> None:
    table = table_of((b"AA", b"1"), (None, b"2"), (b"AA", None), (b"UA", None))

    assert ("AA" in table, len(table), table.get("AA", "none")) == (False, 0, "none")
    with pytest.raises(KeyError):
        table["AA"]


@pytest.mark.parametrize("key", [7, "7", b"7"])
def test_a_key_is_bytes_or_what_str_makes_of_it(key: Any) -> None:
    assert table_of((b"7", b'"seven"')).get(key) == "seven"


def test_what_is_returned_may_be_changed() -> None:
    table = table_of((b"AA", b'{"name": "American"}'))

    table["AA"]["name"] = "Delta"

    assert table["AA"] == {"name": "American"}


@dataclass
class Carrier:
    name: str


@pytest.mark.parametrize(
    "kind, raw, found",
    [
        ("bytes", b"\xff", b"\xff"),
        ("str", b"American", "American"),
        (Carrier, b'{"name": "American"}', Carrier("American")),
    ],
)
def test_values_are_what_they_are_declared_as(kind: Any, raw: bytes, found: Any) -> None:
    assert table_of((b"AA", raw), value=kind)["AA"] == found


def test_a_value_that_cannot_be_read_names_table_and_key() -> None:
    table = table_of((b"AA", b"{"))

    with pytest.raises(UndecodableRecordError, match="table 'carriers', key 'AA'"):
        table.get("AA")


def test_a_process_that_does_not_read_it_says_so() -> None:
    carriers = App("flights").table("carriers")

    with pytest.raises(TableNotReadError, match=r"worker processes \(process=True\) do not"):
        carriers.get("AA")


def test_one_topic_is_one_table() -> None:
    app = App("flights")

    assert app.table("carriers") is app.table("carriers")
    with pytest.raises(ConfigurationError, match="let both use one"):
        app.table("carriers", value="str")


# -- handlers and pipelines --------------------------------------------------------------------


def test_a_handler_looks_up_what_the_topic_has() -> None:
    app = App("flights")
    carriers = app.table("carriers")

    @app.stream("flights", to="named")
    def name(flight: dict[str, Any]) -> dict[str, Any]:
        return flight | {"name": carriers.get(flight["carrier"], {}).get("name")}

    with TestDriver(app, partitions=2) as driver:
        driver.send("carriers", {"name": "American"}, key="AA")
        driver.send("flights", {"carrier": "AA"}, key="1")
        driver.send("flights", {"carrier": "UA"}, key="1")
        driver.run_until_idle()

        names = [output.json()["name"] for output in driver.outputs("named")]
        assert names == ["American", None]


def test_a_pipeline_sees_updates_as_the_driver_steps() -> None:
    app = App("flights")
    carriers = app.table("carriers")

    @app.pipeline("flights")
    def named(sdf: Any) -> None:
        sdf.apply(lambda flight: carriers.get(flight["carrier"])).to_topic(app.topic("named"))

    with TestDriver(app) as driver:
        for name in ("American", "Amercan Airlines", None):
            driver.send("carriers", None if name is None else {"name": name}, key="AA")
            driver.send("flights", {"carrier": "AA"}, key="1")
            driver.run_until_idle()

        found = [output.json() for output in driver.outputs("named")]
        assert found == [{"name": "American"}, {"name": "Amercan Airlines"}, None]


def test_a_table_is_a_lookup_of_join_lookup() -> None:
    app = App("flights")
    carriers = app.table("carriers")

    @app.pipeline("flights")
    def named(sdf: Any) -> None:
        fields = {
            "name": carriers.field("name", default="?"),
            "land": carriers.field("land"),
            "row": carriers.field(),
        }
        sdf.join_lookup(carriers.lookup(), fields, on="carrier").to_topic(app.topic("named"))

    with TestDriver(app) as driver:
        driver.send("carriers", {"name": "American"}, key="AA")
        for carrier in ("AA", "UA"):
            driver.send("flights", {"carrier": carrier}, key="1")
        driver.run_until_idle()

        american = {"carrier": "AA", "name": "American", "land": None, "row": {"name": "American"}}
        unknown = {"carrier": "UA", "name": "?", "land": None, "row": None}
        assert [output.json() for output in driver.outputs("named")] == [american, unknown]


@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
def test_another_process_reads_it_anew(*, crash: bool) -> None:
    app = App("flights")
    carriers = app.table("carriers")

    @app.stream("flights", to="named")
    def name(flight: str) -> Any:
        return carriers.get(flight)

    with TestDriver(app) as driver:
        driver.send("carriers", '"American"', key="AA")
        driver.run_until_idle()
        driver.restart(crash=crash)
        driver.send("flights", '"AA"', key="1")
        driver.run_until_idle()

        assert [output.value for output in driver.outputs("named")] == [b"American"]
    with pytest.raises(TableNotReadError):
        len(carriers)


# -- who reads it ------------------------------------------------------------------------------


def follower_on(
    cluster: MemoryCluster, table: Table, faults: Faults | None = None, clock: Any = time.monotonic
) -> Follower:
    broker = MemoryBroker(cluster, "tables", faults or Faults())
    return Follower({table.topic: table}, lambda topic: 2, lambda: broker.reader({}), clock)


def written(cluster: MemoryCluster, key: str, value: str) -> None:
    cluster.append(Message("carriers", value.encode(), key.encode()))


def test_it_is_caught_up_when_it_has_what_was_there_at_first() -> None:
    cluster = MemoryCluster({"carriers": 2}, blocking=False)
    for number in range(7_000):
        written(cluster, str(number), str(number))
    table = Table("carriers")
    follower = follower_on(cluster, table)

    follower.turn()
    after_one = follower.is_caught_up, len(table)
    follower.turn()

    assert after_one == (False, 5_000)
    assert (follower.is_caught_up, len(table)) == (True, 7_000)


def test_an_empty_topic_is_read_at_once() -> None:
    follower = follower_on(MemoryCluster({"carriers": 2}, blocking=False), Table("carriers"))

    follower.turn()

    assert follower.is_caught_up


def test_a_broker_that_is_away_is_asked_again() -> None:
    cluster = MemoryCluster({"carriers": 2}, blocking=False)
    written(cluster, "AA", "1")
    faults, table, now = Faults(), Table("carriers"), [0.0]
    follower = follower_on(cluster, table, faults, lambda: now[0])

    faults.away = True
    follower.turn()
    before = follower.is_caught_up
    faults.away = False
    follower.turn()
    still_pausing = follower.is_caught_up
    now[0] += 1.0
    follower.turn()

    assert (before, still_pausing, follower.is_caught_up) == (False, False, True)
    assert table["AA"] == 1


def test_a_reader_that_fails_goes_on_where_it_was() -> None:
    cluster = MemoryCluster({"carriers": 2}, blocking=False)
    written(cluster, "AA", "1")
    table, now, readers = Table("carriers"), [0.0], []
    broker = MemoryBroker(cluster, "tables", Faults())

    def open_reader() -> Any:
        readers.append(broker.reader({}))
        return readers[-1]

    follower = Follower({"carriers": table}, lambda topic: 2, open_reader, lambda: now[0])
    follower.turn()

    def away(limit: int, timeout: float) -> Any:
        raise TableNotReadError("away")

    readers[0].poll = away
    follower.turn()
    written(cluster, "UA", "2")
    now[0] += 1.0
    follower.turn()

    assert (len(readers), table["AA"], table["UA"], follower.records) == (2, 1, 2, 2)


def test_a_signal_ends_the_wait_for_it() -> None:
    cluster = MemoryCluster({"carriers": 2}, blocking=False)
    faults = Faults()
    faults.away = True
    following = Following(follower_on(cluster, Table("carriers"), faults))

    assert not following.catch_up(lambda: True)


def test_what_is_written_later_is_followed_in_a_thread_until_the_end() -> None:
    cluster, table = MemoryCluster({"carriers": 2}), Table("carriers")
    following = Following(follower_on(cluster, table))
    following.catch_up(lambda: False)
    following.start()

    written(cluster, "AA", "1")
    waited_for = eventually(lambda: table.get("AA") == 1)
    following.stop()

    assert waited_for
    assert not any(each.name == "streamjobs-tables" for each in threading.enumerate())


def eventually(holds: Callable[[], bool], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_an_app_handles_nothing_before_its_tables_are_read() -> None:
    cluster = MemoryCluster({"carriers": 2, "flights": 1})
    for number in range(20_000):
        written(cluster, str(number), str(number))
    cluster.append(Message("flights", b"19999", b"1"))
    app = App("flights", broker=MemoryBroker(cluster))
    carriers, seen = app.table("carriers"), []

    @app.stream("flights")
    def look(flight: int) -> None:
        seen.append((len(carriers), carriers.get(flight)))

    app.run(until_idle=True)

    assert seen == [(20_000, 19_999)]
