"""Small pipelines of two dataframes: joins, and what comes after `concat`. Plain Quix, as those of
one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from quixstreams.dataframe import StreamingDataFrame as Frame

from tests.support.pipelines_programs import EVERYTHING, counted, late
from tests.support.pipelines_reference import MakeTopic, Program

__all__ = ("JOINS",)

JOINS: dict[str, Program] = {}
"""By name."""


def both(left: Any, right: Any) -> Any:
    """What was joined, either may be missing."""
    return {"left": left and left["n"], "right": right and right["n"]}


def matched(left: Any, right: Any) -> Any:
    """The left value, with the number of the right one."""
    return {**left, "n": -1 if right is None else right["n"]}


def named(right: Frame) -> Frame:
    """With a field that the left values do not have."""
    return right.apply(lambda value: {**value, "right": value["n"]})


def join(name: str, build: Callable[[Frame, Frame], Frame]) -> None:
    """A program that is one join."""

    def built(left: Frame, right: Frame, topic: MakeTopic) -> None:
        build(left, right).to_topic(topic("out"))

    JOINS[name] = built


AGES = timedelta(days=365_000)
"""Longer than anything is late: what a join still finds beyond its grace depends on when Quix
commits.
"""

asof = partial(Frame.join_asof, grace_ms=AGES)
interval = partial(Frame.join_interval, grace_ms=AGES, on_merge=both)

join("asof_inner", partial(asof, on_merge=both))
join("asof_left", partial(asof, how="left", on_merge=both))
join("asof_keep_left", lambda left, right: asof(left, named(right), on_merge="keep-left"))
join(
    "asof_left_keep_left",
    lambda left, right: asof(left, named(right), how="left", on_merge="keep-left"),
)
join("interval_inner", partial(interval, backward_ms=4))
join("interval_left", partial(interval, how="left", backward_ms=6, forward_ms=3))
join("interval_right", partial(interval, how="right", forward_ms=5))
join("interval_outer", partial(interval, how="outer", backward_ms=3, forward_ms=6))
join("interval_same_moment", partial(interval, how="outer"))


def join_then_stateful(left: Frame, right: Frame, topic: MakeTopic) -> None:
    joined = asof(left, right, how="left", on_merge=matched)
    joined.apply(counted, stateful=True).to_topic(topic("out"))


def concat_topics_stateful(left: Frame, right: Frame, topic: MakeTopic) -> None:
    left.concat(right).apply(counted, stateful=True).to_topic(topic("out"))


def concat_topics_window(left: Frame, right: Frame, topic: MakeTopic) -> None:
    windows = left.concat(right).tumbling_window(10, on_late=late).agg(**EVERYTHING)
    windows.final().to_topic(topic("out"))


JOINS |= {
    each.__name__: each
    for each in (join_then_stateful, concat_topics_stateful, concat_topics_window)
}
