"""`python -m examples.payments`: what becomes of payments on a bad day."""

import os
import subprocess
import sys
from logging import CRITICAL

import structlog

from examples.payments import app, attempts, gateway, pay, payments


def main() -> bool:
    """A bad day of the gateway and of one customer; says whether all ended well."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    app.override(broker="embedded")
    wanted = [*payments()]
    pay.enqueue_many(wanted).wait()
    gateway.down_for, gateway.expired = 30, {"eve"}
    print(f"{len(wanted)} payments; the gateway will not answer 30 calls, eve's card has expired.")
    app.run(until_idle=True)
    again = [attempt for attempt in attempts.values() if attempt > 1]
    print(f"{gateway.payments} paid; {len(again)} of them took 2 to {max(again)} attempts.")
    print("What is left:")
    _streamjobs("dlq", "list", "--by", "error")
    print("eve has a new card.")
    gateway.expired.clear()
    _streamjobs("dlq", "replay")
    app.run(until_idle=True)
    app.close()
    print(f"{gateway.payments} paid. eve's were made in this order: {gateway.paid['eve']}")
    print("The order of each account was kept:", "yes" if gateway.in_order else "NO")
    return gateway.in_order and gateway.payments == len(wanted)


def _streamjobs(group: str, command: str, *options: str) -> None:
    """Run a command on this app, as one would in another terminal."""
    arguments = [group, command, "examples.payments:app", *options]
    print("$ python -m streamjobs", *arguments, flush=True)
    environment = os.environ | {"STREAMJOBS_BROKER": str(app.broker_address)}
    subprocess.run([sys.executable, "-m", "streamjobs", *arguments], env=environment, check=True)
