"""An app whose handlers have state in worker processes, which import this module."""

import os
import random
import time
from typing import Any

from pydantic import BaseModel

from streamjobs import App, Context, Retry, VirtualPartitions, current_context

TOPIC = os.environ.get("STATE_TOPIC", "counted")
COUNTS = f"{TOPIC}.counts"
ECHOES = f"{TOPIC}.echoes"
SECONDS = float(os.environ.get("STATE_SECONDS", "0"))
"""What an attempt takes on average."""

app = App(f"state-{TOPIC}", process_workers=2)


class Account(BaseModel):
    payments: int = 0


@app.stream(
    TOPIC,
    process=True,
    state=True,
    virtual_partitions=VirtualPartitions(16),
    retry=Retry(wait=0.01),
)
def count(value: Any, ctx: Context) -> None:
    """It counts by state, and says by an emitted record and by a job which record it was. A value
    of "die" ends its process after that, and "fail" raises: the first attempt alone.
    """
    if SECONDS:
        time.sleep(random.uniform(0, 2 * SECONDS))
    n = ctx.state.update("n", lambda n: n + 1, default=0)
    key = (ctx.record.key or b"").decode()
    ctx.emit(COUNTS, {"key": key, "n": n, "of": ctx.record.id}, key=key)
    echo.enqueue(key, n)
    if value == "die" and ctx.attempt == 1:
        os._exit(1)
    if value == "fail" and ctx.attempt == 1:
        raise ValueError("as it was told")


@app.job(topic=f"{TOPIC}.jobs", key="key", process=True, state=["accounts", "last"])
def echo(key: str, n: int) -> None:
    """What was counted, once more: in stores of a topic of its own."""
    ctx = current_context()
    account = ctx.state_for(Account)
    paid = account.update(lambda paid: Account(payments=paid.payments + 1), Account())
    last = ctx.store("last").get("n", 0)
    ctx.store("last").set("n", n)
    ctx.emit(ECHOES, {"key": key, "n": n, "payments": paid.payments, "last": last}, key=key)
