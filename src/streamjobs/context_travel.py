"""Context variables that travel from who enqueues to who handles; and the trace."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token, copy_context
from typing import Any

import orjson

from streamjobs import headers
from streamjobs.broker.ports import Message
from streamjobs.context import Context
from streamjobs.engine.slices import RUNNING
from streamjobs.errors import ConfigurationError, InvalidArgumentsError
from streamjobs.middleware import Middleware

__all__ = ("ContextTravel",)

_NOTE = "streamjobs.context_travel"


class ContextTravel(Middleware):
    """Writes the values of context variables into a header of what is enqueued, and sets them while
    its handler runs. They are reset after, so that the next job does not see them.

    The W3C `traceparent` travels as well: from the OpenTelemetry span that is current where
    `enqueue` is called (if the program uses OpenTelemetry), else from the record whose handler
    calls it. Spans that a handler starts become children of it, if OpenTelemetry was imported
    before the app was made.

    Args:
        variables: which; their values have to have a JSON form.

    Raises:
        ConfigurationError: two of them have the same name.
    """

    def __init__(self, variables: Sequence[ContextVar[Any]] = ()) -> None:
        for each in variables:
            if not isinstance(each, ContextVar):
                raise ConfigurationError(f"App(context=...) takes context variables, not {each!r}")
        self._variables: Mapping[str, ContextVar[Any]] = {each.name: each for each in variables}
        if len(self._variables) < len(variables):
            raise ConfigurationError("App(context=...): two context variables have the same name")

    @property
    def stands_around_attempts(self) -> bool:
        return bool(self._variables) or "opentelemetry.propagate" in sys.modules

    def before_enqueue(self, message: Message) -> Message:
        added = []
        current = copy_context()
        values = {
            name: current[variable]
            for name, variable in self._variables.items()
            if variable in current
        }
        if values:
            added.append((headers.CONTEXT, _as_json(values)))
        trace = _traceparent()
        if trace is not None:
            added.append((headers.TRACEPARENT, trace))
        return message._replace(headers=[*message.headers, *added]) if added else message

    def before_attempt(self, ctx: Context) -> None:
        entered: list[tuple[ContextVar[Any], Token[Any]]] = []
        carried = ctx.record.header(headers.CONTEXT) if self._variables else None
        values = _from_json(carried)
        for name, variable in self._variables.items():
            if name in values:
                entered.append((variable, variable.set(values[name])))
        ctx.notes[_NOTE] = entered, _attach_trace(ctx)

    def after_attempt(self, ctx: Context, error: BaseException | None) -> None:
        entered, trace = ctx.notes.pop(_NOTE)
        for variable, token in entered:
            variable.reset(token)
        if trace is not None:
            sys.modules["opentelemetry.context"].detach(trace)


def _as_json(values: Mapping[str, Any]) -> bytes:
    for name, value in values.items():
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise InvalidArgumentsError(
                f"context variable {name!r} cannot travel: {error}"
            ) from None
    return orjson.dumps(values)


def _from_json(carried: bytes | None) -> Mapping[str, Any]:
    """What some other program wrote there is ignored: it is not what the record is about."""
    try:
        values = orjson.loads(carried or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}


def _traceparent() -> bytes | None:
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is not None:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        if "traceparent" in carrier:
            return carrier["traceparent"].encode()
    piece = RUNNING.get()
    return None if piece is None else piece.records[piece.current].header(headers.TRACEPARENT)


def _attach_trace(ctx: Context) -> Any:
    """Make the record's trace current, in programs that use OpenTelemetry."""
    propagate = sys.modules.get("opentelemetry.propagate")
    carried = ctx.record.header(headers.TRACEPARENT)
    if propagate is None or carried is None:
        return None
    remote = propagate.extract({"traceparent": carried.decode(errors="replace")})
    return sys.modules["opentelemetry.context"].attach(remote)
