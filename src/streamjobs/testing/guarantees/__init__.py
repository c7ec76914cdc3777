"""What streamjobs promises, as objects that can be shown a history and say whether it holds.

history = ...                      # from a simulation, a TestDriver, or files of a real run
for guarantee in standard():
guarantee.watch(history)
guarantee.check()              # raises GuaranteeViolatedError, with what led to it
"""

from streamjobs.testing.guarantees.base import Guarantee, GuaranteeViolatedError
from streamjobs.testing.guarantees.commits import CommitNeverAhead, ReplayBounded
from streamjobs.testing.guarantees.exactly_once import ExactlyOnce
from streamjobs.testing.guarantees.letters import DeadLetterKeepsOrder
from streamjobs.testing.guarantees.loss import NoLoss
from streamjobs.testing.guarantees.order import KeyOrder, KeySerial
from streamjobs.testing.guarantees.settlement import EveryRecordSettledOnce
from streamjobs.testing.guarantees.state import StateMatchesProgress
from streamjobs.testing.guarantees.waiting import OnlyFailingKeyWaits

__all__ = (
    "CommitNeverAhead",
    "DeadLetterKeepsOrder",
    "EveryRecordSettledOnce",
    "ExactlyOnce",
    "Guarantee",
    "GuaranteeViolatedError",
    "KeyOrder",
    "KeySerial",
    "NoLoss",
    "OnlyFailingKeyWaits",
    "ReplayBounded",
    "StateMatchesProgress",
    "standard",
)


def standard(
    *,
    within: float = 2.0,
    deliveries: bool = False,
    letters: bool = False,
    exactly_once: bool = False,
    counts: bool = False,
) -> list[Guarantee]:
    """One of each, to be shown the same history.

    Args:
        within: for `OnlyFailingKeyWaits`, in seconds.
        deliveries: whether the history tells what was delivered.
        letters: whether it tells which dead letters were written.
        exactly_once: whether that is promised. Letters are written for all to see when they are
            committed, then, which is after their records were settled.
        counts: whether handlers count the records of each key in state.
    """
    guarantees: list[Guarantee] = [
        KeyOrder(),
        KeySerial(),
        NoLoss(deliveries=deliveries),
        CommitNeverAhead(deliveries=deliveries, letters=letters),
        ReplayBounded(),
        OnlyFailingKeyWaits(within=within),
        EveryRecordSettledOnce(letters=letters and not exactly_once),
        DeadLetterKeepsOrder(),
    ]
    if exactly_once:
        guarantees.append(ExactlyOnce(deliveries=deliveries, counts=counts))
    if counts:
        guarantees.append(StateMatchesProgress())
    return guarantees
