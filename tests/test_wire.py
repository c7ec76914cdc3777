"""Job records: what is written, and what comes back."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel

from streamjobs.errors import ConfigurationError, InvalidArgumentsError, UndecodableRecordError
from streamjobs.record import Header, Record
from streamjobs.wire import Envelope, Signature, open_envelope


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 3


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclass
class Line:
    ends: list[Point]
    name: str | None = None


class Address(BaseModel):
    street: str
    since: date | None = None


class Person(BaseModel):
    name: str
    addresses: list[Address] = []


class Reading(NamedTuple):
    sensor: int
    raw: bytes


@dataclass
class Packet:
    raw: bytes
    weight: float = 0.0
    next: "Packet | None" = None


def job_taking(annotation: Any) -> Callable[[Any], Any]:
    """A job with one parameter of that type."""

    def job(value: Any) -> Any:
        return value

    job.__annotations__ = {"value": annotation}
    return job


def body_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
    """What `enqueue` writes for this call."""
    signature = Signature("job", function)
    return signature.encode("id-1", signature.bind(args, kwargs))


def record(value: bytes | None, *headers: Header) -> Record:
    return Record("jobs", 0, 12, value=value, headers=headers)


def called_with(function: Callable[..., Any], body: bytes) -> Any:
    """What a worker's call of the function returns."""
    signature = Signature("job", function)
    envelope = open_envelope(record(body))
    args, kwargs = signature.call_arguments(signature.decode(envelope.args, envelope.kwargs))
    return function(*args, **kwargs)


