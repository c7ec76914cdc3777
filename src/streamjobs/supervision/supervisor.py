"""Starts processes, starts those again that die, and ends with the last of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from streamjobs.exit_codes import ExitCode
from streamjobs.supervision.ends import End, worst
from streamjobs.supervision.leash import MARGIN
from streamjobs.supervision.orders import Order
from streamjobs.supervision.restarts import Restarts
from streamjobs.supervision.signals import Signals
from streamjobs.supervision.slot import Slot

__all__ = ("Supervisor",)

log = structlog.get_logger("streamjobs")


class Supervisor:
    """Keeps a process in every slot.

    Args:
        slots: none of them started.
        restarts: when one that died is started again.
        shutdown_timeout: seconds that the processes give to their handlers.
        until_idle: whether a process that ends in good order has done its work.
    """

    def __init__(
        self, slots: Sequence[Slot], restarts: Restarts, shutdown_timeout: float, until_idle: bool
    ) -> None:
        self._slots = slots
        self._restarts = restarts
        self._timeout = shutdown_timeout
        self._until_idle = until_idle
        self._stops = 0
        self._deadline: float | None = None
        self._code = ExitCode.OK

    def run(self) -> ExitCode:
        """Work until a signal comes, everything is done, or a process cannot be kept alive; the
        worst exit code of the last process in each slot.
        """
        with Signals() as signals:
            for slot in self._slots:
                self._start(slot)
            while any(slot.running or slot.due is not None for slot in self._slots):
                signals.wait(self._seconds_to_wait())
                self._heed(signals)
                for slot in self._slots:
                    if (end := slot.take_end()) is not None:
                        self._ended(slot, end)
                self._do_what_is_due()
        return self._code

    # -- time --------------------------------------------------------------------------------

    def _seconds_to_wait(self) -> float | None:
        moments = [slot.due for slot in self._slots if slot.due is not None]
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.due is not None and now >= slot.due:
                self._start(slot)
            if slot.running and self._deadline is not None and now >= self._deadline:
                log.error("killed: it did not end in time", instance=slot.name, pid=slot.pid)
                slot.kill()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None

    # -- starting and ending -----------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        slot.start()
        log.info("process started", instance=slot.name, pid=slot.pid)

    def _ended(self, slot: Slot, end: End) -> None:
        if self._stops or (self._until_idle and end.code is ExitCode.OK):
            log.info("process ended", instance=slot.name, pid=slot.pid, how=str(end))
            self._code = worst(self._code, end.code)
        elif end.code is ExitCode.USAGE:
            log.error("process could not start", instance=slot.name, pid=slot.pid, how=str(end))
            self._give_up(ExitCode.USAGE)
        else:
            self._replace(slot, end)

    def _replace(self, slot: Slot, end: End) -> None:
        slot.deaths = self._restarts.deaths(slot.deaths, end.lived)
        pause = self._restarts.pause(slot.deaths)
        fields = {"instance": slot.name, "pid": slot.pid, "how": str(end)}
        if pause is None:
            log.error(
                "process died; too many died young, so all end. What they logged says why",
                **fields,
                deaths=slot.deaths,
            )
            self._give_up(ExitCode.ERROR)
            return
        log.warning("process died; another one follows", **fields, pause=pause)
        slot.due = time.monotonic() + pause

    def _give_up(self, code: ExitCode) -> None:
        self._code = worst(self._code, code)
        self._stop(Order.STOP)

    # -- signals -----------------------------------------------------------------------------

    def _heed(self, signals: Signals) -> None:
        if signals.resume:
            signals.resume = False
            for slot in self._slots:
                slot.tell(Order.RESUME)
        if signals.stops and not self._stops:
            self._stop(Order.STOP)
        if signals.stops > 1 and self._stops < 2:
            self._stop(Order.AT_ONCE)

    def _stop(self, order: Order) -> None:
        """The first time in good order; nothing is started any more."""
        at_once = order is Order.AT_ONCE
        timeout = 0.0 if at_once else self._timeout
        running = sum(slot.running for slot in self._slots)
        log.info("stopping at once" if at_once else "stopping", processes=running, timeout=timeout)
        self._stops = 2 if at_once else 1
        self._deadline = time.monotonic() + timeout + MARGIN
        for slot in self._slots:
            slot.due = None
            slot.tell(order)
