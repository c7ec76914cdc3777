"""From the command line to stores: what all `state` commands begin with."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import typer

from streamjobs import logs
from streamjobs.app import App
from streamjobs.cli.loading import load
from streamjobs.errors import ConfigurationError
from streamjobs.state.memory import MemoryStores
from streamjobs.state.store import Seen, StoreId, Stores

__all__ = ("Choice", "Shelf", "confirm", "counted", "name_of", "opened")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which stores are meant; None takes all.

    Attributes:
        topic, store: patterns.
        partitions: numbers.
    """

    topic: str | None = None
    partitions: Collection[int] | None = None
    store: str | None = None

    def takes(self, store: StoreId) -> bool:
        """Whether this one is meant."""
        return (
            fnmatchcase(store.topic, self.topic or "*")
            and fnmatchcase(store.store, self.store or "*")
            and (not self.partitions or store.partition in self.partitions)
        )


class Shelf(NamedTuple):
    """An app and what this machine has of its state."""

    app: App
    stores: Stores

    @property
    def changelogs(self) -> Mapping[str, Mapping[str, str]]:
        """For each topic with state: the changelogs of its stores, by their names."""
        group = self.app.name
        return {
            topic.name: changelogs
            for topic in self.app.topics.values()
            if (changelogs := topic.changelogs(group))
        }

    def declares(self, store: StoreId) -> bool:
        """Whether a handler of the app has this store now."""
        return store.store in self.changelogs.get(store.topic, {})

    def chosen(self, choice: Choice) -> dict[StoreId, Seen]:
        """The stores that are meant, and what can be seen of them."""
        looks = {store: self.stores.look(store) for store in self.stores.found()}
        return {store: seen for store, seen in looks.items() if seen and choice.takes(store)}


@contextmanager
def opened(name: str, broker: str | None = None) -> Iterator[Shelf]:
    """The stores of an app in its `state_dir`.

    Raises:
        StreamjobsError: there is no such app, or its directory cannot be read.
    """
    logs.configure(None, verbose=False)
    app = load(name)
    app.override(broker=broker)
    try:
        yield Shelf(app, _stores(app))
    finally:
        app.close()


def _stores(app: App) -> Stores:
    directory = Path(app.settings.state_dir)
    if not (directory / app.name).is_dir():
        return MemoryStores(app.name)  # who only looks makes no directories
    from streamjobs.state.rocks import RocksStores

    return RocksStores(directory, app.name)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless the answer is given already.

    Raises:
        ConfigurationError: there is nobody to ask.
        Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} There is no terminal to ask on: say --yes")
    typer.confirm(question, abort=True, err=True)


def counted(stores: Iterable[object]) -> str:
    """How many, in words."""
    number = len(list(stores))
    return "1 store" if number == 1 else f"{number:,} stores"


def name_of(store: StoreId) -> str:
    """As it stands in the list, in one word."""
    return f"{store.topic}/{store.partition}/{store.store}"
