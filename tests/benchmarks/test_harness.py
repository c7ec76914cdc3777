"""The harness runs each contestant once a round, keeps what it found, and holds it against bars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.arena import Arena, PeerFailed, checked
from benchmarks.harness import Harness, Plan, fitting, passes
from benchmarks.model import Bar, Contestant, Figures, Peer, Workload
from benchmarks.results import Result, Results, verdicts
from benchmarks.workloads import WORKLOADS

NO_ARENA = cast(Arena, None)
FAIR = {"records": 9, "violations": 0, "lost": 0, "twice": 0, "rate": 1.0}


class Scripted:
    """A measure that gives each contestant its rate, and notes who ran."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        self.rates = rates
        self.ran: list[tuple[str, int]] = []

    def __call__(
        self, _arena: Arena, _workload: Workload, contestant: Contestant, records: int
    ) -> Figures:
        self.ran.append((contestant.name, records))
        if self.rates[contestant.name] < 0:
            raise PeerFailed("it fell over")
        return {"rate": self.rates[contestant.name]}


def workload(measure: Scripted, *bars: Bar, scaled: bool = False) -> Workload:
    contestants = tuple(Contestant(name, Peer(name, name)) for name in measure.rates)
    return Workload("w", "W", contestants, bars, measure, scaled=scaled)


def harness(path: Path, **plan: Any) -> Harness:
    return Harness(NO_ARENA, Results(path / "results.jsonl"), Plan(**plan))


def test_rounds_are_interleaved(tmp_path: Path) -> None:
    measure = Scripted({"streamjobs": 1.0, "bare": 2.0})

    harness(tmp_path, rounds=2).measure(workload(measure))

    assert [name for name, _ in measure.ran] == ["streamjobs", "bare", "streamjobs", "bare"]


def test_a_try_says_how_many_records_fill_the_time(tmp_path: Path) -> None:
    measure = Scripted({"streamjobs": 4_000.0})

    harness(tmp_path, rounds=1, seconds=15).measure(workload(measure, scaled=True))

    assert measure.ran == [("streamjobs", 1_000), ("streamjobs", 50_000)]


def test_what_has_been_run_is_not_run_again(tmp_path: Path) -> None:
    first, second = Scripted({"streamjobs": 1.0}), Scripted({"streamjobs": 2.0})
    harness(tmp_path, rounds=2).measure(workload(first))

    harness(tmp_path, rounds=3).measure(workload(second))

    assert len(first.ran) == 2
    assert len(second.ran) == 1


def test_what_is_forgotten_is_run_again(tmp_path: Path) -> None:
    harness(tmp_path, rounds=1).measure(workload(Scripted({"streamjobs": 1.0})))
    again = Scripted({"streamjobs": 2.0})

    results = Results(tmp_path / "results.jsonl")
    results.forget(["w"], 15.0)
    Harness(NO_ARENA, Results(tmp_path / "results.jsonl"), Plan(1)).measure(workload(again))

    assert len(again.ran) == 1


def test_a_bar_is_a_ratio_within_each_round() -> None:
    rounds = {
        1: {"streamjobs": {"rate": 50.0}, "bare": {"rate": 100.0}},
        2: {"streamjobs": {"rate": 6.0}, "bare": {"rate": 10.0}},
        3: {"streamjobs": {"rate": 2.0}, "bare": {"rate": 10.0}},
    }

    [verdict] = verdicts(
        workload(Scripted({}), Bar("rate", least=0.5, of="bare")),
        rounds,
    )

    assert verdict.values == (0.5, 0.6, 0.2)
    assert verdict.middle == 0.5
    assert verdict.reached


@pytest.mark.parametrize(
    "bar, reached",
    [
        (Bar("rate", least=50.0), True),
        (Bar("rate", least=50.1), False),
        (Bar("rate", most=50.0), True),
        (Bar("rate", most=49.9), False),
        (Bar("rate", most=40.0, above="idle"), True),
        (Bar("rate", most=39.0, above="idle"), False),
        (Bar("rate", least=5.1, of="idle"), False),
        (Bar("rate", least=1, of="nobody"), None),
    ],
)
def test_each_kind_of_bar_can_be_missed(bar: Bar, reached: bool | None) -> None:
    rounds = {1: {"streamjobs": {"rate": 50.0}, "idle": {"rate": 10.0}}}

    [verdict] = verdicts(workload(Scripted({}), bar), rounds)

    assert verdict.reached is reached


def test_a_quick_measurement_ends_with_the_round_that_reaches_most_of_a_bar(
    tmp_path: Path,
) -> None:
    bar = Bar("rate", least=1.0, of="bare")
    near, far = Scripted({"streamjobs": 0.6, "bare": 1.0}), Scripted({"streamjobs": 0.5, "bare": 1})

    [reached] = harness(tmp_path / "a", quick=True).measure(workload(near, bar))
    [missed] = harness(tmp_path / "b", quick=True).measure(workload(far, bar))

    assert (passes(reached), len(near.ran)) == (True, 2)
    assert (passes(missed), len(far.ran)) == (False, 6)


def test_a_peer_that_fails_leaves_its_bars_unknown(tmp_path: Path) -> None:
    measure = Scripted({"streamjobs": 1.0, "bare": -1.0})

    [verdict] = harness(tmp_path, rounds=2).measure(
        workload(measure, Bar("rate", least=0.5, of="bare"))
    )

    assert verdict.reached is None
    assert not passes(verdict)


def test_a_failure_is_kept_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).add(Result("w", "bare", 1, 15.0, {}, "it fell over"))

    assert Results(path).failures("w", 15.0) == {"bare": "it fell over"}
    assert Results(path).rounds("w", 15.0) == {}


def test_what_failed_is_tried_once_more_by_the_next_measurement(tmp_path: Path) -> None:
    broken, mended = Scripted({"streamjobs": -1.0}), Scripted({"streamjobs": 1.0})
    harness(tmp_path, rounds=1).measure(workload(broken))

    results = Results(tmp_path / "results.jsonl")
    results.retry_failed()
    Harness(NO_ARENA, results, Plan(rounds=1)).measure(workload(mended))

    assert len(mended.ran) == 1
    assert Results(tmp_path / "results.jsonl").failures("w", 15.0) == {}


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"violations": 1}])
def test_a_run_that_lost_or_mixed_up_records_does_not_count(wrong: Mapping[str, int]) -> None:
    assert checked(FAIR)["rate"] == 1.0
    with pytest.raises(PeerFailed):
        checked({**FAIR, **wrong})


def test_a_peer_that_keeps_no_order_may_mix_up_records() -> None:
    assert checked({**FAIR, "violations": 3, "ordered": False})["rate"] == 1.0


@pytest.mark.parametrize(
    "wanted, most, given",
    [(0, 10**6, 1_000), (4_999, 10**6, 2_000), (5_000, 10**6, 5_000), (9e9, 200_000, 200_000)],
)
def test_records_come_in_sizes_that_can_share_topics(wanted: float, most: int, given: int) -> None:
    assert fitting(wanted, most) == given


def test_the_documentation_lists_every_workload_with_its_bars() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")

    for each in WORKLOADS.values():
        bars = "; ".join(str(bar) for bar in each.bars) or "none: for the plot"
        assert f"| `{each.name}` | {each.title} | {bars} |" in page


def test_bars_speak_of_contestants_that_take_part() -> None:
    for each in WORKLOADS.values():
        names = {contestant.name for contestant in each.contestants}
        for bar in each.bars:
            assert {bar.contestant, bar.of or bar.contestant, bar.above or bar.contestant} <= names
