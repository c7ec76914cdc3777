"""Counts per key in state, and an emitted record for each that came."""

import os
import random
import time
from typing import Any

from streamjobs import App, Context, Retry, VirtualPartitions

TOPIC = os.environ.get("STATE_TOPIC", "state")
COUNTS = f"{TOPIC}.counts"
SECONDS = float(os.environ.get("STATE_SECONDS", "0"))
"""What an attempt takes on average."""

app = App(f"state-{TOPIC}")


@app.stream(
    TOPIC,
    state=True,
    virtual_partitions=VirtualPartitions(16),
    retry=Retry(attempts=2, wait=0.1),
)
def count(value: Any, ctx: Context) -> None:
    """What it emits says which record it was, so that one that is missing or there twice shows."""
    if SECONDS:
        time.sleep(random.uniform(0, 2 * SECONDS))
    n = ctx.state.get("n", 0) + 1
    ctx.state.set("n", n)
    key = (ctx.record.key or b"").decode()
    answer = {"key": key, "n": n, "of": ctx.record.id}
    if isinstance(value, dict) and value.get("kept"):
        ctx.state.set("kept", "x" * value["kept"])
    if isinstance(value, dict) and value.get("padding"):
        answer["padding"] = "x" * value["padding"]
    ctx.emit(COUNTS, answer, key=key)
