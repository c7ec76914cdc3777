"""Proof for users: a driver, a simulator, guarantees, Hypothesis strategies, pytest fixtures.

Hypothesis is needed for `streamjobs.testing.strategies` only: `pip install streamjobs[testing]`.
"""

from streamjobs.failures.letters import Death, Letter
from streamjobs.testing.driver import Failure, Output, StillFailingError, TestDriver
from streamjobs.testing.guarantees import (
    CommitNeverAhead,
    DeadLetterKeepsOrder,
    EveryRecordSettledOnce,
    Guarantee,
    GuaranteeViolatedError,
    KeyOrder,
    KeySerial,
    NoLoss,
    OnlyFailingKeyWaits,
    ReplayBounded,
)
from streamjobs.testing.history import Event, History
from streamjobs.testing.simulation import Report, simulate, simulate_random, simulate_seed

__all__ = (
    "CommitNeverAhead",
    "DeadLetterKeepsOrder",
    "Death",
    "Event",
    "EveryRecordSettledOnce",
    "Failure",
    "Guarantee",
    "GuaranteeViolatedError",
    "History",
    "KeyOrder",
    "KeySerial",
    "Letter",
    "NoLoss",
    "OnlyFailingKeyWaits",
    "Output",
    "ReplayBounded",
    "Report",
    "StillFailingError",
    "TestDriver",
    "simulate",
    "simulate_random",
    "simulate_seed",
)
