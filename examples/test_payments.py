"""How to test what becomes of failures: retries, dead letters, and the order that they keep.

Run it with `python -m pytest examples/test_payments.py`.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from examples.payments import GatewayDownError, Payment, app, attempts, gateway, pay, payments
from streamjobs.testing import TestDriver


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    reset()


def reset() -> None:
    gateway.down_for = 0
    gateway.expired.clear()
    gateway.paid.clear()
    attempts.clear()


@pytest.fixture
def driver() -> Iterator[TestDriver]:
    with TestDriver(app, on_error="retry") as driver:
        yield driver


def test_payments_wait_for_a_gateway_that_is_down(driver: TestDriver) -> None:
    gateway.down_for = 3
    pay.enqueue("ada", 1, 100)
    pay.enqueue("ada", 2, 100)
    driver.run_until_idle()

    assert gateway.paid == {"ada": [1, 2]}
    assert attempts == {1: 4, 2: 1}
    assert [type(failure.error) for failure in driver.failures] == [GatewayDownError] * 3
    assert 0.7 <= driver.clock.now < 2, "0.1 + 0.2 + 0.4 s, a tenth more at most, and a commit"


def test_a_gateway_that_stays_down_is_given_up_after_eight_attempts(driver: TestDriver) -> None:
    gateway.down_for = 8
    pay.enqueue("ada", 1, 100)
    driver.run_until_idle()

    [letter] = driver.dead_letters("payments")
    assert letter.death.attempts == 8
    assert letter.death.message == "the payment gateway does not answer"


def test_a_refused_card_is_not_tried_again(driver: TestDriver) -> None:
    gateway.expired = {"eve"}
    pay.enqueue("eve", 1, 250)
    driver.run_until_idle()

    [letter] = driver.dead_letters("payments")
    assert letter.death.attempts == 1
    assert letter.death.message == "the card of eve has expired; 250 cents not paid"


def test_what_comes_behind_a_refused_payment_follows_it(driver: TestDriver) -> None:
    gateway.expired = {"eve"}
    pay.enqueue_many(payments(rounds=3))
    driver.run_until_idle()

    letters = driver.dead_letters("payments")
    assert [letter.record.key for letter in letters] == [b"eve"] * 3
    assert [letter.record.offset for letter in letters] == [2, 10, 18]
    assert [letter.death.attempts for letter in letters] == [1, 0, 0]
    assert gateway.payments == 21
    driver.check()


def test_the_order_holds_whatever_goes_wrong(simulate_app: Callable[..., Any]) -> None:
    """Processes crash, partitions move, and handlers fail, so that some payments die."""

    def workload(random: Random) -> None:
        reset()
        for number in range(60):
            pay.enqueue(*Payment(random.choice(["ada", "bob", "eve"]), number, 100))

    report = simulate_app(
        app, workload=workload, invariants=[lambda: gateway.in_order], seeds=range(50)
    )

    assert report.records == 50 * 60
