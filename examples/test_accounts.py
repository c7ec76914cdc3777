"""How to test your own ordering guarantee: a balance never goes negative if deposits come first.

Run it with `python -m pytest examples/test_accounts.py`.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from streamjobs import App, VirtualPartitions
from streamjobs.testing import GuaranteeViolatedError, TestDriver

app = App("bank")

balances: Counter[str] = Counter()
seen: set[str] = set()


@app.job(topic="transfers", key="account", virtual_partitions=VirtualPartitions(8))
def transfer(account: str, amount: int, number: int) -> None:
    if f"{account}-{number}" not in seen:  # at least once: a transfer may run twice
        seen.add(f"{account}-{number}")
        balances[account] += amount


def transfers(random: Random) -> None:
    """For every account, each withdrawal comes after the deposit that it needs."""
    balances.clear()
    seen.clear()
    for number in range(0, 60, 2):
        account, amount = random.choice("abcd"), random.randrange(1, 100)
        transfer.enqueue(account, amount, number)
        transfer.enqueue(account, -amount, number + 1)


def no_balance_is_negative() -> None:
    assert min(balances.values(), default=0) >= 0, f"a balance is negative: {dict(balances)}"


@pytest.fixture(autouse=True)
def _empty_bank() -> None:
    balances.clear()
    seen.clear()


def test_a_deposit_then_a_withdrawal() -> None:
    with TestDriver(app) as driver:
        transfer.enqueue("ada", 10, 1)
        transfer.enqueue("ada", -10, 2)
        driver.run_until_idle()

        assert balances == {"ada": 0}
        assert driver.committed("transfers") == {0: 2}


def test_no_balance_is_negative_whatever_goes_wrong(simulate_app: Callable[..., Any]) -> None:
    report = simulate_app(
        app, workload=transfers, invariants=[no_balance_is_negative], seeds=range(100)
    )

    assert report.records == 100 * 60


def test_without_order_the_simulator_finds_the_bug(simulate_app: Callable[..., Any]) -> None:
    """The same job, but no key says that the transfers of an account belong together."""
    careless = App("careless-bank")
    careless.job(topic="transfers", name="transfer")(transfer.function)

    def unordered(random: Random) -> None:
        balances.clear()
        seen.clear()
        for number in range(0, 60, 2):
            account, amount = random.choice("abcd"), random.randrange(1, 100)
            careless.topics["transfers"].jobs["transfer"].enqueue(account, amount, number)
            careless.topics["transfers"].jobs["transfer"].enqueue(account, -amount, number + 1)

    with pytest.raises(GuaranteeViolatedError, match="a balance is negative"):
        simulate_app(
            careless, workload=unordered, invariants=[no_balance_is_negative], seeds=range(100)
        )
