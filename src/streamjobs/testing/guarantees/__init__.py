"""What streamjobs promises, as objects that can be shown a history and say whether it holds.

history = ...                      # from a simulation, a TestDriver, or files of a real run
for guarantee in standard():
guarantee.watch(history)
guarantee.check()              # raises GuaranteeViolatedError, with what led to it
"""

from streamjobs.testing.guarantees.base import Guarantee, GuaranteeViolatedError
from streamjobs.testing.guarantees.commits import CommitNeverAhead, ReplayBounded
from streamjobs.testing.guarantees.letters import DeadLetterKeepsOrder
from streamjobs.testing.guarantees.loss import NoLoss
from streamjobs.testing.guarantees.order import KeyOrder, KeySerial
from streamjobs.testing.guarantees.settlement import EveryRecordSettledOnce
from streamjobs.testing.guarantees.waiting import OnlyFailingKeyWaits

__all__ = (
    "CommitNeverAhead",
    "DeadLetterKeepsOrder",
    "EveryRecordSettledOnce",
    "Guarantee",
    "GuaranteeViolatedError",
    "KeyOrder",
    "KeySerial",
    "NoLoss",
    "OnlyFailingKeyWaits",
    "ReplayBounded",
    "standard",
)


def standard(
    *, within: float = 2.0, deliveries: bool = False, letters: bool = False
) -> list[Guarantee]:
    """One of each, to be shown the same history.

    Args:
        within: for `OnlyFailingKeyWaits`, in seconds.
        deliveries: whether the history tells what was delivered.
        letters: whether it tells which dead letters were written.
    """
    return [
        KeyOrder(),
        KeySerial(),
        NoLoss(deliveries=deliveries),
        CommitNeverAhead(deliveries=deliveries, letters=letters),
        ReplayBounded(),
        OnlyFailingKeyWaits(within=within),
        EveryRecordSettledOnce(letters=letters),
        DeadLetterKeepsOrder(),
    ]
