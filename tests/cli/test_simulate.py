"""`streamjobs simulate`."""

import json
import re
from collections.abc import Callable

import pytest

Streamjobs = Callable[..., tuple[int, str, str]]
Module = Callable[[str, str], None]

BANK = """
    from collections import Counter
    from streamjobs import App

    app = App("bank")
    balances, seen = Counter(), set()

    @app.job(topic="transfers"{key})
    def transfer(account: str, amount: int, number: int) -> None:
        if number not in seen:
            seen.add(number)
            balances[account] += amount

    def workload(random):
        balances.clear()
        seen.clear()
        for number in range(0, 40, 2):
            account, amount = random.choice("abcd"), random.randrange(1, 100)
            transfer.enqueue(account, amount, number)
            transfer.enqueue(account, -amount, number + 1)

    def invariant():
        assert min(balances.values(), default=0) >= 0, f"negative: {{dict(balances)}}"

    def nothing(random):
        pass

    def two(random):
        balances.clear()
        seen.clear()
        transfer.enqueue("a", 5, 1)
        transfer.enqueue("a", 5, 2)

    def small():
        assert max(balances.values(), default=0) < 10
"""


@pytest.fixture
def bank(module: Module) -> None:
    """An app that keeps its invariant."""
    module("bank", BANK.format(key=', key="account"'))


@pytest.fixture
def careless(module: Module) -> None:
    """One that forgot the key."""
    module("careless", BANK.format(key=""))


@pytest.mark.usefixtures("bank")
def test_an_app_that_keeps_its_promises_is_fine(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("simulate", "bank:app", "--seeds", "20")
    assert code == 0
    assert "all guarantees hold in 20 histories" in out
    assert "what happened in them: " in out


@pytest.mark.usefixtures("bank")
def test_the_verdict_as_json(streamjobs: Streamjobs) -> None:
    code, out, err = streamjobs("simulate", "bank:app", "--seeds", "20", "--json")
    report = json.loads(out)
    assert code == 0
    assert err == ""
    assert report["holds"] is True
    assert (report["runs"], report["records"]) == (20, 20 * 40)
    assert report["coverage"]["crash"] > 0


@pytest.mark.usefixtures("careless")
def test_a_broken_invariant_is_shown_with_its_history_and_seed(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("simulate", "careless:app")
    assert code == 1
    assert re.match(r"invariant does not hold: negative: \{.*; after offset \d+ of transf", out)
    assert " Started " in out
    assert re.search(r"seed=\d+: repeat it with python -m streamjobs simulate careless:app", out)


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--faults", "none"),
        ("--faults", "-crash,-freeze"),
        ("--workload", "two", "--invariant", "small"),
    ],
)
def test_the_line_that_repeats_a_failure_repeats_it(
    streamjobs: Streamjobs, options: tuple[str, ...]
) -> None:
    _, found, _ = streamjobs("simulate", "careless:app", *options)
    [line] = re.findall(r"python -m streamjobs (.*)", found)
    code, again, _ = streamjobs(*line.split())

    assert code == 1
    assert again == found


@pytest.mark.usefixtures("careless")
def test_a_failure_as_json(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("simulate", "careless:app", "--json")
    report = json.loads(out)
    assert code == 1
    assert report["holds"] is False
    assert report["guarantee"] == "invariant"
    assert report["claim"].startswith("negative: ")
    assert "Finished(" in report["history"][-1]
    assert "--seed" in report["repeat"][0]


@pytest.mark.usefixtures("bank")
def test_one_seed_is_one_history(streamjobs: Streamjobs) -> None:
    reports = [
        json.loads(streamjobs("simulate", "bank:app", "--seed", "7", "--json")[1]) for _ in range(2)
    ]
    for report in reports:
        del report["runs_per_cpu_minute"]
    assert reports[0]["runs"] == 1
    assert reports[0] == reports[1]


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    "faults,happen",
    [
        ("none", set[str]()),
        ("crash", {"crash"}),
        ("crash, join", {"crash", "join"}),
        ("all,-crash", {"freeze", "compaction"}),
        ("-crash", {"freeze", "join"}),
    ],
)
def test_faults_are_chosen_by_name(streamjobs: Streamjobs, faults: str, happen: set[str]) -> None:
    options = ("--seeds", "40", "--faults", faults, "--json")
    code, out, _ = streamjobs("simulate", "accounts:app", *options)
    coverage = json.loads(out)["coverage"].keys()
    assert code == 0
    assert happen <= coverage
    assert ("crash" in coverage) == ("crash" in happen)
    assert ("compaction" in coverage) == ("compaction" in happen)


@pytest.mark.parametrize(
    "options,complaint",
    [
        (("bank:app", "--faults", "flood"), "there is no fault 'flood'; known are all, none, "),
        (("bank:app", "--workload", "mine"), "bank has no function 'mine'"),
        (("bank:app", "--invariant", "mine"), "bank has no function 'mine'"),
        (("bank:app", "--workload", "nothing"), "the workload enqueued nothing"),
        (("bank:other",), "bank has no 'other'"),
        (("bank:app", "--seeds", "0"), "--seeds"),
    ],
)
@pytest.mark.usefixtures("bank")
def test_what_cannot_begin_exits_with_2(
    streamjobs: Streamjobs, options: tuple[str, ...], complaint: str
) -> None:
    code, out, err = streamjobs("simulate", *options)
    assert code == 2
    assert out == ""
    assert complaint in err


@pytest.mark.usefixtures("accounts")
def test_without_a_workload_calls_are_made_up(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs(
        "simulate", "accounts:app", "--seeds", "5", "--records", "12", "--json"
    )
    assert code == 0
    assert json.loads(out)["records"] == 5 * 12


def test_calls_that_cannot_be_made_up_are_an_error(streamjobs: Streamjobs, module: Module) -> None:
    module(
        "odd",
        """
        import typing
        import pydantic
        import streamjobs
        app = streamjobs.App("odd")

        @app.job(topic="jobs")
        def grow(size: typing.Annotated[int, pydantic.Field(gt=100)]) -> None: ...
        """,
    )
    code, _, err = streamjobs("simulate", "odd:app")
    assert code == 2
    assert "arguments of job 'grow' cannot be made up" in err
    assert "a workload" in err
