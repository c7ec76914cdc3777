"""`simulate`: an app through seeds and faults, with invariants and guarantees of its own."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamjobs import App, Context, Retry, VirtualPartitions
from streamjobs.errors import ConfigurationError
from streamjobs.testing import Event, Guarantee, GuaranteeViolatedError, simulate
from streamjobs.testing.history import Finished, Settled, Started

NOTHING: frozenset[str] = frozenset()


class Bank:
    """Accounts whose withdrawals come after the deposits that they need.

    Args:
        key: the ordering key; None is the bug.
    """

    def __init__(self, key: str | None = "account") -> None:
        self.app = App("bank")
        self.balances: Counter[str] = Counter()
        self.seen: set[int] = set()
        self.calls = 0
        self.job = self.app.job(topic="transfers", key=key)(self.transfer)

    def transfer(self, account: str, amount: int, number: int) -> None:
        self.calls += 1
        if number not in self.seen:
            self.seen.add(number)
            self.balances[account] += amount

    def workload(self, random: Random) -> None:
        self.balances.clear()
        self.seen.clear()
        for number in range(0, 40, 2):
            account, amount = random.choice("abcd"), random.randrange(1, 100)
            self.job.enqueue(account, amount, number)
            self.job.enqueue(account, -amount, number + 1)

    def never_negative(self) -> None:
        assert min(self.balances.values(), default=0) >= 0, f"negative: {dict(self.balances)}"

    def simulate(self, **options: Any) -> Any:
        defaults = {"workload": self.workload, "invariants": [self.never_negative]}
        return simulate(self.app, **defaults | options)


def bug(**options: Any) -> GuaranteeViolatedError:
    """What is found in a bank that forgot the key."""
    with pytest.raises(GuaranteeViolatedError) as found:
        Bank(key=None).simulate(**options)
    return found.value


# Invariants.


def test_a_careful_app_keeps_its_invariant() -> None:
    bank = Bank()
    report = bank.simulate(seeds=range(50))
    assert (report.runs, report.records) == (50, 50 * 40)
    assert report.simulated_seconds > 50
    assert bank.calls > report.records, "records run again"
    assert bank.balances.total() == 0


def test_of_a_careless_app_a_broken_history_is_found() -> None:
    found = bug()
    assert found.guarantee == "never_negative"
    assert found.claim.startswith("negative: {")


@pytest.mark.parametrize("faults", [NOTHING, frozenset({"crash", "error"})])
def test_also_where_little_goes_wrong(faults: frozenset[str]) -> None:
    assert "negative" in bug(faults=faults).claim


def test_the_call_that_broke_it_is_named() -> None:
    found = bug()
    last = found.history[-1]
    assert isinstance(last, Finished)
    assert f"; after offset {last.offset} of {last.partition}, transfer(account=" in found.claim


def test_a_record_that_is_no_call_is_named_by_key_and_value() -> None:
    app = App("app")
    app.stream("clicks")(lambda value: None)
    with pytest.raises(GuaranteeViolatedError, match=r"key=.* value=b'\{\"n\":\d\}'"):
        simulate(app, invariants=[lambda: False])


def test_an_invariant_may_return_false() -> None:
    def solvent() -> bool:
        return False

    with pytest.raises(GuaranteeViolatedError, match="solvent does not hold: it returned False"):
        Bank().simulate(invariants=[solvent])


def test_what_pytest_adds_to_an_assertion_is_left_out() -> None:
    def bare() -> None:
        bank = Bank()
        assert bank.calls == 1

    def explained() -> None:
        assert [] == [1], "nobody came"

    with pytest.raises(GuaranteeViolatedError) as found:
        Bank().simulate(invariants=[bare])
    assert found.value.claim.startswith("assert 0 == 1; after offset ")
    with pytest.raises(GuaranteeViolatedError) as found:
        Bank().simulate(invariants=[explained])
    assert found.value.claim.startswith("nobody came; after offset ")


def test_a_bare_assertion_is_told_as_one() -> None:
    def bare() -> None:
        raise AssertionError

    with pytest.raises(GuaranteeViolatedError, match="bare does not hold: it raised"):
        Bank().simulate(invariants=[bare])


# Seeds.


def test_a_seed_repeats_its_history_exactly() -> None:
    found = bug()
    [note] = found.__notes__
    seed = int(note.partition("seed=")[2].partition(":")[0])
    again = bug(seeds=[seed])

    assert note == f"seed={seed}: repeat it with simulate(..., seeds=[{seed}])"
    assert str(again) == str(found)
    assert again.history == found.history


def test_it_does_in_another_process_too() -> None:
    source = (
        "from tests.testing.test_app_simulation import bug\nprint(str(bug()), *bug().__notes__)\n"
    )
    root = Path(__file__).parents[2]
    printed = {
        subprocess.run(
            [sys.executable, "-c", source],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_the_line_that_repeats_it_has_the_name_of_the_app() -> None:
    [note] = bug(name="bank:app --records 9").__notes__
    assert "python -m streamjobs simulate bank:app --records 9 --seed " in note


def test_other_errors_tell_their_seed_too() -> None:
    def workload(random: Random) -> None:
        raise KeyError("my own mistake")

    with pytest.raises(KeyError) as found:
        Bank().simulate(workload=workload, seeds=[41])
    assert "seeds=[41]" in found.value.__notes__[0]


def test_other_seeds_are_other_histories() -> None:
    reports = [Bank().simulate(seeds=[seed]).coverage for seed in range(5)]
    assert len({tuple(sorted(each.items())) for each in reports}) > 1


def test_progress_is_told() -> None:
    told: list[int] = []
    Bank().simulate(seeds=range(3), progress=told.append)
    assert told == [1, 2, 3]


# Faults.


def test_without_faults_each_record_runs_once() -> None:
    bank = Bank()
    report = bank.simulate(faults=NOTHING, seeds=range(20))
    assert bank.calls == report.records
    assert report.coverage["failed"] == report.coverage["crash"] == 0


def test_what_happened_is_counted() -> None:
    coverage = Bank().simulate(seeds=range(60)).coverage
    assert {"error", "slow", "endless", "crash", "freeze", "retried"} <= coverage.keys()


def test_only_the_faults_that_were_asked_for_happen() -> None:
    coverage = Bank().simulate(faults=frozenset({"crash"}), seeds=range(20)).coverage
    assert coverage["crash"] > 0
    assert not {"error", "freeze", "join", "commit-refused"} & coverage.keys()


def test_a_last_commit_whose_answer_is_lost_is_no_loss() -> None:
    faults = frozenset({"answers-held", "commit-unanswered", "freeze"})
    assert simulate(narrow(8), faults=faults, records=6, seeds=range(150)).runs == 150


# Guarantees.


class AtMost(Guarantee):
    """No assignment runs more than so many attempts at once."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.running: Counter[str] = Counter()

    def judge(self, event: Event) -> None:
        if isinstance(event, Started):
            self.running[event.generation] += 1
            if self.running[event.generation] > self.limit:
                self.violated("too many run at once", lambda each: isinstance(each, Started))
        elif isinstance(event, Finished):
            self.running[event.generation] -= 1


