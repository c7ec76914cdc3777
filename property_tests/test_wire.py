"""Jobs as records: arguments of any type come back, and the partition is the one Java picks."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streamjobs.calls import JobCall
from streamjobs.errors import InvalidArgumentsError, UndecodableRecordError
from streamjobs.partitioning import key_bytes, partition_for
from streamjobs.record import Record
from streamjobs.wire import Signature, open_envelope
from tests.support.apps import Stage


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1
    NONE = "none"


@dataclass(frozen=True)
class Point:
    x: int
    label: str | None = None


class Reading(NamedTuple):
    sensor: UUID
    raw: bytes


@dataclass
class Packet:
    raw: bytes
    rest: "Packet | None" = None


class Person(BaseModel):
    name: str
    born: date | None = None
    points: list[Point] = []


Typed = tuple[Any, st.SearchStrategy[Any]]
"""A type as it would be annotated, and its values."""

INTS = st.integers(-(2**63), 2**64 - 1)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
POINTS = st.builds(Point, INTS, st.none() | st.text())

KEYS: list[Typed] = [
    (int, INTS),
    *((each, st.from_type(each)) for each in (str, bytes, bool, UUID, date, datetime, Color)),
]
LEAVES: list[Typed] = [
    *KEYS,
    (float, st.floats(allow_nan=False)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes(timezones=st.none() | OFFSETS)),
    *((each, st.from_type(each)) for each in (type(None), time, timedelta)),
    (Level, st.from_type(Level)),
    (Packet, st.from_type(Packet)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Point, POINTS),
    (Reading, st.builds(Reading)),
    (Person, st.builds(Person, points=st.lists(POINTS, max_size=2))),
]


def containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    """Types that are made of others."""
    keys = st.sampled_from(KEYS)
    return st.one_of(
        inner.map(lambda one: (list[one[0]], st.lists(one[1], max_size=3))),
        inner.map(lambda one: (tuple[one[0], ...], st.lists(one[1], max_size=3).map(tuple))),
        inner.map(lambda one: (one[0] | None, st.none() | one[1])),
        keys.map(lambda one: (set[one[0]], st.sets(one[1], max_size=3))),
        keys.map(lambda one: (frozenset[one[0]], st.frozensets(one[1], max_size=3))),
        st.builds(pair_of, inner, inner),
        st.builds(dict_of, keys, inner),
    )


def pair_of(first: Typed, second: Typed) -> Typed:
    return tuple[first[0], second[0]], st.tuples(first[1], second[1])


def dict_of(key: Typed, value: Typed) -> Typed:
    return dict[key[0], value[0]], st.dictionaries(key[1], value[1], max_size=3)


TYPES = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)

JSON = st.recursive(
    st.none() | st.booleans() | INTS | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def job_taking(annotation: Any) -> Callable[[Any], Any]:
    def job(value: Any) -> Any:
        return value

    job.__annotations__ = {"value": annotation}
    return job


def carried(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the function returns when the call went through a record."""
    signature = Signature("job", function)
    body = signature.encode("id", signature.bind(args, kwargs))
    envelope = open_envelope(Record("jobs", 0, 0, value=body))
    called = signature.call_arguments(signature.decode(envelope.args, envelope.kwargs))
    return function(*called[0], **called[1])


@given(TYPES, st.data())
def test_a_value_comes_back_as_its_annotation_says(typed: Typed, data: st.DataObject) -> None:
    annotation, of_that_type = typed
    value = data.draw(of_that_type)

    came = carried(job_taking(annotation), [value], {})

    assert came == value
    assert type(came) is type(value)


@given(st.lists(TYPES, min_size=2, max_size=3), st.data())
def test_a_value_of_a_union_comes_back_or_is_refused_before_it_is_sent(
    members: list[Typed], data: st.DataObject
) -> None:
    union = functools.reduce(operator.or_, (annotation for annotation, _ in members))
    value = data.draw(data.draw(st.sampled_from(members))[1])
    try:
        came = carried(job_taking(union), [value], {})
    except InvalidArgumentsError:
        return
    assert came == value  # of the same type it may not be: a set equals a frozenset


@given(TYPES, TYPES, st.data())
def test_a_value_of_another_type_is_refused_or_comes_back_the_same(
    typed: Typed, other: Typed, data: st.DataObject
) -> None:
    value = data.draw(other[1])
    try:
        came = carried(job_taking(typed[0]), [value], {})
    except InvalidArgumentsError:
        return
    assert came == value


