"""When a process under a supervisor is idle."""

import threading
import time
from collections.abc import Iterator

import pytest

from streamjobs import App, runtime
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from tests.support.members import Member, poll_until

SESSION = 1.0


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "EMPTY_HANDED", 0.1)


@pytest.fixture
def broker() -> MemoryBroker:
    cluster = MemoryCluster({"orders": 1})
    cluster.append(Message("orders", b"{}"))
    return MemoryBroker(cluster)


@pytest.fixture
def holder(broker: MemoryBroker) -> Iterator[Member]:
    """One that has the only partition and has died, which the group does not know yet."""
    member = Member(broker, "shop", "orders")
    poll_until(lambda: member.held, member)
    yield member
    member.leave()


def run(broker: MemoryBroker, slot: str | None) -> list[object]:
    handled: list[object] = []
    config = {"session.timeout.ms": int(SESSION * 1000)}
    app = App("shop", broker=broker, commit_interval=0.02, consumer_config=config)

    @app.stream("orders")
    def note(order: object) -> None:
        handled.append(order)

    assert Runtime(app, slot=slot).run(until_idle=True) is ExitCode.OK
    return handled


def test_it_waits_for_the_partition_of_one_that_died(broker: MemoryBroker, holder: Member) -> None:
    timer = threading.Timer(SESSION / 2, holder.leave)  # as the group's patience ends
    timer.start()
    assert run(broker, "shop-1") == [{}]
    timer.join()


@pytest.mark.usefixtures("holder")
def test_without_a_supervisor_it_does_not_wait(broker: MemoryBroker) -> None:
    began = time.monotonic()
    assert run(broker, None) == []
    assert time.monotonic() - began < SESSION
