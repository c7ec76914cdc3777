"""What streamjobs promises, as objects that can be shown a history and say whether it holds.

history = ...                      # from a simulation, a TestDriver, or files of a real run
for guarantee in standard():
guarantee.watch(history)
guarantee.check()              # raises GuaranteeViolatedError, with what led to it
"""

from streamjobs.testing.guarantees.base import Guarantee, GuaranteeViolatedError
from streamjobs.testing.guarantees.commits import CommitNeverAhead, ReplayBounded
from streamjobs.testing.guarantees.loss import NoLoss
from streamjobs.testing.guarantees.order import KeyOrder, KeySerial
from streamjobs.testing.guarantees.waiting import OnlyFailingKeyWaits

__all__ = (
    "CommitNeverAhead",
    "Guarantee",
    "GuaranteeViolatedError",
    "KeyOrder",
    "KeySerial",
    "NoLoss",
    "OnlyFailingKeyWaits",
    "ReplayBounded",
    "standard",
)


def standard() -> list[Guarantee]:
    """One of each, to be shown the same history."""
    return [
        KeyOrder(),
        KeySerial(),
        NoLoss(),
        CommitNeverAhead(),
        ReplayBounded(),
        OnlyFailingKeyWaits(),
    ]
