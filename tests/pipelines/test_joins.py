"""Records of two topics run in the order of their timestamps."""

from collections.abc import Iterable
from typing import Any

from streamjobs import App
from streamjobs.testing import TestDriver


def order_of(records: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Topics and timestamps in the order in which `concat` has them, of records of one key."""
    app = App("joins")
    seen: list[tuple[str, int]] = []

    @app.pipeline("left", "right", virtual_partitions=8)
    def both(left: Any, right: Any) -> None:
        def see(value: str, key: Any, timestamp: int, headers: Any) -> None:
            seen.append((value, timestamp))

        left.concat(right).update(see, metadata=True)

    with TestDriver(app) as driver:
        for topic, timestamp in records:
            driver.send(topic, f'"{topic}"', key="k", timestamp=timestamp)
        driver.run_until_idle()
    return seen


def test_the_first_topic_goes_first_where_both_have_the_same_moment_next() -> None:
    assert order_of([("right", 1), ("right", 2), ("left", 2), ("left", 3), ("right", 3)]) == [
        ("right", 1),
        ("left", 2),
        ("right", 2),
        ("left", 3),
        ("right", 3),
    ]


def test_a_late_record_goes_when_it_is_next_in_its_own_topic() -> None:
    assert order_of([("left", 5), ("left", 1), ("right", 4), ("right", 6)]) == [
        ("right", 4),
        ("left", 5),
        ("left", 1),
        ("right", 6),
    ]


def test_topics_whose_process_died_again_and_again_go_on() -> None:
    app = App("joins", guarantee="exactly-once")

    @app.pipeline("left", "right")
    def both(left: Any, right: Any) -> None:
        left.concat(right).to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        for topic, timestamp in ("left", 1), ("right", 2), ("left", 3):
            driver.send(topic, "1", key="k", timestamp=timestamp)
        for _ in range(3):  # from then on, what was running runs alone
            driver.run_until_quiet()
            driver.restart(crash=True)
        driver.advance(10.0)

        assert [each.timestamp for each in driver.outputs("out")] == [1, 2, 3]
