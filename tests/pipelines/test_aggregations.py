"""Aggregates per key that no window bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamjobs import App
from streamjobs.errors import PipelineError
from streamjobs.pipelines import aggregate, count, reduce
from streamjobs.state.errors import StateNeedsKeyError
from streamjobs.testing import TestDriver

Build = Callable[[Any], Any]


def app_with(build: Build, **options: Any) -> App:
    app = App("shop")

    @app.pipeline("orders", **options)
    def pipeline(sdf: Any) -> None:
        build(sdf).to_topic(app.topic("results"))

    return app


def results(driver: TestDriver) -> list[tuple[bytes | None, Any]]:
    return [(output.key, output.json()) for output in driver.outputs("results")]


def test_count_goes_on_with_each_new_number() -> None:
    app = app_with(count)

    with TestDriver(app) as driver:
        for key in ("ada", "bob", "ada"):
            driver.send("orders", {"cents": 5}, key=key)
        driver.run_until_idle()

        assert sorted(results(driver)) == [(b"ada", 1), (b"ada", 2), (b"bob", 1)]


def test_reduce_begins_with_the_first_value() -> None:
    app = app_with(lambda sdf: reduce(sdf.apply(lambda order: order["cents"]), max))

    with TestDriver(app) as driver:
        for cents in (5, 9, 7):
            driver.send("orders", {"cents": cents}, key="ada")
        driver.run_until_idle()

        assert results(driver) == [(b"ada", 5), (b"ada", 9), (b"ada", 9)]


def test_reduce_begins_with_what_the_initializer_makes_of_it() -> None:
    def shortest(before: dict[str, int], order: dict[str, int]) -> dict[str, int]:
        return {"least": min(before["least"], order["cents"])}

    app = app_with(lambda sdf: reduce(sdf, shortest, lambda order: {"least": order["cents"]}))

    with TestDriver(app) as driver:
        for cents in (5, 3, 9):
            driver.send("orders", {"cents": cents}, key="ada")
        driver.run_until_idle()

        assert [value for _, value in results(driver)] == [{"least": 5}, {"least": 3}, {"least": 3}]


def test_aggregate_begins_with_a_new_one_for_each_key() -> None:
    app = app_with(lambda sdf: aggregate(sdf, list, lambda items, order: [*items, order["item"]]))

    with TestDriver(app) as driver:
        for key, item in (("ada", "tea"), ("bob", "milk"), ("ada", "rum")):
            driver.send("orders", {"item": item}, key=key)
        driver.run_until_idle()

        found = [(b"ada", ["tea"]), (b"ada", ["tea", "rum"]), (b"bob", ["milk"])]
        assert sorted(results(driver)) == found


def test_a_tombstone_is_passed_over() -> None:
    app = app_with(count)

    with TestDriver(app) as driver:
        for value in ({"cents": 1}, None, {"cents": 2}):
            driver.send("orders", value, key="ada")
        driver.run_until_idle()

        assert results(driver) == [(b"ada", 1), (b"ada", 2)]


def test_an_aggregate_of_none_is_none_and_the_next_value_begins_anew() -> None:
    def until_paid(before: int, order: dict[str, Any]) -> int | None:
        return None if order.get("paid") else before + order["cents"]

    app = app_with(lambda sdf: aggregate(sdf, int, until_paid))

    with TestDriver(app) as driver:
        for order in ({"cents": 5}, {"cents": 6}, {"paid": True}, {"cents": 2}):
            driver.send("orders", order, key="ada")
        driver.run_until_idle()

        assert [value for _, value in results(driver)] == [5, 11, None, 2]


def test_aggregates_of_one_dataframe_do_not_share_their_values() -> None:
    app = App("shop")

    @app.pipeline("orders")
    def both(sdf: Any) -> None:
        count(sdf, name="all").to_topic(app.topic("all"))
        count(sdf[sdf["cents"] > 5], name="large").to_topic(app.topic("large"))

    with TestDriver(app) as driver:
        for cents in (1, 9, 2):
            driver.send("orders", {"cents": cents}, key="ada")
        driver.run_until_idle()

        assert [output.json() for output in driver.outputs("all")] == [1, 2, 3]
        assert [output.json() for output in driver.outputs("large")] == [1]
    assert sorted(app.topics["orders"].stores) == ["all", "large"]


def test_two_of_one_name_are_refused_and_told_what_to_do() -> None:
    app = App("shop")

    @app.pipeline("orders")
    def both(sdf: Any) -> None:
        count(sdf)
        count(sdf[sdf["cents"] > 5])

    with pytest.raises(PipelineError, match="give one of them a name="):
        TestDriver(app)


def test_a_column_is_refused_and_told_what_to_do() -> None:
    app = app_with(lambda sdf: count(sdf["cents"]))

    with pytest.raises(PipelineError, match=r"give it sdf\.apply"):
        TestDriver(app)


def test_a_record_without_a_key_fails_and_is_told_why() -> None:
    app = app_with(count)

    with TestDriver(app) as driver:
        driver.send("orders", {"cents": 1})

        with pytest.raises(StateNeedsKeyError, match="give it a key"):
            driver.run_until_idle()


def test_what_a_failed_attempt_counted_is_not_counted() -> None:
    failures = iter([True, False])

    def build(sdf: Any) -> Any:
        def check(value: int) -> int:
            if value == 2 and next(failures):
                raise ConnectionError("once")
            return value

        return count(sdf).apply(check)

    app = app_with(build)

    with TestDriver(app, on_error="retry") as driver:
        for _ in range(3):
            driver.send("orders", {"cents": 1}, key="ada")
        driver.run_until_idle()

        assert [value for _, value in results(driver)] == [1, 2, 3]


@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
def test_aggregates_outlive_the_process(*, crash: bool) -> None:
    app = app_with(count)

    with TestDriver(app) as driver:
        driver.send("orders", {}, key="ada")
        driver.run_until_idle()
        driver.restart(crash=crash)
        driver.send("orders", {}, key="ada")
        driver.run_until_idle()

        assert [value for _, value in results(driver)] == [1, 2]


def test_it_counts_by_what_the_records_are_grouped_by() -> None:
    app = app_with(lambda sdf: count(sdf.group_by("city")))

    with TestDriver(app, partitions=2) as driver:
        for number, city in enumerate(("Ulm", "Bonn", "Ulm")):
            driver.send("orders", {"city": city}, key=str(number))
        driver.run_until_idle()

        assert sorted(results(driver)) == [(b"Bonn", 1), (b"Ulm", 1), (b"Ulm", 2)]
