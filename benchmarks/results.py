"""The file of results, by which an interrupted measurement goes on, and what it says of bars."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from benchmarks.environments import DIRECTORY, ROOT
from benchmarks.model import Bar, Figures, Workload

RESULTS: Final = DIRECTORY / "results.jsonl"
TRY: Final = 0
"""The round that only says how many records the others get."""


@dataclass(frozen=True)
class Result:
    """One run: its figures, or why it failed."""

    workload: str
    contestant: str
    round: int
    seconds: float
    """How long a run was to take."""

    figures: Figures
    failed: str = ""
    at: str = ""
    machine: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str, int, float]:
        return self.workload, self.contestant, self.round, self.seconds


class Results:
    """What has been run, in a file of one line a run."""

    def __init__(self, path: Path = RESULTS) -> None:
        self._path = path
        self._machine = machine()
        self._found: dict[tuple[str, str, int, float], Result] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                result = Result(**json.loads(line))
                self._found[result.key] = result

    def get(self, workload: str, contestant: str, number: int, seconds: float) -> Result | None:
        return self._found.get((workload, contestant, number, seconds))

    def add(self, result: Result) -> Result:
        """Keep it; it is on disk when this returns."""
        self._found[result.key] = result
        stamp = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": self._machine}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(result) | stamp) + "\n")
        return result

    def forget(self, workloads: Iterable[str], seconds: float) -> None:
        """Drop what was run of these, with runs of that length."""
        gone = {(workload, seconds) for workload in workloads}
        self._found = {
            key: each for key, each in self._found.items() if (key[0], key[3]) not in gone
        }
        if self._path.exists():
            lines = self._path.read_text().splitlines()
            kept = [line for line in lines if _of(line) not in gone]
            self._path.write_text("".join(f"{line}\n" for line in kept))

    def retry_failed(self) -> None:
        """Let those that failed before run again: something may have been installed since."""
        self._found = {key: each for key, each in self._found.items() if not each.failed}

    def rounds(self, workload: str, seconds: float) -> dict[int, dict[str, Figures]]:
        """By round, the figures of each contestant whose run did not fail."""
        found: dict[int, dict[str, Figures]] = {}
        for result in self._found.values():
            if (result.workload, result.seconds) == (workload, seconds) and not result.failed:
                found.setdefault(result.round, {})[result.contestant] = result.figures
        found.pop(TRY, None)
        return dict(sorted(found.items()))

    def failures(self, workload: str, seconds: float) -> dict[str, str]:
        """The contestants that failed, and how the last time."""
        return {
            each.contestant: each.failed
            for each in self._found.values()
            if (each.workload, each.seconds) == (workload, seconds) and each.failed
        }


def _of(line: str) -> tuple[str, float]:
    found = json.loads(line)
    return found["workload"], found["seconds"]


class Verdict(NamedTuple):
    """What the rounds say of one bar; without numbers where somebody is missing."""

    bar: Bar
    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def best(self) -> float:
        return max(self.values) if self.bar.least is not None else min(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches it; None if nobody knows."""
        return self.bar.is_reached(self.middle) if self.values else None


def verdicts(workload: Workload, rounds: Mapping[int, Mapping[str, Figures]]) -> list[Verdict]:
    """Every bar of a workload, held against these rounds."""
    return [
        Verdict(
            bar,
            tuple(value for each in rounds.values() if (value := bar.measured(each)) is not None),
        )
        for bar in workload.bars
    ]


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "packages": {
            name: version(name)
            for name in ("streamjobs", "confluent-kafka", "quixstreams", "orjson")
        },
    }
