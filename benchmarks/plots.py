"""The plots of `docs/performance.md`, as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.model import Figures, Workload
from benchmarks.results import Results
from benchmarks.workloads import WORKLOADS

BY_WORKLOAD: Final = (
    "noop-inline", "noop", "emit", "awaiting-10ms", "blocking-5ms", "blocking-10ms", "cpu",
)  # fmt: skip
OURS, THEIRS = "#2a6f97", "#b8c4cc"

Rounds = Mapping[int, Mapping[str, Figures]]


def write(results: Results, seconds: float, directory: Path) -> int:
    """Write what can be drawn of these results; says which files, and fails if there is none."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        print("plots need matplotlib: pip install 'streamjobs[bench]'")
        return 1
    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    directory.mkdir(parents=True, exist_ok=True)
    drawn = 0
    for name, draw in PLOTS.items():
        figure = draw({each: results.rounds(each, seconds) for each in WORKLOADS})
        if figure is not None:
            figure.savefig(directory / f"{name}.svg", bbox_inches="tight")
            print(directory / f"{name}.svg")
            drawn += 1
    return int(not drawn)


def throughput(rounds: Mapping[str, Rounds]) -> Any | None:
    """Records a second of everybody, one panel a workload."""
    from matplotlib.figure import Figure

    measured = [WORKLOADS[name] for name in BY_WORKLOAD if rounds[name]]
    if not measured:
        return None
    figure = Figure(figsize=(8, 1.9 * len(measured)), layout="constrained")
    axes = figure.subplots(len(measured), squeeze=False)[:, 0]
    for axis, workload in zip(axes, measured, strict=True):
        _bars(axis, workload, rounds[workload.name], "rate", "records/s")
    return figure


def over_virtual_partitions(rounds: Mapping[str, Rounds]) -> Any | None:
    """Records a second of streamjobs over the number of virtual partitions."""
    from matplotlib.figure import Figure

    workload = WORKLOADS["virtual-partitions"]
    points = sorted(
        (each.overrides["virtual_partitions"], median(values))
        for each in workload.contestants
        if (values := _values(rounds[workload.name], each.name, "rate"))
    )
    if not points:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    counts = [count for count, _ in points]
    axis.loglog(counts, [rate for _, rate in points], "o-", color=OURS)
    axis.set_xticks(counts, [f"{count}" for count in counts])
    axis.minorticks_off()
    axis.set(title=workload.title, xlabel="virtual partitions", ylabel="records/s")
    axis.grid(visible=True, alpha=0.3)
    return figure


def hot_key(rounds: Mapping[str, Rounds]) -> Any | None:
    """The 99th percentile of the others, with and without a hot key."""
    return _one(rounds, "hot-key", "p99_ms", "p99 of the others, ms")


def replay(rounds: Mapping[str, Rounds]) -> Any | None:
    """Records that run again after a kill."""
    return _one(rounds, "stuck", "replayed", "records handled again after a kill")


PLOTS: Final = {
    "throughput": throughput,
    "virtual-partitions": over_virtual_partitions,
    "hot-key": hot_key,
    "replay": replay,
}


def _one(rounds: Mapping[str, Rounds], name: str, figure_name: str, label: str) -> Any | None:
    from matplotlib.figure import Figure

    if not rounds[name]:
        return None
    figure = Figure(figsize=(8, 3), layout="constrained")
    _bars(figure.subplots(), WORKLOADS[name], rounds[name], figure_name, label)
    return figure


def _bars(axis: Any, workload: Workload, rounds: Rounds, name: str, label: str) -> None:
    """A bar for each contestant: its median, and a line from the least to the most."""
    found = [
        (each.name, values)
        for each in reversed(workload.contestants)
        if (values := _values(rounds, each.name, name))
    ]
    middles = [median(values) for _, values in found]
    reach = [
        [middle - min(values) for middle, (_, values) in zip(middles, found, strict=True)],
        [max(values) - middle for middle, (_, values) in zip(middles, found, strict=True)],
    ]
    colours = [OURS if each.startswith("streamjobs") else THEIRS for each, _ in found]
    axis.barh([each for each, _ in found], middles, xerr=reach, color=colours, ecolor="#444444")
    axis.set(title=workload.title, xlabel=label)
    axis.spines[["top", "right"]].set_visible(False)


def _values(rounds: Rounds, contestant: str, figure: str) -> Sequence[float]:
    return [each[contestant][figure] for each in rounds.values() if contestant in each]
