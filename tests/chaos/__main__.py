"""Processes and brokers that die, on a real Kafka.

Each process writes what it does to a file that survives its death; at the end the guarantees
of `streamjobs.testing` read all of it. Exit code 1: a promise was broken, or a blow landed where
nothing was in flight, so that it proved nothing.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos import report
from tests.chaos.outcome import Outcome
from tests.chaos.runner import KILL_JOBS, SCENARIOS, Theatre
from tests.support.kafka_server import KafkaServer


def main() -> int:
    """Play what the command line asks for."""
    options = _options()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 130)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="streamjobs-chaos-"))
    with KafkaServer(folder / "kafka") as server:
        theatre = Theatre(
            server,
            folder,
            lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
            named=options.static,
            protocol=options.protocol,
            seed=options.seed,
        )
        seconds = options.minutes * 60 / len(options.scenario)
        outcomes: list[Outcome] = []
        for scenario in options.scenario:
            if scenario == "kill12":
                outcomes.append(theatre.kill_twelve_times(options.jobs))
            elif scenario == "stuck":
                outcomes.append(theatre.stick())
            else:
                outcomes.append(theatre.play(scenario, seconds))
    report.show(outcomes, console)
    if options.json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes]))
    return int(any(outcome.failures for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--scenario", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="default: all of them")
    add("--minutes", type=float, default=10.0, help="for all scenarios but kill12 and stuck")
    add("--jobs", type=int, default=KILL_JOBS, help="for kill12")
    add("--protocol", choices=("classic", "consumer"), default="classic", help="of the group")
    add("--static", action="store_true", help="every place is an instance name of the group")
    add("--seed", type=int, default=0, help="of the dice that choose victims and moments")
    add("--folder", type=Path, help="for journals, logs and the broker's data")
    add("--json", action="store_true", help="the outcome on standard output, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