class EveryoneIsServed(Guarantee):
    """Looks at the end."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.settled: set[tuple[Any, int]] = set()

    def judge(self, event: Event) -> None:
        if isinstance(event, Settled):
            self.settled.add((event.partition, event.offset))

    def conclude(self) -> None:
        if len(self.settled) != self.wanted:
            self.violated(f"{len(self.settled)} of {self.wanted}", lambda event: False)


def narrow(count: int) -> App:
    app = App("app")
    app.stream("clicks", virtual_partitions=VirtualPartitions(count))(lambda value: None)
    return app


def test_a_guarantee_of_ones_own_may_hold() -> None:
    simulate(
        narrow(2),
        guarantees=lambda: [AtMost(2), EveryoneIsServed(30)],
        records=30,
        seeds=range(20),
    )


def test_one_that_does_not_is_explained_with_its_seed() -> None:
    with pytest.raises(GuaranteeViolatedError, match="AtMost does not hold: too many") as found:
        simulate(narrow(8), guarantees=lambda: [AtMost(2)])
    assert {type(event) for event in found.value.history} == {Started}
    assert found.value.__notes__


def test_so_is_one_that_looks_at_the_end() -> None:
    with pytest.raises(GuaranteeViolatedError, match="30 of 31"):
        simulate(narrow(8), guarantees=lambda: [EveryoneIsServed(31)], records=30)


def test_a_handler_that_fails_for_ever_breaks_no_loss() -> None:
    app = App("app")

    @app.stream("clicks", retry=Retry(attempts=None, wait=5.0))
    def click(value: dict[str, int]) -> None:
        if value["n"] == 3:
            raise ValueError("I do not like three")

    with pytest.raises(GuaranteeViolatedError, match="was never settled") as found:
        simulate(app)
    assert found.value.guarantee == "NoLoss"
    assert "I do not like three" in str(found.value)


# Apps of all kinds.


def sleeper(app: App) -> None:
    @app.stream("clicks")
    async def click(value: dict[str, int]) -> None:
        await asyncio.sleep(value["n"])


def emitter(app: App) -> None:
    @app.stream("clicks", virtual_partitions=VirtualPartitions(2, distribution="balanced"))
    def click(value: dict[str, int], ctx: Context) -> None:
        ctx.emit("output", value)
        ctx.emit("out", value)


def chain(app: App) -> None:
    app.stream("clicks", to="checked")(lambda value: value)
    app.stream("checked", virtual_partitions=VirtualPartitions(1))(lambda value: None)


def mixed(app: App) -> None:
    @app.job(topic="jobs", key="n")
    def plain(n: int) -> None: ...

    @app.job(topic="jobs", key="n")
    async def coroutine(n: int) -> None:
        await asyncio.sleep(1)


@pytest.mark.parametrize("declare", [sleeper, emitter, chain, mixed])
def test_an_app_of_any_kind_keeps_all_guarantees(declare: Callable[[App], None]) -> None:
    app = App("app")
    declare(app)
    assert simulate(app, seeds=range(25)).runs == 25


# What cannot be simulated.


@pytest.mark.parametrize("workload", [None, lambda random: None])
def test_an_app_without_handlers_is_an_error(workload: Any) -> None:
    with pytest.raises(ConfigurationError, match="no jobs and no stream handlers"):
        simulate(App("empty"), workload=workload)


def test_a_workload_that_enqueues_nothing_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the workload enqueued nothing"):
        Bank().simulate(workload=lambda random: None)
