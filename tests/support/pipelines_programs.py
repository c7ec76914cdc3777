"""Small pipelines, at least one for every operator. Each is plain Quix: nothing of streamjobs.

What a value has: `who` (its key), `n`, `kind` and sometimes `note`. Keys that records are given on
the way are made of `who`, so that all records of such a key come from one key before: the order of
the others is nobody's promise.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.windows import (
    Collect,
    Count,
    Earliest,
    First,
    Last,
    Latest,
    Max,
    Mean,
    Min,
    Reduce,
    Sum,
)

from tests.support.pipelines_reference import MakeTopic, Program

__all__ = ("EVERYTHING", "PROGRAMS", "STATEFUL", "WINDOWS", "counted", "late")

Frame = StreamingDataFrame

STATELESS: dict[str, Program] = {}
STATEFUL: dict[str, Program] = {}
WINDOWS: dict[str, Program] = {}


def program(kind: dict[str, Program]) -> Callable[[Program], Program]:
    """A program of this kind, under the name of its function."""

    def add(function: Program) -> Program:
        kind[function.__name__] = function
        return function

    return add


def window(name: str, build: Callable[[Frame], Frame]) -> None:
    """A program that is one window."""

    def built(sdf: Frame, topic: MakeTopic) -> None:
        build(sdf).to_topic(topic("out"))

    WINDOWS[name] = built


def late(*_: Any, **__: Any) -> bool:
    """Says that a late record is no news."""
    return False


# One record in, what comes out depends on it alone.


@program(STATELESS)
def apply(sdf: Frame, topic: MakeTopic) -> None:
    sdf.apply(lambda value: {**value, "twice": value["n"] * 2}).to_topic(topic("out"))


@program(STATELESS)
def apply_expand(sdf: Frame, topic: MakeTopic) -> None:
    sdf.apply(
        lambda value: [{"who": value["who"], "i": i} for i in range(value["n"] % 4)], expand=True
    ).to_topic(topic("out"))


@program(STATELESS)
def apply_metadata(sdf: Frame, topic: MakeTopic) -> None:
    def told(value: Any, key: Any, timestamp: int, headers: Any) -> Any:
        return [value["n"], key.decode(), timestamp, [name for name, _ in headers]]

    sdf.apply(told, metadata=True).to_topic(topic("out"))


@program(STATELESS)
def filter(sdf: Frame, topic: MakeTopic) -> None:
    sdf.filter(lambda value: value["n"] % 2 == 0).to_topic(topic("out"))


@program(STATELESS)
def filter_metadata(sdf: Frame, topic: MakeTopic) -> None:
    sdf.filter(lambda value, key, timestamp, headers: timestamp % 2 == 0, metadata=True).to_topic(
        topic("out")
    )


@program(STATELESS)
def update(sdf: Frame, topic: MakeTopic) -> None:
    sdf.update(lambda value: value.update(n=-value["n"])).to_topic(topic("out"))


@program(STATELESS)
def update_metadata(sdf: Frame, topic: MakeTopic) -> None:
    def stamp(value: Any, key: Any, timestamp: int, headers: Any) -> None:
        value["at"] = timestamp

    sdf.update(stamp, metadata=True).to_topic(topic("out"))


@program(STATELESS)
def columns(sdf: Frame, topic: MakeTopic) -> None:
    sdf["twice"] = sdf["n"] * 2 + 1
    sdf["odd"] = sdf["n"] % 2 == 1
    sdf["big_or_odd"] = (sdf["n"] > 3) | sdf["odd"]
    sdf["noted"] = sdf.contains("note")
    sdf.to_topic(topic("out"))


@program(STATELESS)
def columns_filter(sdf: Frame, topic: MakeTopic) -> None:
    sdf = sdf[(sdf["n"] > 2) & sdf["kind"].isin(["x"])]
    sdf.to_topic(topic("out"))


@program(STATELESS)
def columns_projection(sdf: Frame, topic: MakeTopic) -> None:
    sdf[["who", "n"]].to_topic(topic("out"))


@program(STATELESS)
def columns_of_apply(sdf: Frame, topic: MakeTopic) -> None:
    sdf["length"] = sdf["kind"].apply(len)
    sdf["old"] = sdf.apply(lambda value: value["n"] - 1)
    sdf.to_topic(topic("out"))


@program(STATELESS)
def contains(sdf: Frame, topic: MakeTopic) -> None:
    sdf[sdf.contains(["note", "n"])].to_topic(topic("out"))


@program(STATELESS)
def fill_and_drop(sdf: Frame, topic: MakeTopic) -> None:
    sdf.fill(note="none").fill("extra").drop("kind").drop(["gone"], errors="ignore").to_topic(
        topic("out")
    )


@program(STATELESS)
def branches(sdf: Frame, topic: MakeTopic) -> None:
    small = sdf[sdf["n"] < 3]
    small["size"] = "small"
    small.to_topic(topic("small"))
    sdf.apply(lambda value: value["n"]).to_topic(topic("all"))
    sdf.to_topic(topic("out"))


@program(STATELESS)
def set_timestamp(sdf: Frame, topic: MakeTopic) -> None:
    sdf.set_timestamp(lambda value, key, timestamp, headers: timestamp + value["n"]).to_topic(
        topic("out")
    )


@program(STATELESS)
def set_headers(sdf: Frame, topic: MakeTopic) -> None:
    sdf.set_headers(
        lambda value, key, timestamp, headers: [*headers, ("n", str(value["n"]).encode())]
    ).to_topic(topic("out"))


@program(STATELESS)
def to_topic_key(sdf: Frame, topic: MakeTopic) -> None:
    sdf.to_topic(topic("out"), key=lambda value: f"{value['who']}-{value['kind']}")


@program(STATELESS)
def to_topic_chosen(sdf: Frame, topic: MakeTopic) -> None:
    chosen = {"x": topic("of-x"), "y": topic("of-y")}
    sdf.to_topic(lambda value, key, timestamp, headers: chosen[value["kind"]])


@program(STATELESS)
def concat_branches(sdf: Frame, topic: MakeTopic) -> None:
    big = sdf[sdf["n"] > 2].apply(lambda value: {**value, "size": "big"})
    rest = sdf[sdf["n"] <= 2].apply(lambda value: {**value, "size": "small"})
    big.concat(rest).to_topic(topic("out"))


# Operators with state.


def counted(value: Any, state: Any) -> Any:
    """A count and a sum, and a value that is deleted every third time."""
    seen = state.get("seen", 0) + 1
    state.set("seen", seen)
    if seen % 3 == 0:
        state.delete("sum")
    state.set(f"kind-{value['kind']}", value["n"])
    state.set("sum", state.get("sum", 0) + value["n"])
    return {"seen": seen, "sum": state.get("sum"), "other": state.get("kind-x")}


@program(STATEFUL)
def apply_stateful(sdf: Frame, topic: MakeTopic) -> None:
    sdf.apply(counted, stateful=True).to_topic(topic("out"))


@program(STATEFUL)
def apply_stateful_expand(sdf: Frame, topic: MakeTopic) -> None:
    def so_far(value: Any, state: Any) -> list[int]:
        seen: list[int] = [*state.get("all", [])[-2:], value["n"]]
        state.set("all", seen)
        return seen

    sdf.apply(so_far, stateful=True, expand=True).to_topic(topic("out"))


@program(STATEFUL)
def apply_stateful_metadata(sdf: Frame, topic: MakeTopic) -> None:
    def gap(value: Any, key: Any, timestamp: int, headers: Any, state: Any) -> int:
        before: int = state.get("at", timestamp)
        state.set("at", timestamp)
        return timestamp - before

    sdf.apply(gap, stateful=True, metadata=True).to_topic(topic("out"))


@program(STATEFUL)
def filter_stateful(sdf: Frame, topic: MakeTopic) -> None:
    def is_new(value: Any, state: Any) -> bool:
        known = state.exists(value["kind"]) and state.get_bytes(value["kind"]) == b"%d" % value["n"]
        state.set_bytes(value["kind"], b"%d" % value["n"])
        return not known

    sdf.filter(is_new, stateful=True).to_topic(topic("out"))


@program(STATEFUL)
def update_stateful(sdf: Frame, topic: MakeTopic) -> None:
    def number(value: Any, state: Any) -> None:
        value["nth"] = state.get("nth", 0)
        state.set("nth", value["nth"] + 1)

    sdf.update(number, stateful=True).to_topic(topic("out"))


@program(STATEFUL)
def several_stateful(sdf: Frame, topic: MakeTopic) -> None:
    def nth(value: Any, state: Any) -> Any:
        state.set("nth", state.get("nth", 0) + 1)
        return {**value, "nth": state.get("nth")}

    sdf = sdf.apply(nth, stateful=True)
    sdf[sdf["nth"] % 2 == 0].apply(counted, stateful=True).to_topic(topic("even"))
    sdf.tumbling_window(10, on_late=late).count().current().to_topic(topic("out"))


@program(STATEFUL)
def concat_stateful(sdf: Frame, topic: MakeTopic) -> None:
    big = sdf[sdf["n"] > 2]
    rest = sdf[sdf["n"] <= 2].apply(lambda value: {**value, "n": 0})
    big.concat(rest).apply(counted, stateful=True).to_topic(topic("out"))


@program(STATEFUL)
def group_by_function(sdf: Frame, topic: MakeTopic) -> None:
    grouped = sdf.group_by(lambda value: f"{value['who']}-{value['kind']}", name="kind")
    grouped.apply(counted, stateful=True).to_topic(topic("out"))


@program(STATEFUL)
def group_by_column(sdf: Frame, topic: MakeTopic) -> None:
    sdf["part"] = sdf.apply(lambda value: f"{value['kind']} of {value['who']}")
    sdf.group_by("part").update(lambda value: value.pop("part")).apply(
        counted, stateful=True
    ).to_topic(topic("out"))


@program(STATEFUL)
def group_by_then_window(sdf: Frame, topic: MakeTopic) -> None:
    grouped = sdf.group_by(lambda value: f"{value['who']}-{value['n'] % 2}", name="parity")
    windows = grouped.tumbling_window(10, on_late=late).agg(all=Collect("n"), n=Count())
    windows.final().to_topic(topic("out"))


# Windows.


def put(agg: Any, value: Any) -> Any:
    return {"last": value["n"], "sum": agg["sum"] + value["n"]}


def first(value: Any) -> Any:
    return {"last": None, "sum": value["n"]}


EVERYTHING: dict[str, Any] = {
    "count": Count(),
    "sum": Sum("n"),
    "mean": Mean("n"),
    "max": Max("n"),
    "min": Min("n"),
    "first": First("n"),
    "last": Last("n"),
    "earliest": Earliest("n"),
    "latest": Latest("n"),
    "reduced": Reduce(put, first),
    "all": Collect(),
    "kinds": Collect("kind"),
}

WITHOUT_ALL = {k: v for k, v in EVERYTHING.items() if not isinstance(v, Collect)}

MERGEABLE = {k: v for k, v in EVERYTHING.items() if k != "reduced"}


def full(agg: Any, value: Any, key: Any, timestamp: int, headers: Any) -> bool:
    """The window holds enough."""
    return bool(agg["sum/Sum/n"] >= 6)


TEN = timedelta(milliseconds=10)

window(
    "tumbling_final", lambda sdf: sdf.tumbling_window(10, on_late=late).agg(sum=Sum("n")).final()
)
window(
    "tumbling_current",
    lambda sdf: sdf.tumbling_window(TEN, on_late=late).agg(**WITHOUT_ALL).current(),
)
window("tumbling_all", lambda sdf: sdf.tumbling_window(10, on_late=late).agg(**EVERYTHING).final())
window("tumbling_collect", lambda sdf: sdf.tumbling_window(10, on_late=late).collect().final())
window(
    "tumbling_reduce", lambda sdf: sdf.tumbling_window(10, on_late=late).reduce(put, first).final()
)
window(
    "tumbling_grace",
    lambda sdf: sdf.tumbling_window(10, grace_ms=12, on_late=late).agg(**EVERYTHING).final(),
)
window(
    "tumbling_before_update",
    lambda sdf: sdf.tumbling_window(20, on_late=late, before_update=full).agg(**EVERYTHING).final(),
)
window(
    "tumbling_after_update",
    lambda sdf: sdf.tumbling_window(20, on_late=late, after_update=full).agg(**EVERYTHING).final(),
)
window(
    "hopping_final", lambda sdf: sdf.hopping_window(10, 4, on_late=late).agg(**EVERYTHING).final()
)
window(
    "hopping_current",
    lambda sdf: sdf.hopping_window(10, 5, grace_ms=5, on_late=late).agg(**WITHOUT_ALL).current(),
)
window("hopping_collect", lambda sdf: sdf.hopping_window(12, 4, on_late=late).collect().final())
window(
    "hopping_after_update",
    lambda sdf: (
        sdf.hopping_window(12, 4, on_late=late, after_update=full).agg(**EVERYTHING).final()
    ),
)
window("sliding_final", lambda sdf: sdf.sliding_window(8, on_late=late).agg(**EVERYTHING).final())
window(
    "sliding_current",
    lambda sdf: sdf.sliding_window(8, grace_ms=4, on_late=late).agg(**WITHOUT_ALL).current(),
)
window("sliding_collect", lambda sdf: sdf.sliding_window(8, on_late=late).collect().final())
window("session_final", lambda sdf: sdf.session_window(4, on_late=late).agg(**MERGEABLE).final())
window(
    "session_current",
    lambda sdf: sdf.session_window(4, grace_ms=6, on_late=late).agg(sum=Sum("n")).current(),
)
window("session_collect", lambda sdf: sdf.session_window(4, on_late=late).collect().final())
window("tumbling_count", lambda sdf: sdf.tumbling_count_window(3).agg(**EVERYTHING).final())
window(
    "tumbling_count_current", lambda sdf: sdf.tumbling_count_window(3).agg(**WITHOUT_ALL).current()
)
window("tumbling_count_collect", lambda sdf: sdf.tumbling_count_window(2).collect().final())
window("hopping_count", lambda sdf: sdf.hopping_count_window(4, 2).agg(**EVERYTHING).final())
window("sliding_count", lambda sdf: sdf.sliding_count_window(3).agg(**EVERYTHING).final())
window("sliding_count_collect", lambda sdf: sdf.sliding_count_window(3).collect().final())

PROGRAMS: dict[str, Program] = STATELESS | STATEFUL | WINDOWS
"""All of one source, by name; those of two are in `pipelines_joins`."""
