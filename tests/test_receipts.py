"""Receipts: waiting for the broker in a thread, and awaiting it."""

import asyncio
import threading

import pytest

from streamjobs.broker.ports import Delivery
from streamjobs.errors import DeliveryError, DeliveryTimeoutError, StreamjobsError
from streamjobs.receipts import Position, Receipt, Receipts

ARRIVED = Delivery("jobs", 2, 40, None)
REFUSED = Delivery("jobs", -1, -1, "MSG_SIZE_TOO_LARGE")


def receipt(delivery: Delivery | None = None) -> Receipt:
    made = Receipt("id-1")
    if delivery is not None:
        made.resolve(delivery)
    return made


def resolve_soon(waiting: Receipt, delivery: Delivery = ARRIVED) -> None:
    """As the producer's thread does."""
    threading.Timer(0.01, waiting.resolve, (delivery,)).start()


def test_it_says_where_the_record_stands() -> None:
    assert receipt(ARRIVED).wait(0) == Position("jobs", 2, 40)


def test_it_waits_for_the_answer() -> None:
    waiting = receipt()
    resolve_soon(waiting)
    assert waiting.wait(10).offset == 40


def test_it_is_done_when_the_broker_has_answered() -> None:
    waiting = receipt()
    assert not waiting.done
    waiting.resolve(ARRIVED)
    assert waiting.done


def test_several_threads_may_wait() -> None:
    waiting = receipt()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(waiting.wait(10).offset)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()

    waiting.resolve(ARRIVED)

    for thread in threads:
        thread.join(10)
    assert found == [40, 40, 40]


def test_without_an_answer_it_says_how_long_it_waited() -> None:
    with pytest.raises(DeliveryTimeoutError, match=r"within 0\.01 s"):
        receipt().wait(0.01)


def test_a_timeout_is_pythons_own_kind_of_timeout_and_ours() -> None:
    with pytest.raises(TimeoutError) as caught:
        receipt().wait(0)
    assert isinstance(caught.value, StreamjobsError)


def test_it_may_be_waited_for_again_after_a_timeout() -> None:
    waiting = receipt()
    with pytest.raises(DeliveryTimeoutError):
        waiting.wait(0)
    waiting.resolve(ARRIVED)
    assert waiting.wait(0).offset == 40


def test_a_refusal_is_raised_with_the_brokers_reason() -> None:
    with pytest.raises(DeliveryError, match="jobs: MSG_SIZE_TOO_LARGE"):
        receipt(REFUSED).wait(0)


async def awaited(waiting: Receipt) -> Position:
    return await waiting


def test_it_can_be_awaited_after_the_answer() -> None:
    assert asyncio.run(awaited(receipt(ARRIVED))) == Position("jobs", 2, 40)


def test_it_can_be_awaited_before_the_answer() -> None:
    waiting = receipt()
    resolve_soon(waiting)
    assert asyncio.run(awaited(waiting)).offset == 40


def test_a_refusal_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
        asyncio.run(awaited(receipt(REFUSED)))


def test_an_answer_after_the_event_loop_has_gone_harms_nobody() -> None:
    waiting = receipt()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await waiting

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())

    waiting.resolve(ARRIVED)

    assert waiting.wait(0).offset == 40


def test_many_receipts_give_their_positions_in_order() -> None:
    both = Receipts([receipt(ARRIVED), receipt(ARRIVED._replace(offset=41))])
    assert [position.offset for position in both.wait(0)] == [40, 41]


def test_many_receipts_share_one_time_limit() -> None:
    with pytest.raises(DeliveryTimeoutError):
        Receipts([receipt(ARRIVED), receipt(), receipt()]).wait(0.01)


def test_many_receipts_can_be_awaited_together() -> None:
    both = Receipts([receipt(ARRIVED), receipt(ARRIVED)])

    async def all_of_them() -> list[Position]:
        return await both

    assert len(asyncio.run(all_of_them())) == 2


def test_no_receipts_are_no_wait() -> None:
    assert Receipts([]).wait(0) == []


def test_many_receipts_are_a_sequence() -> None:
    first, second = receipt(), receipt()
    both = Receipts([first, second])
    assert (len(both), both[0], list(both[1:])) == (2, first, [second])
