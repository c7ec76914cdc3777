"""Pipelines in processes that are killed: windows, a topic that `group_by` makes, and two topics
that are joined. Names come from the environment.
"""

import os
import time
from typing import Any

from streamjobs import App

TOPIC = os.environ.get("PIPELINE_TOPIC", "readings")
SECONDS = float(os.environ.get("PIPELINE_SECONDS", "0"))
WINDOW_MS = 1_000

app = App(f"pipeline-{TOPIC}", commit_interval=0.1)


def slowly(value: Any) -> Any:
    time.sleep(SECONDS)
    return value


@app.pipeline(TOPIC)
def sums(readings: Any) -> None:
    """The sum of each second of a key; and a count for each group, under another key."""
    readings = readings.apply(slowly)
    windows = readings.apply(lambda value: value["x"]).tumbling_window(WINDOW_MS).sum().final()
    windows.to_topic(app.topic(f"{TOPIC}.sums"))
    groups = readings.group_by("group")
    groups.apply(_number, stateful=True, metadata=True).to_topic(app.topic(f"{TOPIC}.groups"))


@app.pipeline(f"{TOPIC}.left", f"{TOPIC}.right")
def joined(left: Any, right: Any) -> None:
    """All that comes for a key on either side, numbered."""
    both = left.concat(right)
    both.apply(_number, stateful=True, metadata=True).to_topic(app.topic(f"{TOPIC}.both"))


def _number(value: Any, key: Any, timestamp: int, headers: Any, state: Any) -> dict[str, Any]:
    n = state.get("n", 0) + 1
    state.set("n", n)
    return {"n": n, "id": value["id"]}
