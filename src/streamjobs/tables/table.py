"""A topic as a table: what handlers and pipelines look up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from streamjobs.broker.quix.values import is_deserializer
from streamjobs.errors import ConfigurationError, TableNotReadError, UndecodableRecordError
from streamjobs.partitioning import key_bytes
from streamjobs.record import Record
from streamjobs.values import decoder_for

if TYPE_CHECKING:
    from streamjobs.pipelines.lookups import TableField, TableLookup

__all__ = ("Table",)

_MISSING: Final[Any] = object()


class Table:
    """The latest value of each key of a topic. Made by `App.table`; read from any thread.

    Each process of the app reads all partitions of the topic into its memory when it starts, before
    it handles a record, and follows them while it runs. A record without a value (a tombstone)
    deletes its key, one without a key is passed over. As with the GlobalKTable of Kafka Streams:

    - At the first record that is handled, the table has all that was in the topic when the process
      started.
    - What is written later shows up soon, and nobody says when: a record that is handled may see an
      older or a newer value than the one that was there when it was written, two processes may see
      different ones, and a record that is run again may see another one than the first time.
    - It is no state: nothing of it is changelogged, and a restart reads it anew.

    A key is bytes, or anything that `str` makes one of. Each read decodes the value, so that what
    is returned may be changed. An entry takes about 120 bytes of memory, beside those of its key
    and value. Partitions that are added to the topic are followed after a restart.

    Worker processes (`process=True`) have none: pass what they need as arguments, or let a stream
    handler on threads look it up.

    Example:
        >>> carriers = app.table("carriers")                               # doctest: +SKIP
        >>> @app.stream("flights")                                         # doctest: +SKIP
        ... def name(flight):
        ...     return flight | {"carrier": carriers.get(flight["carrier"], {}).get("name")}
    """

    def __init__(self, topic: str, value: Any = "json") -> None:
        if not topic:
            raise ConfigurationError("a table needs the name of its topic")
        if is_deserializer(value):
            raise ConfigurationError(
                f"table {topic!r}: a Quix deserializer may find several values in a record, and a "
                'table has one; take value="bytes" and read them where they are looked up'
            )
        self.topic = topic
        self.value = value
        self._decode = decoder_for(value, topic)
        self._entries: dict[bytes, bytes] | None = None

    # -- what it shows -----------------------------------------------------------------------

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key; `default` where it has none.

        Raises:
            TableNotReadError: this process does not read it.
            UndecodableRecordError: the value is not what `app.table(value=...)` says.
        """
        raw = self._rows.get(_key(key))
        return default if raw is None else self._decoded(key, raw)

    def __getitem__(self, key: Any) -> Any:
        found = self.get(key, _MISSING)
        if found is _MISSING:
            raise KeyError(key)
        return found

    def __contains__(self, key: Any) -> bool:
        return _key(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[bytes]:
        """The keys there are now."""
        return iter(list(self._rows))

    def __bool__(self) -> bool:
        """A table is something, even while it is empty."""
        return True

    def __repr__(self) -> str:
        return f"<Table {self.topic}>"

    # -- for `sdf.join_lookup` ---------------------------------------------------------------

    def lookup(self) -> TableLookup:
        """For `sdf.join_lookup(table.lookup(), {column: table.field(...)}, on=...)`."""
        from streamjobs.pipelines.lookups import TableLookup

        return TableLookup(self)

    def field(self, name: str | None = None, default: Any = None) -> TableField:
        """What a column of `join_lookup` gets.

        Args:
            name: of a field of the table's value; None for all of it.
            default: where the table has no such key, or its value no such field.
        """
        from streamjobs.pipelines.lookups import TableField

        return TableField(name, default)

    # -- for who reads the topic -------------------------------------------------------------

    def open(self) -> None:
        """It is read from now on, and empty."""
        self._entries = {}

    def take(self, records: Sequence[Record]) -> None:
        """The next records of one partition."""
        entries = self._rows
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                entries.pop(record.key, None)
            else:
                entries[record.key] = record.value

    def close(self) -> None:
        """Nobody reads it any more."""
        self._entries = None

    @property
    def _rows(self) -> dict[bytes, bytes]:
        if self._entries is None:
            raise TableNotReadError(
                f"table {self.topic!r} is not read here: a process reads it while it runs the app, "
                "and worker processes (process=True) do not. Look it up in a handler that runs on "
                "threads, and pass on what it found"
            )
        return self._entries

    def _decoded(self, key: Any, raw: bytes) -> Any:
        try:
            return self._decode(Record(self.topic, -1, -1, _key(key), raw))
        except UndecodableRecordError as error:
            raise UndecodableRecordError(f"table {self.topic!r}, key {key!r}: {error}") from error


def _key(key: Any) -> bytes:
    found = key_bytes(key)
    return b"" if found is None else found
