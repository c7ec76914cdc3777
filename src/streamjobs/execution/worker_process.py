"""One worker process, seen from the app that started it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing.context import SpawnContext
from typing import Any, Final, NamedTuple

from streamjobs.engine.generation import Generation
from streamjobs.engine.slices import Slice
from streamjobs.execution.board import Board
from streamjobs.execution.child import main
from streamjobs.execution.launch import Launch
from streamjobs.execution.parcels import CHUNK, Frames, frame, pack_slice
from streamjobs.execution.remote_state import answer

__all__ = ("Given", "Kill", "WorkerProcess")

_TOKEN: Final = 8
_ROOM: Final = 64 * 1024

_ENDING: Final = 1.0
"""Seconds from the end of a process's last words to its own."""

_HINTS: Final[dict[int, str]] = {
    signal.SIGKILL: ". Often that is the kernel, for want of memory: see `dmesg`, and what a "
    "record needs; process_max_mib replaces processes that grow",
    **dict.fromkeys(
        (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT),
        ". That is a fault in native code: its process wrote to stderr where it was",
    ),
}


class Given(NamedTuple):
    """A slice that was handed over, its number there, its flag, and what it should take."""

    piece: Slice
    flag: int
    seconds: float


class Kill(NamedTuple):
    """Which attempt a process was killed for, and what that attempt fails with."""

    number: int
    current: int
    error: Exception


class WorkerProcess:
    """A process and the sockets to it. Not thread-safe: the pool has a lock.

    Parcels go through one socket as soon as the process is to have them near; a token through the
    other says that it may run one. What it has not taken a token for can be taken back by reading
    the token here: the kernel gives each token to one of the two. So nothing waits behind a
    record that takes longer than was thought, not even if the process is stuck or dies. State is
    read through a third one.

    Attributes:
        pid: its number.
        mail: what is read here; the pool waits for it.
        given: what it has and has not reported yet, by number, in order.
        queued: seconds all that should take.
        since: when it last finished a slice, or was given one while it had none.
        ready: whether it has reported that it can run records.
        leaving: whether it gets nothing more.
        retire: why it should be replaced; empty if it need not be.
        successor: the process that is started to replace it.
        kill_for: set when it is killed on purpose.
    """

    def __init__(self, context: SpawnContext, launch: Launch, flags: Any, name: str) -> None:
        self.mail, mail = socket.socketpair()
        self._tokens, self._taken = socket.socketpair()
        questions, state = socket.socketpair()
        memory = Board.memory(context)
        self.board = Board(memory)
        self._process = context.Process(
            target=main,
            args=(launch, mail, self._taken, state, memory, flags),
            name=name,
            daemon=False,
        )
        self._process.start()
        mail.close()
        state.close()
        if launch.has_state:
            answer(questions, self._generation_of, f"{name}-state")
        else:
            questions.close()
        self.mail.setblocking(False)
        self.pid = self._process.pid or 0
        self.given: dict[int, Given] = {}
        self.queued = 0.0
        self.since = time.monotonic()
        self.ready = False
        self.leaving = False
        self.retire = ""
        self.successor: WorkerProcess | None = None
        self.kill_for: Kill | None = None
        self._number = 0
        self._frames = Frames()
        self._outbox = bytearray()

    # -- handing over ------------------------------------------------------------------------

    def give(self, slices: Sequence[Given]) -> None:
        """Hand these over, as far as the socket takes them; `send` does the rest."""
        if not self.given:
            self.since = time.monotonic()
        numbers, parcels = bytearray(), []
        for given in slices:
            self._number += 1
            self.given[self._number] = given
            self.queued += given.seconds
            numbers += self._number.to_bytes(_TOKEN, "little")
            parcels.append(pack_slice(self._number, given.flag, given.piece))
        self._outbox += frame(parcels)
        self.send()
        with suppress(OSError):  # it has ended, which is noticed where its mail is read
            self._tokens.send(numbers)

    def send(self) -> bool:
        """Send what is left; whether something still is."""
        with suppress(BlockingIOError):
            try:
                while self._outbox:
                    sent = self.mail.send(self._outbox[:CHUNK])
                    del self._outbox[:sent]
            except (BrokenPipeError, ConnectionResetError):
                self._outbox.clear()
        return bool(self._outbox)

    def take_back(self) -> list[Given]:
        """What it has not begun, in order; that is no longer its business."""
        try:
            tokens = self._taken.recv(_ROOM, socket.MSG_DONTWAIT)
        except OSError:
            return []
        numbers = [
            int.from_bytes(tokens[start : start + _TOKEN], "little")
            for start in range(0, len(tokens), _TOKEN)
        ]
        return [self.settle(number) for number in numbers]

    def settle(self, number: int) -> Given:
        """This one is no longer on its way."""
        given = self.given.pop(number)
        self.queued = self.queued - given.seconds if self.given else 0.0
        return given

    @property
    def seconds_at_hand(self) -> float:
        """What there is for it to do after the slice it runs."""
        first = next(iter(self.given.values()), None)
        return 0.0 if first is None else self.queued - first.seconds

    def _generation_of(self, number: int) -> Generation | None:
        """Of a slice that is on its way. From any thread."""
        given = self.given.get(number)
        return None if given is None else given.piece.generation

    # -- hearing from it ---------------------------------------------------------------------

    def receive(self) -> tuple[list[Any], bool]:
        """What it sent, and whether that was all it ever will."""
        contents: list[Any] = []
        while True:
            try:
                data = self.mail.recv(CHUNK)
            except BlockingIOError:
                return contents, False
            except OSError:
                return contents, True
            if not data:
                return contents, True
            contents += self._frames.feed(data)
            if len(data) < CHUNK:
                return contents, False

    def last_words(self) -> list[Any]:
        """What is still to be read from a process that has ended."""
        contents: list[Any] = []
        while True:
            more, over = self.receive()
            contents += more
            if over or not more:
                return contents

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.is_alive()

    @property
    def end(self) -> str:
        """How it ended."""
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"with exit code {code}"
        try:
            return f"by {signal.Signals(-code).name}"
        except ValueError:
            return f"by signal {-code}"

    @property
    def hint(self) -> str:
        """What such an end often means."""
        return _HINTS.get(-(self._process.exitcode or 0), "")

    # -- ending it ---------------------------------------------------------------------------

    def dismiss(self) -> Iterable[Given]:
        """Let it end when it is through with what it runs; returns the rest."""
        self.leaving = True
        rest = self.take_back()
        with suppress(OSError):
            self._tokens.shutdown(socket.SHUT_WR)
        return rest

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def reap(self) -> None:
        """Wait for a process that ends, or has only closed its sockets."""
        self._process.join(_ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def close(self) -> None:
        """Let go of a process that was reaped."""
        self._process.close()
        for each in (self.mail, self._tokens, self._taken):
            each.close()
