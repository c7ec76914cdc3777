"""Aggregates per key that no window bounds: a running count, a sum, the latest of something."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from streamjobs.errors import PipelineError

if TYPE_CHECKING:
    from quixstreams.dataframe import StreamingDataFrame

    from streamjobs.pipelines.host import Host

__all__ = ("AGGREGATE", "aggregate", "count", "reduce")

AGGREGATE: Final = "aggregate"
"""What the one entry of a key is called in the store."""

Update = Callable[[Any, Any], Any]
"""Makes a new aggregate of the one before and a value."""


def count(sdf: StreamingDataFrame, name: str = "count") -> StreamingDataFrame:
    """How many values each key has had: goes on with the new number for each of them.

    Args:
        sdf: whose values; `group_by` before it, to count by something else than the record's key.
        name: of its store. Two on one dataframe need two names; who renames one begins at zero.

    Raises:
        PipelineError: it cannot stand here; says why.

    Example:
        >>> @app.pipeline("visits")                                        # doctest: +SKIP
        ... def visits(sdf):
        ...     count(sdf).to_topic(app.topic("visits-by-page"))
    """
    return aggregate(sdf, int, lambda counted, _: counted + 1, name)


def reduce(
    sdf: StreamingDataFrame,
    reducer: Update,
    initializer: Callable[[Any], Any] | None = None,
    name: str = "reduce",
) -> StreamingDataFrame:
    """Combine the values of each key: goes on with the new aggregate for each of them.

    Args:
        sdf: whose values.
        reducer: makes the new aggregate of (aggregate, value).
        initializer: makes the first aggregate of the first value; without it that value is it.
        name: of its store, as for `count`.

    Raises:
        PipelineError: it cannot stand here; says why.

    Example:
        >>> highest = reduce(sdf.apply(lambda order: order["price"]), max)   # doctest: +SKIP
    """
    begin = initializer or _itself

    def update(before: Any, value: Any) -> Any:
        return begin(value) if before is None else reducer(before, value)

    return _aggregated(sdf, update, name)


def aggregate(
    sdf: StreamingDataFrame,
    initializer: Callable[[], Any],
    aggregator: Update,
    name: str = "aggregate",
) -> StreamingDataFrame:
    """Take the values of each key into an aggregate: goes on with the new one for each of them.

    An aggregate is what JSON can hold, and one that is None is none: the key has no entry any more,
    None goes on, and the next value begins anew. Values that are None (tombstones) are passed over,
    as Kafka Streams does it: they change nothing, and nothing goes on.

    A record without a key fails with a `StateNeedsKeyError`, which its retry and dead letter are
    about: filter such records out before, or give them one by `group_by`.

    Args:
        sdf: whose values.
        initializer: makes the aggregate of a key that has none: `int`, `list`, `lambda: {...}`.
        aggregator: makes the new aggregate of (aggregate, value).
        name: of its store, as for `count`.

    Raises:
        PipelineError: it cannot stand here; says why.

    Example:
        >>> baskets = aggregate(sdf, list, lambda items, item: [*items, item])   # doctest: +SKIP
    """

    def update(before: Any, value: Any) -> Any:
        return aggregator(initializer() if before is None else before, value)

    return _aggregated(sdf, update, name)


def _aggregated(sdf: StreamingDataFrame, update: Update, name: str) -> StreamingDataFrame:
    context = getattr(sdf, "processing_context", None)
    host: Host = getattr(context, "producer", None)  # type: ignore[assignment]
    if not hasattr(host, "register_aggregates"):
        raise PipelineError(
            f"{name!r}: an aggregate per key takes the dataframe of a function with @app.pipeline, "
            f"not a {type(sdf).__name__}; in place of a column (sdf[...]) give it "
            "sdf.apply(lambda value: value[...])"
        )
    frame = sdf.filter(_is_something)
    host.register_aggregates(frame.stream_id, name)

    def updated(value: Any, key: Any, _timestamp: int, _headers: Any) -> Any:
        state = host.get_store_transaction(frame.stream_id, 0, name).as_state(key)
        after = update(state.get(AGGREGATE), value)
        if after is None:
            state.delete(AGGREGATE)
        else:
            state.set(AGGREGATE, after)
        return after

    return frame.apply(updated, metadata=True)


def _is_something(value: Any) -> bool:
    return value is not None


def _itself(value: Any) -> Any:
    return value
