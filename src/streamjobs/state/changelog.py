"""Changelogs: the topic that has every change of a store, in the form that Quix writes and reads.

A record's key and value are the store's own; None deletes. One header names the column family.
Quix adds a second with the offsets that were processed, to leave out what was never committed.
Here changes and progress commit in one transaction: there is nothing to leave out, and Quix takes
a record without that header as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from streamjobs.broker.ports import Message
from streamjobs.errors import ConfigurationError
from streamjobs.record import Header, Record
from streamjobs.state.errors import StateForeignError, StateTooLargeError

__all__ = (
    "COLUMN_FAMILY",
    "DEFAULT_STORE",
    "OVERHEAD",
    "Changes",
    "changelog_topic",
    "changes_of",
    "check_name",
    "check_size",
    "messages",
)

Changes = Mapping[bytes, bytes | None]
"""New values by key; None deletes."""

DEFAULT_STORE: Final = "default"
"""The name of the store that `state=True` declares; Quix's default as well."""

COLUMN_FAMILY: Final = "__column_family__"
_TTL_STAMPED: Final = "__ttl_stamped__"
_DEFAULT_FAMILY: Final = b"default"
_HEADERS: Final[Sequence[Header]] = ((COLUMN_FAMILY, _DEFAULT_FAMILY),)

_LONGEST_TOPIC: Final = 249
_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+")

OVERHEAD: Final = 512
"""Bytes allowed for the header and the record's frame, as `ctx.emit` does."""


def changelog_topic(group: str, topic: str, store: str) -> str:
    """The topic that has the changes of this store.

    Raises:
        ConfigurationError: no topic can have that name.
    """
    for what, name in (("the app", group), ("the topic", topic), ("the store", store)):
        check_name(what, name)
    # What Quix makes inside of a group names the group already: once is enough.
    inner = f"__{group}"
    if f"{inner}--" in topic:
        topic = topic.replace(inner, "").replace("--", ".")
    name = f"changelog__{group}--{topic}--{store}"
    if len(name) > _LONGEST_TOPIC:
        raise ConfigurationError(
            f"the changelog would be called {name!r}, and a topic's name has at most "
            f"{_LONGEST_TOPIC} characters: shorten the app's name or the store's"
        )
    return name


def check_name(what: str, name: str) -> None:
    """Refuse a name that can stand neither in a topic's name nor in a path.

    Raises:
        ConfigurationError: says which characters it takes.
    """
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise ConfigurationError(
            f"{what} is called {name!r}; with state it takes letters, digits and . _ -"
        )


def messages(topic: str, partition: int, changes: Changes) -> Iterable[Message]:
    """The changelog records of these changes, for this partition of the changelog topic."""
    for key, value in changes.items():
        yield Message(topic, value, key, _HEADERS, partition)


def changes_of(records: Iterable[Record]) -> dict[bytes, bytes | None]:
    """What these changelog records change together: a key's last one counts.

    Raises:
        StateForeignError: one is of another kind of store.
    """
    changes: dict[bytes, bytes | None] = {}
    for record in records:
        if record.header(COLUMN_FAMILY) != _DEFAULT_FAMILY or record.key is None:
            raise StateForeignError(
                f"{record.id} is no change of a store of ctx.state: its column family is "
                f"{record.header(COLUMN_FAMILY)!r}, its key {record.key!r}. Does a pipeline, or "
                "another program, use a store of the same name? Give one of them another name"
            )
        if record.header(_TTL_STAMPED):
            raise StateForeignError(
                f"{record.id} was written with Quix's own ttl, whose clock is the partition's: "
                "ctx.state cannot read it. Give the store of ctx.state another name"
            )
        changes[record.key] = record.value
    return changes


def check_size(key: bytes, value: bytes, max_message_bytes: int) -> None:
    """Refuse a value that its changelog record could not carry.

    Raises:
        StateTooLargeError: says how large it is, and what to set.
    """
    size = len(key) + len(value) + OVERHEAD
    if size > max_message_bytes:
        raise StateTooLargeError(
            f"a state value of {size:,} bytes is larger than its changelog record may be "
            f"({max_message_bytes:,}): raise message.max.bytes in producer_config and "
            "max.message.bytes of the changelog topic, or keep it under several names"
        )
