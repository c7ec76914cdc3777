"""Records for simulations without a workload: arguments made up from annotations."""

import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from random import Random
from typing import Annotated, Any, Literal

import orjson
import pydantic
import pytest

from streamjobs import App
from streamjobs.errors import ConfigurationError
from streamjobs.testing import TestDriver, simulate
from streamjobs.testing.workloads import random_value, typed_workload


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Visit:
    page: str
    at: datetime.datetime
    tags: list[str]
    hidden: int = dataclasses.field(default=0, init=False)


class Click(pydantic.BaseModel):
    user: int
    note: str | None
    visit: Visit


@pytest.mark.parametrize(
    "hint",
    [
        int,
        float,
        bool,
        str,
        bytes,
        None | int,
        decimal.Decimal,
        datetime.datetime,
        datetime.date,
        datetime.timedelta,
        uuid.UUID,
        Colour,
        Literal["a", 1],
        Annotated[int, "a note"],
        int | str,
        typing.Optional[int],  # noqa: UP045  # as older code has it
        list[int],
        set[str],
        frozenset[int],
        tuple[int, str],
        tuple[int, ...],
        dict[str, list[int]],
        list,
        Visit,
        Click,
    ],
    ids=str,
)
def test_a_value_fits_its_annotation(hint: Any) -> None:
    adapter = pydantic.TypeAdapter(hint)
    for seed in range(20):
        adapter.validate_python(random_value(hint, Random(seed)), strict=True)


def test_the_same_dice_make_the_same_value() -> None:
    assert random_value(Click, Random(3)) == random_value(Click, Random(3))


def test_an_annotation_that_is_too_much_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no random value is known for <class 'object'>"):
        random_value(object, Random(0))


def test_jobs_are_called_with_what_they_take() -> None:
    app, calls = App("app"), []

    @app.job(topic="jobs", key="user")
    def update(user: int, visit: Visit, colour: Colour = Colour.RED, anything: Any = None) -> None:
        calls.append((user, visit, colour))

    with TestDriver(app) as driver:
        assert typed_workload(app, Random(0), 20) == []
        driver.run_until_idle()

    assert len(calls) == 20
    assert len({user for user, _, _ in calls}) < 10, "keys come back"
    assert all(isinstance(visit, Visit) for _, visit, _ in calls)


@pytest.mark.parametrize("kind", ["json", "bytes", "str", Click, Visit, int, str, dict[str, int]])
def test_streams_get_records_that_they_can_decode(kind: Any) -> None:
    app, values = App("app"), []
    app.stream("clicks", value=kind)(values.append)

    messages = typed_workload(app, Random(0), 30)
    with TestDriver(app) as driver:
        for message in messages:
            driver.send(message.topic, message.value, key=message.key)
        driver.run_until_idle()

    assert len(values) == 30
    assert len({message.key for message in messages}) > 2


def test_an_app_with_several_topics_gets_records_on_each() -> None:
    app = App("app")
    app.stream("clicks")(lambda value: None)
    app.stream("rates")(lambda value: None)
    topics = {message.topic for message in typed_workload(app, Random(0), 30)}
    assert topics == {"clicks", "rates"}


def test_a_job_whose_arguments_cannot_be_made_up_is_named() -> None:
    app = App("app")

    @app.job(topic="jobs")
    def grow(size: Annotated[int, pydantic.Field(gt=100)]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"job 'grow' cannot be made up.*a workload"):
        simulate(app, seeds=[0])


def test_a_stream_whose_values_cannot_be_made_up_is_named() -> None:
    class Odd:
        """Nobody knows how to make one."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler(int)

    app = App("app")
    app.stream("clicks", value=Odd)(lambda value: None)

    with pytest.raises(ConfigurationError, match=r"Odd.* cannot be made up.*a workload"):
        simulate(app, seeds=[0])


def test_a_workload_may_return_messages() -> None:
    app, values = App("app"), list[Any]()
    app.stream("clicks", value="bytes")(values.append)
    messages = typed_workload(app, Random(0), 5)

    assert simulate(app, workload=lambda _: messages, seeds=[0], faults=frozenset()).records == 5
    assert sorted(values) == sorted(message.value for message in messages if message.value)


def test_receipts_that_a_workload_returns_are_no_messages() -> None:
    app = App("app")
    job = app.job(topic="jobs")(lambda: None)
    report = simulate(app, workload=lambda _: [job.enqueue() for _ in range(3)], seeds=[0])
    assert report.records == 3


def test_what_is_made_up_is_json() -> None:
    app = App("app")
    app.stream("clicks", value=Click)(lambda value: None)
    for message in typed_workload(app, Random(0), 5):
        assert {"user", "note", "visit"} == set(orjson.loads(message.value or b""))
