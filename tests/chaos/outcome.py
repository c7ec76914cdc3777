"""What a scenario showed."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from streamjobs.testing.guarantees import (
    CommitNeverAhead,
    Guarantee,
    GuaranteeViolatedError,
    KeyOrder,
    KeySerial,
    NoLoss,
    OnlyFailingKeyWaits,
    ReplayBounded,
)
from streamjobs.testing.history import History
from tests.chaos.toll import Accounts, Toll

AIMED: Final = ("SIGKILL", "SIGSTOP")
"""Blows that prove something only if they land where something runs."""


@dataclass(slots=True)
class Outcome:
    """The numbers of one scenario, and all that went wrong.

    Attributes:
        notes: what else is worth knowing, by name.
        failures: what must not have happened, each with its explanation.
    """

    scenario: str
    seconds: float
    sent: int
    attempts: int
    replayed: int
    lost: int
    tolls: list[Toll]
    guarantees: list[str]
    notes: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        kept = [{"kept": toll.kept} for toll in self.tolls]
        tolls = [asdict(toll) | more for toll, more in zip(self.tolls, kept, strict=True)]
        return asdict(self) | {"tolls": tolls}


def judge(scenario: str, history: History, complaints: list[str], *, steady: bool) -> Outcome:
    """Show the history to the guarantees. `steady`: nothing was to hold up whole processes, so
    that no key may wait for another one.
    """
    accounts = Accounts(history)
    guarantees: list[Guarantee] = [
        KeyOrder(),
        # Between the look whether it may begin and its first line, a thread can be interrupted.
        KeySerial(grace=0.1),
        NoLoss(deliveries=True),
        CommitNeverAhead(),
        ReplayBounded(),
    ]
    if steady:
        guarantees.append(OnlyFailingKeyWaits(within=10.0))
    outcome = Outcome(
        scenario=scenario,
        seconds=history.events[-1].at - history.events[0].at,
        sent=accounts.sent,
        attempts=accounts.attempts,
        replayed=accounts.replayed,
        lost=len(accounts.unsettled),
        tolls=accounts.tolls,
        guarantees=[guarantee.name for guarantee in guarantees],
        failures=list(complaints),
    )
    for guarantee in guarantees:
        guarantee.watch(history)
        try:
            guarantee.check()
        except GuaranteeViolatedError as error:
            outcome.failures.append(str(error))
    outcome.failures += [text for toll in outcome.tolls for text in _faults(toll)]
    return outcome


def _faults(toll: Toll) -> list[str]:
    faults = []
    if toll.blow in AIMED and not toll.running:
        faults.append(f"{toll.blow} to {toll.member} landed with nothing in flight")
    if not toll.kept:
        faults.append(
            f"{toll.blow} to {toll.member}: {toll.replayed} records ran again, {toll.strays} of "
            f"them neither in flight ({toll.in_flight}) nor done since the last commit "
            f"({toll.since_commit})"
        )
    return faults
