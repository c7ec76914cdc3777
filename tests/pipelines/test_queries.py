"""Reading state from outside of a handler."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from streamjobs import App, Context, VirtualPartitions
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.pipelines import count, parallel
from streamjobs.queries import KeyElsewhereError, QueryError
from streamjobs.testing import TestDriver

BEGIN = 10_000
"""The time of the first record, in milliseconds."""


def piped(build: Any, *sources: str) -> App:
    app = App("shop")

    @app.pipeline(*(sources or ("orders",)))
    def pipeline(sdf: Any) -> None:
        build(sdf)

    return app


def sent(driver: TestDriver, *values: Any, key: str = "ada", every: int = 400) -> None:
    for number, value in enumerate(values):
        driver.send("orders", value, key=key, timestamp=BEGIN + number * every)
    driver.run_until_idle()


# -- ctx.state ---------------------------------------------------------------------------------


def counting_app() -> App:
    app = App("shop")

    @app.stream("orders", state=True)
    def seen(order: Any, ctx: Context) -> None:
        ctx.state.update("seen", lambda seen: seen + 1, default=0)
        if order == "fleeting":
            ctx.state.set("fleeting", 1, ttl=1.0)

    return app


def test_it_reads_what_a_handler_has_set() -> None:
    with TestDriver(counting_app(), partitions=3) as driver:
        for key in ("ada", "ada", "bob"):
            driver.send("orders", 1, key=key)
        driver.run_until_idle()

        ada, nobody = driver.query("default", "ada"), driver.query("default", "nobody")
        assert (ada.get("seen"), ada.exists("seen"), ada.get("other", 7)) == (2, True, 7)
        assert (nobody.get("seen"), nobody.exists("seen")) == (None, False)


def test_it_cannot_change_anything() -> None:
    with TestDriver(counting_app()) as driver:
        driver.run_until_idle()

        state = driver.query("default", "ada")
        assert not any(hasattr(state, name) for name in ("set", "delete", "update"))


def test_it_reads_what_is_merged_and_not_committed_yet() -> None:
    with TestDriver(counting_app()) as driver:
        driver.run_until_idle()
        driver.send("orders", 1, key="ada")
        driver.run_until_quiet()

        assert driver.committed("orders") == {0: 0}
        assert driver.query("default", "ada").get("seen") == 1


def test_one_key_outlives_the_next_change() -> None:
    with TestDriver(counting_app()) as driver:
        driver.send("orders", 1, key="ada")
        driver.run_until_idle()
        state = driver.query("default", "ada")
        driver.send("orders", 1, key="ada")
        driver.run_until_idle()

        assert state.get("seen") == 2


# -- pipelines ---------------------------------------------------------------------------------


def test_an_aggregate_is_its_value() -> None:
    with TestDriver(piped(count), partitions=2) as driver:
        sent(driver, 1, 2, 3)

        assert driver.query("count", "ada") == 3
        assert driver.query("count", b"ada", topic="orders") == 3
        assert driver.query("count", "nobody") is None


def test_state_of_an_operator_is_read_by_name() -> None:
    def build(sdf: Any) -> None:
        sdf.update(lambda value, state: state.set("last", value), stateful=True)

    with TestDriver(piped(build)) as driver:
        sent(driver, 1, 2)

        state = driver.query("default", "ada")
        assert (state.get("last"), state.exists("last"), state.exists("first")) == (2, True, False)


def test_windows_are_those_that_are_open_as_they_would_be_emitted() -> None:
    def build(sdf: Any) -> None:
        sdf.hopping_window(1000, 500, name="means").mean().final()

    with TestDriver(piped(build)) as driver:
        sent(driver, 1, 2, 6)
        sent(driver, 5, key="ada|bob")

        assert driver.query("means", "ada") == [
            {"start": 10_000, "end": 11_000, "value": 3.0},
            {"start": 10_500, "end": 11_500, "value": 6.0},
        ]
        assert driver.query("means", "nobody") == []


def test_windows_that_are_merged_and_not_flushed_are_there() -> None:
    def build(sdf: Any) -> None:
        sdf.tumbling_window(1000, name="sums").sum().final()

    with TestDriver(piped(build)) as driver:
        sent(driver, 1, 2)
        driver.send("orders", 4, key="ada", timestamp=10_900)
        driver.send("orders", 8, key="ada", timestamp=11_500)
        driver.run_until_quiet()

        assert driver.query("sums", "ada") == [{"start": 11_000, "end": 12_000, "value": 8}]


@pytest.mark.parametrize("kind", ["tumbling", "sliding", "session"])
def test_windows_of_each_kind_show_what_they_collect(kind: str) -> None:
    def build(sdf: Any) -> None:
        windows = {
            "tumbling": lambda: sdf.tumbling_window(1000, name="all"),
            "sliding": lambda: sdf.sliding_window(1000, name="all"),
            "session": lambda: sdf.session_window(timedelta(seconds=1), name="all"),
        }
        windows[kind]().collect().final()

    with TestDriver(piped(build)) as driver:
        sent(driver, 1, 2)

        found = driver.query("all", "ada")
        assert [1, 2] in [window["value"] for window in found]


def test_the_aggregate_of_a_sliding_window_is_its_value() -> None:
    def build(sdf: Any) -> None:
        sdf.sliding_window(1000, name="sums").sum().current()

    with TestDriver(piped(build)) as driver:
        sent(driver, 1, 2)

        assert max(window["value"] for window in driver.query("sums", "ada")) == 3


def test_windows_that_count_are_refused() -> None:
    def build(sdf: Any) -> None:
        sdf.tumbling_count_window(2, name="pairs").sum().final()

    with TestDriver(piped(build)) as driver:
        sent(driver, 1)

        with pytest.raises(QueryError, match="have no times"):
            driver.query("pairs", "ada")


def test_what_is_grouped_is_asked_for_by_what_it_is_grouped_by() -> None:
    def build(sdf: Any) -> None:
        count(sdf.group_by("city"), name="by-city")

    with TestDriver(piped(build), partitions=3) as driver:
        for number, city in enumerate(("Ulm", "Bonn", "Ulm")):
            driver.send("orders", {"city": city}, key=str(number))
        driver.run_until_idle()

        found = {city: driver.query("by-city", city) for city in ("Ulm", "Bonn", "Rom")}
        assert found == {"Ulm": 2, "Bonn": 1, "Rom": None}


def test_a_store_behind_a_parallel_stage_is_found_by_its_short_name() -> None:
    def double(value: int) -> int:
        return 2 * value

    with TestDriver(piped(lambda sdf: count(parallel(sdf, double)))) as driver:
        sent(driver, 1, 2)

        assert driver.query("count", "ada") == 2


# -- what cannot be answered -------------------------------------------------------------------


def test_an_unknown_store_is_told_what_there_is() -> None:
    with (
        TestDriver(piped(count)) as driver,
        pytest.raises(QueryError, match="the app has 'count' of 'orders'"),
    ):
        driver.query("cuont", "ada")


def test_a_store_of_two_topics_needs_the_topic() -> None:
    app = counting_app()

    @app.stream("clicks", state=True)
    def click(value: int, ctx: Context) -> None:
        ctx.state.set("last", value)

    with TestDriver(app) as driver:
        driver.send("clicks", 5, key="ada")
        driver.run_until_idle()

        with pytest.raises(QueryError, match="say which"):
            driver.query("default", "ada")
        assert driver.query("default", "ada", topic="clicks").get("last") == 5


def test_an_app_that_does_not_run_here_says_so() -> None:
    with pytest.raises(QueryError, match="does not run in this process"):
        piped(count).query("count", "ada")


def test_state_belongs_to_a_key() -> None:
    with TestDriver(piped(count)) as driver:
        driver.run_until_idle()

        with pytest.raises(QueryError, match="ask for one"):
            driver.query("count", None)


def test_a_store_that_is_not_restored_yet_asks_for_patience() -> None:
    app = piped(count)
    with TestDriver(app) as driver:
        driver.run_until_idle()
        generation = next(iter(driver._member.owner.scheduler.generations.values()))
        generation.stores.clear()

        with pytest.raises(QueryError, match="being restored"):
            driver.query("count", "ada")


def test_a_partition_may_be_named_where_the_key_does_not_say_it() -> None:
    app = App("shop")
    by_city = VirtualPartitions(partitioner=lambda record: record.headers[0][1])

    @app.stream("orders", state=True, virtual_partitions=by_city)
    def seen(order: Any, ctx: Context) -> None:
        ctx.state.update("seen", lambda seen: seen + 1, default=0)

    with TestDriver(app, partitions=2) as driver:
        for number in range(2):
            driver.send("orders", 1, headers=[("city", b"Ulm")], partition=number)
        driver.run_until_idle()

        found = [driver.query("default", "Ulm", partition=number).get("seen") for number in (0, 1)]
        assert found == [1, 1]


# -- two processes, other threads --------------------------------------------------------------


def test_a_key_of_another_process_is_told_what_is_here() -> None:
    cluster = MemoryCluster({"orders": 2, "shop.cursors": 1})
    broker = MemoryBroker(cluster)
    app = App("shop", broker=broker)
    asked: list[Any] = []

    @app.stream("orders", state=True)
    def ask(order: str, ctx: Context) -> None:
        ctx.state.set("seen", 1)

    with TestDriver(app, partitions=2) as driver:
        driver.run_until_idle()
        generations = driver._member.owner.scheduler.generations
        generations.pop(next(place for place in generations if place.partition == 1))
        keys = [str(number) for number in range(20)]
        for key in keys:
            try:
                driver.query("default", key)
            except KeyElsewhereError as error:
                asked.append((error.partition.partition, error.partitions))

    assert 0 < len(asked) < len(keys)
    assert set(map(str, asked)) == {"(1, [0])"}


def test_any_thread_may_ask_while_the_app_runs(tmp_path: Path) -> None:
    cluster = MemoryCluster({"orders": 1})
    broker = MemoryBroker(cluster)
    app = App("shop", broker=broker, commit_interval=0.05, state_dir=str(tmp_path))

    @app.pipeline("orders")
    def pipeline(sdf: Any) -> None:
        sdf.tumbling_window(1_000_000, name="sums").sum().final()

    for number in range(3_000):
        cluster.append(Message("orders", b"1", f"{number % 7}".encode(), timestamp=number))
    done, errors, sums = threading.Event(), [], []

    def ask() -> None:
        while not done.is_set():
            try:
                sums.append(sum(each["value"] for each in app.query("sums", "3")))
            except QueryError:
                time.sleep(0.01)
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    app.run(until_idle=True)
    done.set()
    thread.join()

    assert not errors
    assert sums == sorted(sums)
    assert 0 < sums[-1] <= 429
