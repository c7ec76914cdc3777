"""Jobs that take long, hang, or kill their process; what they do is written to a file."""

import os
import time
from pathlib import Path

from streamjobs import App, Retry, current_context

NOTES = Path(os.environ.get("HARD_NOTES", "hard.notes"))
TOPIC = os.environ.get("HARD_TOPIC", "hard")

app = App(
    f"hard-{TOPIC}",
    commit_interval=0.2,
    shutdown_timeout=5.0,
    partitions=1,
    consumer_config={"max.poll.interval.ms": 10_000, "session.timeout.ms": 6_000},
)


def note(*words: object) -> None:
    """One line, written in one go: several processes share the file."""
    with NOTES.open("ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\n").encode())


@app.job(topic=TOPIC, key="who")
def rest(who: str, seconds: float) -> None:
    """Takes so long."""
    note("begin", who)
    time.sleep(seconds)
    note("end", who)


@app.job(topic=TOPIC, key="who")
def walk(who: str, steps: int) -> None:
    """Takes many steps, and remembers them."""
    ctx = current_context()
    for step in range(ctx.cursor or 0, steps):
        time.sleep(0.02)
        note("step", who, step)
        ctx.checkpoint(step + 1)
    note("end", who)


@app.job(topic=TOPIC, key="who")
def die(who: str) -> None:
    """Takes the process along."""
    note("kill", who)
    os._exit(9)


@app.job(topic=TOPIC, key="who", retry=Retry(attempts=3, wait=0.1))
def fail(who: str) -> None:
    """Never works."""
    note("fail", who)
    raise ConnectionError(who)
