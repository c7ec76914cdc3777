"""Workers in processes of their own: started, watched through their log, and stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
WITHIN = 30.0


class Worker:
    """One `python -m streamjobs run APP ...`. Leaving the `with` block ends it, however it goes,
    and puts the end of its output beside an error that was raised there.
    """

    def __init__(self, app: str, *options: str, log: Path, env: Mapping[str, str]) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamjobs", "run", app, "--log-format", "json", *options],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it wrote so far."""
        return self._log.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of this event, parsed."""
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        parsed = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in parsed if event["event"] == name]

    def wait_for(self, event: str, within: float = WITHIN) -> None:
        """Wait until it has logged this event."""
        wait_until(lambda: self.events(event) or self._ended(), within, f"{event!r} in the log")
        assert self.events(event), f"it ended before it logged {event!r}"

    def stop(self, within: float = WITHIN) -> int:
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)

    def send(self, signal_number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(signal_number)

    def wait(self, within: float = WITHIN) -> int:
        """Wait until it has ended; returns the exit code."""
        return self._process.wait(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        if error is not None:
            error.add_note(f"--- the end of {self._log.name}:\n{self.output[-4000:]}")

    def _ended(self) -> bool:
        return self._process.poll() is not None


def wait_until(condition: Callable[[], object], within: float = WITHIN, what: str = "") -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.02)
