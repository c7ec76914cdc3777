"""The real engine through thousands of fault schedules: every promise holds in all of them, and
every kind of fault and every branch that matters has been there.
"""

import collections
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamjobs.engine.notes import Notes
from streamjobs.engine.succession import Succession
from streamjobs.testing.guarantees import GuaranteeViolatedError
from streamjobs.testing.history import to_line
from streamjobs.testing.simulation import play, simulate_random, simulate_seed
from streamjobs.testing.simulation.coverage import BRANCHES
from streamjobs.testing.simulation.faults import ALL
from streamjobs.testing.simulation.scenario import random_scenario

SEEDS = int(os.environ.get("STREAMJOBS_SEEDS") or 1000)

OFTEN = SEEDS // 10
"""So many times at least each fault happened and each branch was taken in all these seeds."""

LESS_OFTEN = {
    # A partition with state has to go to another machine, get work done there, and come back.
    "state restored warm": SEEDS // 50,
    # A third of all runs have checkpoints that take several turns.
    "crashed inside of a checkpoint": SEEDS // 20,
    "revoked inside of a checkpoint": SEEDS // 20,
}


@pytest.mark.timeout(0)
def test_every_promise_holds_under_every_fault() -> None:
    coverage: Counter[str] = Counter()
    began = time.process_time()

    for seed in range(SEEDS):
        coverage += simulate_seed(seed).coverage

    seconds = time.process_time() - began
    print(f"\n{SEEDS:,} seeds, {SEEDS / seconds * 60:,.0f} in a minute of one CPU")
    print("\n".join(f"{count:7,} {name}" for name, count in coverage.most_common()))
    rare = {
        name: coverage[name]
        for name in (*ALL, *BRANCHES)
        if coverage[name] < LESS_OFTEN.get(name, OFTEN)
    }
    assert not rare, f"too rare, of {OFTEN}: {rare}"


@given(st.randoms(use_true_random=False))
def test_hypothesis_finds_no_schedule_that_breaks_a_promise(dice: Random) -> None:
    """The same with dice that Hypothesis holds: what it finds, it shrinks to the shortest. It
    can only throw them so often, hence few records.
    """
    simulate_random(dice, scenario=partial(random_scenario, records=8), steps=40)


@pytest.mark.parametrize("seed", [3, 14, 159])
def test_a_seed_is_the_same_history_each_time(seed: int) -> None:
    assert history_of(seed) == history_of(seed)


def test_a_seed_is_the_same_history_in_every_process() -> None:
    program = (
        "import sys; from property_tests.test_simulation import history_of; "
        "sys.stdout.write(history_of(26))"
    )

    elsewhere = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert elsewhere == {history_of(26)}


def test_a_violation_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Succession, assigned: object) -> object:
        return (), Notes()

    monkeypatch.setattr(Succession, "read", forget)

    with pytest.raises(GuaranteeViolatedError) as violation:
        collections.deque(map(simulate_seed, range(200)), maxlen=0)

    (note,) = violation.value.__notes__
    assert note.startswith("seed=")
    assert "python -m streamjobs simulate --seed " in note


def history_of(seed: int) -> str:
    return "".join(map(to_line, play(Random(seed)).history))
