"""Context variables and the trace travel from `enqueue` to the handler, and no further."""

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from streamjobs import App, Retry, current_context, headers
from streamjobs.errors import ConfigurationError
from streamjobs.testing import TestDriver

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
depth: ContextVar[int] = ContextVar("depth")


class Office:
    """Jobs that note the tenant they see."""

    def __init__(self) -> None:
        self.app = App("office", context=[tenant, depth], retry=Retry(attempts=2, wait=1))
        self.seen: list[str] = []
        self.failing = False

        @self.app.job(topic="plain", key="n")
        def plain(n: int) -> None:
            self.seen.append(tenant.get())
            tenant.set("changed by the handler")
            if self.failing:
                raise ValueError(n)

        @self.app.job(topic="coroutines", key="n")
        async def coroutine(n: int) -> None:
            await asyncio.sleep(0)
            self.seen.append(tenant.get())
            if self.failing:
                raise ValueError(n)

        @self.app.job(topic="chain", key="n")
        def chain(n: int) -> None:
            plain.enqueue(n)

        self.plain, self.coroutine, self.chain = plain, coroutine, chain


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def driver(office: Office) -> Iterator[TestDriver]:
    with TestDriver(office.app, on_error="retry") as driver:
        yield driver


def enqueue_as(name: str, *jobs: object) -> None:
    token = tenant.set(name)
    for job in jobs:
        job.enqueue(1)  # type: ignore[attr-defined]
    tenant.reset(token)


def test_a_handler_sees_the_variables_of_who_enqueued(office: Office, driver: TestDriver) -> None:
    enqueue_as("ada", office.plain, office.coroutine)
    driver.run_until_idle()
    assert office.seen == ["ada", "ada"]


def test_the_next_job_does_not_see_them(office: Office, driver: TestDriver) -> None:
    enqueue_as("ada", office.plain)
    office.plain.enqueue(1)
    driver.run_until_idle()
    assert office.seen == ["ada", "nobody"]


@pytest.mark.parametrize("job", ["plain", "coroutine"])
def test_nor_does_it_after_a_failure(office: Office, driver: TestDriver, job: str) -> None:
    office.failing = True
    enqueue_as("ada", getattr(office, job))
    driver.run_until_idle()
    office.failing = False
    getattr(office, job).enqueue(2)
    driver.run_until_idle()
    assert office.seen == ["ada", "ada", "nobody"]
    assert tenant.get() == "nobody"


def test_they_travel_on_through_a_job_that_enqueues(office: Office, driver: TestDriver) -> None:
    enqueue_as("ada", office.chain)
    driver.run_until_idle()
    assert office.seen == ["ada"]


def test_a_variable_without_a_value_does_not_travel(office: Office, driver: TestDriver) -> None:
    enqueue_as("ada", office.plain)
    [record] = driver.outputs("plain")
    assert dict(record.headers)[headers.CONTEXT] == b'{"tenant":"ada"}'


def test_the_trace_of_a_record_goes_on_to_what_its_handler_enqueues(
    office: Office, driver: TestDriver
) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    office.chain.enqueue(1)
    [made] = driver.outputs("chain")
    pairs = [*made.headers, (headers.TRACEPARENT, trace)]
    driver.send("chain", made.value, key=b"1", headers=pairs)
    driver.run_until_idle()
    assert [dict(each.headers).get(headers.TRACEPARENT) for each in driver.outputs("plain")] == [
        None,
        trace,
    ]


def test_a_handler_can_ask_for_its_trace() -> None:
    app, seen = App("traces"), []

    @app.stream("in", value="str")
    def handle(value: str) -> None:
        seen.append(current_context().traceparent)

    with TestDriver(app) as driver:
        driver.send("in", "x", headers=[(headers.TRACEPARENT, b"00-1-2-01")])
        driver.send("in", "y")
        driver.run_until_idle()
    assert seen == ["00-1-2-01", None]


def test_two_variables_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="same name"):
        App("twins", context=[tenant, ContextVar("tenant")])
