"""Payments that fail: some for a moment, one for good. Those of each account are made in order.

python -m examples.payments                               see it, on a broker inside this process
python -m streamjobs run examples.payments:app            work on those of a Kafka
python -m streamjobs dlq list examples.payments:app       which were given up there
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from streamjobs import App, DeadLetter, Retry, current_context, exponential

ACCOUNTS: Final = ("ada", "bob", "eve", "joan", "kurt", "lise", "max", "rosa")

app = App("payments", commit_interval=0.2)


class GatewayDownError(ConnectionError):
    """Nobody answers; later somebody will."""


class CardRefusedError(Exception):
    """The bank says no, and will say so again, until the customer does something."""


class Gateway:
    """Stands for somebody else's service.

    Attributes:
        down_for: so many calls from now on are not answered.
        expired: accounts whose card is refused.
        paid: the numbers of the payments that were made, by account, in the order they were made.
    """

    def __init__(self) -> None:
        self.down_for = 0
        self.expired: set[str] = set()
        self.paid: dict[str, list[int]] = defaultdict(list)

    def charge(self, account: str, number: int, cents: int) -> None:
        """Make this payment, unless it was made before: a job may run twice."""
        if self.down_for > 0:
            self.down_for -= 1
            raise GatewayDownError("the payment gateway does not answer")
        if account in self.expired:
            raise CardRefusedError(f"the card of {account} has expired; {cents} cents not paid")
        if number not in self.paid[account]:
            self.paid[account].append(number)

    @property
    def payments(self) -> int:
        """How many were made."""
        return sum(map(len, self.paid.values()))

    @property
    def in_order(self) -> bool:
        """Whether those of each account were made in the order they were asked for."""
        return all(numbers == sorted(numbers) for numbers in self.paid.values())


gateway = Gateway()
attempts: dict[int, int] = {}
"""Which attempt of a payment succeeded."""


@app.job(
    topic="payments",
    key="account",
    retry=Retry(
        attempts=8,
        wait=exponential(first=0.1, maximum=2),
        on=GatewayDownError,  # a card that is refused would be refused again
    ),
    # What comes behind a refused payment of its account waits with it, until it is replayed.
    dead_letter=DeadLetter(sequenced=True),
)
def pay(account: str, number: int, cents: int) -> None:
    gateway.charge(account, number, cents)
    attempts[number] = current_context().attempt


class Payment(NamedTuple):
    """The arguments of the job."""

    account: str
    number: int
    cents: int


def payments(rounds: int = 5) -> Iterator[Payment]:
    """Of each account in turn."""
    for number in range(rounds * len(ACCOUNTS)):
        yield Payment(ACCOUNTS[number % len(ACCOUNTS)], number, 100 + 7 * number)


if __name__ == "__main__":
    from examples.payments_demo import main

    sys.exit(0 if main() else 1)