def carried(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the function returns when the call went through a record."""
    return called_with(function, body_of(function, *args, **kwargs))


def from_elsewhere(args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> bytes:
    """A body that another program wrote."""
    return orjson.dumps({"job": "job", "args": args, "kwargs": kwargs or {}})


# The way there and back.


@pytest.mark.parametrize(
    "annotation, value",
    [
        (int, 7),
        (int, -(2**63)),
        (int, 2**64 - 1),
        (float, 0.1),
        (float, math.inf),
        (bool, True),
        (str, "Zürich 🚲"),
        (type(None), None),
        (list[int], [1, 2]),
        (dict[str, float], {"a": 1.5}),
        (dict[int, str], {1: "one"}),
        (dict[UUID, int], {UUID(int=1): 1}),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2, 3)),
        (bytes, b"plain"),
        (bytes, b"\xff\xfe\x00 not UTF-8"),
        (list[bytes], [b"\xff", b""]),
        (dict[str, bytes], {"raw": b"\x80"}),
        (datetime, datetime(2024, 2, 29, 12, 30, 1, 5)),
        (datetime, datetime(2024, 2, 29, tzinfo=UTC)),
        (datetime, datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=2)))),
        (date, date(2024, 2, 29)),
        (time, time(23, 59, 59, 999)),
        (timedelta, timedelta(days=1, microseconds=3)),
        (timedelta, timedelta(seconds=-1)),
        (UUID, UUID(int=7)),
        (Decimal, Decimal("1.10")),
        (Color, Color.BLUE),
        (Size, Size.LARGE),
        (Path, Path("/tmp/a b")),
        (Literal["a", 1], 1),
        (Point, Point(1, 2)),
        (Line, Line([Point(1), Point(2, 3)], "front")),
        (Address, Address(street="Main", since=date(2020, 1, 1))),
        (Person, Person(name="Ada", addresses=[Address(street="Main")])),
        (list[Person], [Person(name="Ada")]),
        (dict[str, list[Point]], {"a": [Point(1)]}),
        (Reading, Reading(1, b"\xff")),
        (tuple[Reading, Reading], (Reading(1, b"\xff"), Reading(2, b"abcd"))),
        (Packet, Packet(b"abcd")),
        (Packet, Packet(b"\xff", math.inf, Packet(b"abcd"))),
        (int | None, None),
        (bytes | None, b"\xff"),
        (Point | None, Point(1)),
        (int | str, "7"),
        (int | str, 7),
        (int | float, 1.0),
        (date | datetime, datetime(2024, 1, 1)),
        (date | datetime, date(2024, 1, 1)),
        (Point | Address, Address(street="Main")),
        (list[int | str], [1, "1"]),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_its_annotation_says(annotation: Any, value: Any) -> None:
    came = carried(job_taking(annotation), value)

    assert came == value
    assert type(came) is type(value)


def test_what_is_no_number_comes_back_as_none_either() -> None:
    assert math.isnan(carried(job_taking(float), math.nan))


def test_json_values_need_no_annotation() -> None:
    def job(value):  # type: ignore[no-untyped-def]
        return value

    nested = {"a": [1, 2.5, None, True, {"b": "c"}]}
    assert carried(job, nested) == nested


def test_an_int_for_a_float_comes_back_as_a_float() -> None:
    assert type(carried(job_taking(float), 1)) is float


def test_every_kind_of_parameter_is_called_as_it_was() -> None:
    def job(first: int, /, second: int, *rest: int, third: int, **more: bytes) -> Any:
        return first, second, rest, third, more

    assert carried(job, 1, 2, 3, 4, third=5, a=b"\xff", first=b"b") == (
        1,
        2,
        (3, 4),
        5,
        {"a": b"\xff", "first": b"b"},
    )


def test_variable_parameters_may_stay_empty() -> None:
    def job(*args: int, **kwargs: int) -> Any:
        return args, kwargs

    assert carried(job) == ((), {})


def test_a_variable_parameter_and_a_name_it_collects_may_be_called_the_same() -> None:
    def job(**options: int) -> Any:
        return options

    assert carried(job, options=3) == {"options": 3}


def test_a_default_is_left_to_the_worker() -> None:
    def job(value: int, limit: int = 10) -> Any:
        return value, limit

    assert carried(job, 1) == (1, 10)
    assert "limit" not in open_envelope(record(body_of(job, 1))).kwargs


def test_a_given_value_wins_over_the_default() -> None:
    def job(value: int, limit: int = 10) -> Any:
        return value, limit

    assert carried(job, 1, limit=2) == (1, 2)


def test_a_default_may_be_of_another_type_than_annotated() -> None:
    def job(limit: int = ...) -> Any:  # type: ignore[assignment]
        return limit

    assert carried(job) is ...


def test_defaults_are_told_to_partitioners() -> None:
    def job(value: int, limit: int = 10, *rest: int, **more: int) -> None: ...

    assert Signature("job", job).with_defaults({"value": 1}) == {
        "value": 1,
        "limit": 10,
        "rest": (),
        "more": {},
    }


# The body.


def test_the_body_is_what_the_documentation_says() -> None:
    def job(user_id: int, name: str) -> None: ...

    body = orjson.loads(body_of(job, 7, name="Ada"))

    enqueued_at = body.pop("enqueued_at")
    assert body == {
        "job": "job",
        "id": "id-1",
        "args": [],
        "kwargs": {"user_id": 7, "name": "Ada"},
    }
    assert datetime.fromisoformat(enqueued_at).tzinfo is not None


def test_bytes_travel_as_base64() -> None:
    kwargs = open_envelope(record(body_of(job_taking(bytes), b"\xfb\xff"))).kwargs
    assert kwargs == {"value": "-_8="}


@pytest.mark.parametrize("text", ["-_8=", "+/8="])
def test_both_alphabets_of_base64_are_read(text: str) -> None:
    assert called_with(job_taking(bytes), from_elsewhere([text])) == b"\xfb\xff"


def test_positional_arguments_of_another_producer_are_bound_like_a_call() -> None:
    def job(first: int, second: str, *, third: bool = False) -> Any:
        return first, second, third

    body = from_elsewhere([1, "b"], {"third": True})
    assert called_with(job, body) == (1, "b", True)


def test_keywords_of_another_producer_reach_the_variable_parameter() -> None:
    def job(name: str, **more: int) -> Any:
        return name, more

    assert called_with(job, from_elsewhere((), {"name": "a", "b": 1})) == ("a", {"b": 1})


def test_a_positional_only_parameter_may_be_given_by_name() -> None:
    def job(first: int, /) -> Any:
        return first

    assert called_with(job, from_elsewhere((), {"first": 1})) == 1


def test_a_body_needs_neither_id_nor_arguments() -> None:
    assert open_envelope(record(b'{"job":"tick"}')) == Envelope("tick", "jobs/0/12", [], {})


def test_the_job_may_be_named_by_its_header_alone() -> None:
    envelope = open_envelope(record(b'{"args":[1]}', ("streamjobs-job", b"tick")))
    assert envelope.job == "tick"


def test_an_id_may_be_a_number() -> None:
    assert open_envelope(record(b'{"job":"tick","id":7}')).id == "7"


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "tombstone"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "no JSON object"),
        (b"7", "no JSON object"),
        (b"{}", 'no "job"'),
        (b'{"job":""}', 'no "job"'),
        (b'{"job":7}', 'no "job"'),
        (b'{"job":"a","args":{}}', '"args" has to be an array'),
        (b'{"job":"a","kwargs":[]}', '"kwargs" an object'),
        (b'{"job":"a","args":null}', '"args" has to be an array'),
    ],
)
def test_a_body_that_is_no_job_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableRecordError, match=reason):
        open_envelope(record(value))


@pytest.mark.parametrize(
    "args, kwargs, reason",
    [
        ([], {}, "user_id: Field required"),
        (["x"], {}, "user_id: .*valid integer"),
        ([1, "a", 3], {}, "too many positional arguments"),
        ([1], {"user_id": 2}, "multiple values for argument 'user_id'"),
        ([], {"user_id": 1, "age": 3}, "unexpected keyword argument 'age'"),
        ([], {"user_id": 1, "name": None}, "name: .*valid string"),
        ([2**63 * 4.0], {}, "user_id"),
    ],
)
def test_arguments_that_do_not_fit_say_which_and_why(
    args: list[Any], kwargs: dict[str, Any], reason: str
) -> None:
    def job(user_id: int, name: str = "") -> None: ...

    with pytest.raises(UndecodableRecordError, match=reason):
        called_with(job, from_elsewhere(args, kwargs))


# What is refused before it is sent.


@pytest.mark.parametrize(
    "args, kwargs, reason",
    [
        ((), {}, "'user_id'"),
        ((1, "a", 3), {}, "too many positional arguments"),
        ((1,), {"age": 3}, "'age'"),
        (("7",), {}, "user_id: .*valid integer"),
        ((True,), {}, "user_id"),
        ((1, 7), {}, "name: .*valid string"),
    ],
)
def test_a_call_that_does_not_fit_names_the_parameter(
    args: tuple[Any, ...], kwargs: dict[str, Any], reason: str
) -> None:
    def job(user_id: int, name: str = "") -> None: ...

    with pytest.raises(InvalidArgumentsError, match=reason):
        body_of(job, *args, **kwargs)


def test_an_invalid_call_is_a_type_error_as_it_is_in_python() -> None:
    with pytest.raises(TypeError, match=r"job\(value: int\)"):
        body_of(job_taking(int), "7")


def test_arguments_that_a_type_itself_refuses_are_undecodable() -> None:
    no_sign = [7, [1], 0]  # `Decimal` takes a sign, digits and an exponent, too
    with pytest.raises(UndecodableRecordError, match="sign must be"):
        called_with(job_taking(Decimal), from_elsewhere([no_sign]))


def test_the_message_does_not_show_the_value() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        body_of(job_taking(int), "secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "annotation, value",
    [
        (int, 2**64),
        (Any, object),
        (str, "\ud800"),
        (dict[tuple[int, int], str], {(1, 2): "a"}),
        (dict[int | None, int], {None: 1}),
    ],
    ids=repr,
)
def test_what_no_worker_could_read_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match="job"):
        body_of(job_taking(annotation), value)


@pytest.mark.parametrize(
    "annotation, value",
    [
        (str | bytes, b"abcd"),
        (str | datetime, datetime(2024, 1, 1)),
        (UUID | str, str(UUID(int=7))),
        (Color | str, Color.RED),
        (list[int] | tuple[int, ...], (1, 2)),
        (dict[str, str | bytes], {"a": b"abcd"}),
    ],
    ids=repr,
)
def test_a_value_that_json_would_turn_into_another_of_its_union_is_refused(
    annotation: Any, value: Any
) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"value: .*annotate one type"):
        body_of(job_taking(annotation), value)


# What is refused when the job is declared.


def test_a_parameter_without_a_json_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent as JSON"):
        Signature("job", job_taking(memoryview))


def test_an_annotation_that_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'Missing' is not defined.*TYPE_CHECKING"):
        Signature("job", job_taking("Missing"))
