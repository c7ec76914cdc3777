"""The app under chaos: plain and coroutine functions, some attempts slow, some failing."""

import asyncio
import random
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from streamjobs import App, Context, VirtualPartitions, current_context
from tests.support import kafka_jars

PARTITIONS: Final = 8
SESSION: Final = 3.0
"""Seconds without a heartbeat after which the group gives a member's partitions away."""


class ChaosApp:
    """Two topics: `work` with jobs of both kinds, whose keys keep their order across kinds, and
    `clicks` with a stream that answers every record on `answers`.

    Args:
        run: names the group and the topics; a run of its own for each history.
        broker: its address.
    """

    def __init__(self, run: str, broker: str) -> None:
        self.work = f"{run}.work"
        self.clicks = f"{run}.clicks"
        self.answers = f"{run}.answers"
        self.app = App(
            run,
            broker=broker,
            partitions=PARTITIONS,
            revoke_timeout=5,
            shutdown_timeout=15,
            consumer_config={
                "session.timeout.ms": int(SESSION * 1000),
                "heartbeat.interval.ms": 500,
            },
        )
        policy = VirtualPartitions(64, distribution="balanced")
        self.sleep = self.app.job(topic=self.work, key="key", virtual_partitions=policy)(sleep)
        self.wait = self.app.job(topic=self.work, key="key")(wait)
        self.stick = self.app.job(topic=self.work, key="key")(stick)
        self.app.stream(self.clicks, to=self.answers)(answer)


def sleep(key: str, seconds: float, failures: int = 0) -> None:
    _fail(current_context(), failures)
    time.sleep(seconds)


async def wait(key: str, seconds: float, failures: int = 0) -> None:
    _fail(current_context(), failures)
    await asyncio.sleep(seconds)


def stick(key: str, seconds: float, mark: str) -> None:
    """Take that long the first time it runs anywhere, and no time when it runs again."""
    if not Path(mark).exists():
        Path(mark).touch()
        time.sleep(seconds)


async def answer(click: dict[str, Any], ctx: Context) -> dict[str, str]:
    _fail(ctx, click["failures"])
    await asyncio.sleep(click["seconds"])
    return {"to": ctx.record.id}


def _fail(ctx: Context, failures: int) -> None:
    if ctx.attempt <= failures:
        raise ConnectionError("as asked for")


def shorten_sessions(broker: str, group: str) -> None:
    """With KIP-848 sessions are the broker's to decide, group by group; its default is 45 s.

    Raises:
        CalledProcessError: the broker does not let us.
    """
    config = f"consumer.session.timeout.ms={int(SESSION * 1000)},consumer.heartbeat.interval.ms=500"
    subprocess.run(
        [
            *(kafka_jars.command("java"), "-cp", f"{kafka_jars.libraries()}/*"),
            *("kafka.admin.ConfigCommand", "--bootstrap-server", broker),
            *("--entity-type", "groups", "--entity-name", group, "--alter"),
            *("--add-config", config),
        ],
        check=True,
        capture_output=True,
    )


def heavy_tailed(dice: random.Random) -> float:
    """Seconds: 4 ms mostly, 21 ms on average, half a second once in 200 times, one at most."""
    return min(1.0, 0.004 * dice.paretovariate(1.1))


def few(dice: random.Random) -> int:
    """How many attempts of a record fail."""
    return dice.choices((0, 1, 2), weights=(97, 2.5, 0.5))[0]