@given(JSON)
def test_json_comes_back_without_an_annotation(value: Any) -> None:
    def job(value):  # type: ignore[no-untyped-def]
        return value

    assert carried(job, [value], {}) == value


@given(
    INTS,
    st.text(),
    st.lists(INTS),
    st.floats(allow_nan=False),
    st.dictionaries(st.text(), st.binary()),
)
def test_every_kind_of_parameter_comes_back(
    first: int, second: str, rest: list[int], third: float, more: dict[str, bytes]
) -> None:
    def job(first: int, /, second: str, *rest: int, third: float, **more: bytes) -> Any:
        return first, second, list(rest), third, more

    named = {name: value for name, value in more.items() if name not in ("second", "third")}
    came = carried(job, [first, second, *rest], {"third": third, **named})

    assert came == (first, second, rest, third, named)


BODIES = st.dictionaries(st.sampled_from(["job", "id", "args", "kwargs"]), JSON)


@given(st.binary() | (JSON | BODIES).map(orjson.dumps))
def test_a_record_of_another_program_is_a_job_or_undecodable(value: bytes) -> None:
    try:
        envelope = open_envelope(Record("jobs", 0, 0, value=value))
    except UndecodableRecordError:
        return
    assert envelope.job


@given(TYPES, st.lists(JSON, max_size=2), st.dictionaries(st.sampled_from(["value", "a"]), JSON))
def test_arguments_of_another_program_fit_or_are_undecodable(
    typed: Typed, args: list[Any], kwargs: dict[str, Any]
) -> None:
    try:
        arguments = Signature("job", job_taking(typed[0])).decode(args, kwargs)
    except UndecodableRecordError:
        return
    assert arguments.keys() == {"value"}


# Where a job goes.


def java_partition(key: bytes, partitions: int) -> int:
    """Kafka's `Utils.toPositive(Utils.murmur2(key)) % partitions`, line by line."""

    def signed(number: int) -> int:
        return (number + 2**31) % 2**32 - 2**31

    def shifted(number: int, bits: int) -> int:  # Java's >>>
        return signed((number % 2**32) >> bits)

    data = [byte - 256 if byte > 127 else byte for byte in key]
    length, m, r = len(data), 0x5BD1E995, 24
    h = signed(signed(0x9747B28C) ^ length)
    for i in range(length // 4):
        i4 = i * 4
        k = signed(
            (data[i4 + 0] & 0xFF)
            + ((data[i4 + 1] & 0xFF) << 8)
            + ((data[i4 + 2] & 0xFF) << 16)
            + ((data[i4 + 3] & 0xFF) << 24)
        )
        k = signed(k * m)
        k = signed(k ^ shifted(k, r))
        k = signed(k * m)
        h = signed(h * m)
        h = signed(h ^ k)
    tail = length & ~3
    if length % 4 == 3:
        h = signed(h ^ (data[tail + 2] & 0xFF) << 16)
    if length % 4 >= 2:
        h = signed(h ^ (data[tail + 1] & 0xFF) << 8)
    if length % 4 >= 1:
        h = signed(h ^ data[tail] & 0xFF)
        h = signed(h * m)
    h = signed(h ^ shifted(h, 13))
    h = signed(h * m)
    h = signed(h ^ shifted(h, 15))
    return (h & 0x7FFFFFFF) % partitions


@given(st.binary(), st.integers(1, 10_000))
def test_the_partition_of_a_key_is_the_one_that_java_picks(key: bytes, partitions: int) -> None:
    assert partition_for(key, partitions) == java_partition(key, partitions)


@given(INTS | st.text() | st.binary(), st.integers(1, 12))
def test_a_job_is_written_where_java_would_write_its_key(result: Any, partitions: int) -> None:
    def the_result(call: JobCall) -> Any:
        return result

    with Stage({"jobs": partitions}) as stage:
        for kind in ("key", "partition_key"):

            @stage.app.job(topic="jobs", name=kind, partitioner=the_result, partition_key_type=kind)
            def job() -> None: ...

            job.enqueue()

        places = [record.partition for record in stage.records("jobs")]
        assert places == 2 * [java_partition(key_bytes(result) or b"", partitions)]
