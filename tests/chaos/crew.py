"""The processes of a run: started, stopped, killed, frozen, and what they wrote down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamjobs.testing.history import (
    Assigned,
    Crashed,
    Event,
    Expired,
    Finished,
    Frozen,
    Settled,
    Started,
    from_line,
)
from tests.support.processes import ROOT

EXIT_WITHIN = 40.0


class Journal:
    """The append-only file of one process, read while it grows.

    Attributes:
        events: what was read so far.
        running: attempts that began and have not ended.
        settled: how many records are over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.running: set[tuple[str, int]] = set()
        self.settled = 0
        self._place = 0

    def read(self) -> None:
        """Take in what was written since the last time; half a line waits for its other half."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._place += len(whole) + len(newline)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        event = from_line(line.decode())
        assert event is not None, f"{self.path} is damaged: {line!r}"
        self.events.append(event)
        match event:
            case Started():
                self.running.add((event.generation, event.offset))
            case Finished():
                self.running.discard((event.generation, event.offset))
            case Settled():
                self.settled += 1


class Life:
    """One process from its start to its end."""

    def __init__(self, member: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path):
        self.member = member
        self.told_to_end = False
        self.journal = Journal(folder / f"{member}.events")
        self.log = folder / f"{member}.log"
        command = [sys.executable, "-m", "tests.chaos.worker", *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, member, str(self.journal.path)],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask_to_end(self) -> None:
        """SIGTERM, once: a second one would mean that it is to end at once."""
        if not self.told_to_end:
            self.told_to_end = True
            self.process.send_signal(signal.SIGTERM)


class Crew:
    """Processes in numbered places; each life of a process has its own member name.

    Args:
        size: how many places.
        arguments: for `tests.chaos.worker`: the run and the broker.
        folder: for journals and logs.
        named: whether places are instance names of the group (static members).
        env: more variables.
    """

    def __init__(
        self,
        size: int,
        arguments: Sequence[str],
        folder: Path,
        *,
        named: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.deeds: list[Event] = []
        """What was done to the processes."""
        self.complaints: list[str] = []
        self.size = size
        self._arguments = arguments
        self._folder = folder
        self._named = named
        self._env = dict(env or {})
        self._lives: list[Life] = []
        self._places: list[Life] = []
        for place in range(size):
            self._places.append(self._start(place))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for life in self._lives:
            life.process.kill()
            life.process.wait()

    # -- what they did -------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what all of them have written.

        Raises:
            AssertionError: one has ended that nobody had told to.
        """
        for life in self._lives:
            life.journal.read()
        for life in self._places:
            if not life.told_to_end and life.process.poll() is not None:
                log = life.log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"{life.member} ended by itself:\n{log}")

    @property
    def events(self) -> Iterator[Event]:
        """What was read, process by process."""
        yield from self.deeds
        for life in self._lives:
            yield from life.journal.events

    @property
    def settled(self) -> int:
        """How many records are over, those that ran again counted again."""
        return sum(life.journal.settled for life in self._lives)

    def running(self, place: int) -> int:
        """How many attempts run in a process now."""
        life = self._places[place]
        life.journal.read()
        return len(life.journal.running)

    def has_joined(self, place: int) -> bool:
        """Whether a process was given partitions."""
        life = self._places[place]
        life.journal.read()
        return any(isinstance(event, Assigned) for event in life.journal.events)

    def member(self, place: int) -> str:
        """The name of the life in this place."""
        return self._places[place].member

    # -- what is done to them ------------------------------------------------------------------

    def restart(self, place: int) -> None:
        """Stop one in good order and start another in its place."""
        self._stop(self._places[place])
        self._places[place] = self._start(place)

    def kill(self, place: int) -> str:
        """SIGKILL, and start another in its place; returns who died."""
        life = self._places[place]
        life.process.kill()
        life.process.wait()
        # All that it wrote is older than this, and nobody can have taken over before.
        self.deeds.append(Crashed(time.monotonic(), life.member))
        self._places[place] = self._start(place)
        return life.member

    def freeze(self, place: int) -> str:
        """SIGSTOP; returns who stands still. It is to last longer than a session: from now on
        the group may give its partitions away at any moment.
        """
        life = self._places[place]
        life.process.send_signal(signal.SIGSTOP)
        os.waitpid(life.process.pid, os.WUNTRACED)
        now = time.monotonic()
        self.deeds += [Frozen(now, life.member), Expired(now, life.member)]
        return life.member

    def thaw(self, place: int) -> None:
        """Let a frozen one go on."""
        self._places[place].process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop all in good order."""
        for life in self._places:
            life.ask_to_end()
        for life in self._places:
            self._stop(life)

    def _start(self, place: int) -> Life:
        lives_here = sum(life.member.startswith(f"p{place}.") for life in self._lives)
        env = self._env | ({"STREAMJOBS_INSTANCE": f"p{place}"} if self._named else {})
        member = f"p{place}.{lives_here + 1}"
        life = Life(member, self._arguments, env, self._folder)
        self._lives.append(life)
        return life

    def _stop(self, life: Life) -> None:
        life.ask_to_end()
        try:
            code = life.process.wait(EXIT_WITHIN)
        except subprocess.TimeoutExpired:
            code = None
        if code:
            self.complaints.append(f"{life.member} ended with exit code {code}, see {life.log}")
        elif code is None:
            self.complaints.append(f"{life.member} did not end within {EXIT_WITHIN:g} s of SIGTERM")
