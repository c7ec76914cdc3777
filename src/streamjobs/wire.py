"""The record of a job, to the byte: specified in `docs/wire-format.md`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, NamedTuple, NotRequired, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import (
    CoreConfig,
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
)
from typing_extensions import TypedDict

from streamjobs import headers
from streamjobs.errors import ConfigurationError, InvalidArgumentsError, UndecodableRecordError
from streamjobs.record import Record
from streamjobs.values import explain

__all__ = ("Envelope", "Signature", "job_name", "open_envelope")

_FORM = CoreConfig(val_json_bytes="base64", ser_json_bytes="base64", ser_json_inf_nan="strings")
_SHAPE = ConfigDict(
    val_json_bytes="base64",
    ser_json_bytes="base64",
    ser_json_inf_nan="strings",
    arbitrary_types_allowed=False,
)
"""The same for the types inside, which have a configuration of their own: dataclasses take this
one over, named tuples take `_FORM`, pydantic's models keep theirs."""


_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
"""Without *args, **kwargs and positional-only ones, all may be given by name."""


class Envelope(NamedTuple):
    """The body of a job record, its arguments still as JSON values."""

    job: str
    id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def job_name(record: Record) -> str | None:
    """The job's name by its header, which saves a look into the body."""
    name = record.header(headers.JOB)
    return None if name is None else name.decode(errors="replace")


def open_envelope(record: Record) -> Envelope:
    """The body of a job record.

    Raises:
        UndecodableRecordError: it is none.
    """
    if record.value is None:
        raise UndecodableRecordError("a job record needs a value; this one is a tombstone")
    try:
        body = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise UndecodableRecordError(f"the value is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UndecodableRecordError("the value is no JSON object")
    name = body.get("job")
    name = job_name(record) if name is None else name
    args, kwargs, ident = body.get("args", []), body.get("kwargs", {}), body.get("id")
    if not isinstance(name, str) or not name:
        raise UndecodableRecordError('the value has no "job"')
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise UndecodableRecordError('"args" has to be an array and "kwargs" an object')
    return Envelope(name, str(ident) if ident is not None else record.id, args, kwargs)


class Signature:
    """A job's parameters: checks arguments, writes them as JSON and reads them back.

    Raises:
        ConfigurationError: a parameter has a type with no JSON form.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        self._plain = {parameter.kind for parameter in parameters} <= _BY_NAME
        self._defaults = {each.name: _default(each) for each in parameters if _is_optional(each)}
        hints = _type_hints(name, function)
        self._ambiguous = [each for each, hint in hints.items() if _is_ambiguous(hint)]
        fields = {
            parameter.name: _field_type(parameter, hints.get(parameter.name, Any))
            for parameter in parameters
        }
        try:
            shape: Any = TypedDict("Arguments", fields)  # type: ignore[misc]  # made at run time
            shape.__pydantic_config__ = _SHAPE  # type: ignore[attr-defined]
            schema = TypeAdapter(shape).core_schema
            # Not the adapter's own two: those take no notice of it where a type is used twice.
            self._validator = SchemaValidator(schema, _FORM)
            self._serializer = SchemaSerializer(schema, _FORM)
        except Exception as error:
            raise ConfigurationError(
                f"job {name!r} has a parameter that cannot be sent as JSON: "
                f"{str(error).splitlines()[0]}"
            ) from error

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the parameters."""
        return list(self._signature.parameters)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by parameter name, as they would be in a call.

        Raises:
            InvalidArgumentsError: one is missing, unknown, given twice, or of another type than
                annotated; names the parameter.
        """
        try:
            arguments = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArgumentsError(f"{self._name}{self._signature}: {error}") from None
        try:
            valid: dict[str, Any] = self._validator.validate_python(arguments, strict=True)
        except ValidationError as error:
            raise InvalidArgumentsError(
                f"{self._name}{self._signature}: {explain(error)}"
            ) from None
        return valid

    def with_defaults(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments and the defaults of those left out."""
        return {**self._defaults, **arguments}

    def encode(self, ident: str, arguments: dict[str, Any]) -> bytes:
        """The body of the record for bound arguments.

        Raises:
            InvalidArgumentsError: a value has no JSON form, or none that leads back to it.
        """
        try:
            kwargs = self._serializer.to_json(arguments)
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidArgumentsError(f"{self._name}: {error}") from None
        self._check_way_back(arguments, kwargs)
        return orjson.dumps(
            {
                "job": self._name,
                "id": ident,
                "args": [],
                "kwargs": orjson.Fragment(kwargs),
                "enqueued_at": datetime.now(UTC),
            }
        )

    def decode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by parameter name, as the annotations say, from their JSON values.

        Raises:
            UndecodableRecordError: they do not fit; names the parameter.
        """
        try:
            arguments = self._by_name(args, kwargs)
            valid: dict[str, Any] = self._validator.validate_json(orjson.dumps(arguments))
        except ValidationError as error:
            raise UndecodableRecordError(f"arguments of {self._name!r}: {explain(error)}") from None
        except (TypeError, ValueError, ArithmeticError) as error:  # of a constructor, or of `bind`
            raise UndecodableRecordError(f"arguments of {self._name!r}: {error}") from None
        return valid

    def _check_way_back(self, arguments: Mapping[str, Any], kwargs: bytes) -> None:
        """What a worker would not read, or would read as something else, is refused here, where
        somebody can still mend it.
        """
        try:
            back = self.decode((), orjson.loads(kwargs))
        except UndecodableRecordError as error:
            raise InvalidArgumentsError(f"no worker could read this from JSON: {error}") from None
        for name in self._ambiguous:
            if back.get(name) != arguments.get(name):
                raise InvalidArgumentsError(
                    f"{self._name}{self._signature}: {name}: this {type(arguments[name]).__name__} "
                    "would reach the worker as another value, since JSON cannot tell the members "
                    "of its union apart; annotate one type"
                )

    def call_arguments(self, arguments: Mapping[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Positional and keyword arguments for calling the function itself."""
        if self._plain:
            return (), dict(arguments)
        bound = inspect.BoundArguments(self._signature, dict(arguments))
        return bound.args, bound.kwargs

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """As sent by streamjobs itself, all are by name already, also `*args` and `**kwargs`."""
        if not args and kwargs.keys() <= self._signature.parameters.keys():
            return kwargs
        return self._signature.bind(*args, **kwargs).arguments


def _type_hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ConfigurationError(
            f"job {name!r}: its annotations cannot be evaluated: {error}. They are needed at run "
            "time, so import them outside of `if TYPE_CHECKING:`"
        ) from error
    hints.pop("return", None)
    return hints


def _is_ambiguous(hint: Any) -> bool:
    """Whether there is a choice of types in it, which JSON may not be able to tell apart."""
    members = get_args(hint)
    is_union = get_origin(hint) in (Union, UnionType)
    if is_union and sum(member is not NoneType for member in members) > 1:
        return True
    return any(map(_is_ambiguous, members))


def _is_optional(parameter: inspect.Parameter) -> bool:
    return (
        parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        or parameter.default is not inspect.Parameter.empty
    )


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return ()
    return {} if parameter.kind is inspect.Parameter.VAR_KEYWORD else parameter.default


def _field_type(parameter: inspect.Parameter, hint: Any) -> Any:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return NotRequired[tuple[hint, ...]]
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return NotRequired[dict[str, hint]]
    return NotRequired[hint] if parameter.default is not inspect.Parameter.empty else hint
