"""One process under chaos: `python -m tests.chaos.worker RUN BROKER MEMBER JOURNAL`."""

import os
import sys
import time

from streamjobs import logs
from streamjobs.runtime import Runtime
from streamjobs.testing.history import Event, to_line
from streamjobs.testing.recorder import Recorder
from tests.chaos.app import ChaosApp


def main(run: str, broker: str, member: str, journal: str) -> int:
    """Work until SIGTERM, and write down everything."""
    logs.configure("json", verbose=False)
    file = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(event: Event) -> None:
        # One write a line, straight to the kernel: what is written survives SIGKILL.
        os.write(file, to_line(event).encode())

    # The monotonic clock counts from the machine's start, so all processes share it, and nobody
    # sets it back while they run.
    recorder = Recorder(member, time.monotonic, write)
    return Runtime(ChaosApp(run, broker).app, observers=[recorder]).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
