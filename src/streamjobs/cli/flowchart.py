"""A description as a Mermaid flowchart, which GitHub, GitLab and editors draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamjobs.description import AppDescription, Handler, Store, TopicDescription

__all__ = ("flowchart",)

SINK: Final = '>"sink {}"]'
"""The shape of a sink's box: a flag."""

_CLASSES: Final = (
    "classDef topic fill:#eef6ff,stroke:#4a90d9,color:#123",
    "classDef store fill:#fff8e1,stroke:#c79a00,color:#321",
    "classDef dead fill:#fdecea,stroke:#c0392b,color:#311",
)


def flowchart(description: AppDescription) -> str:
    """The text of the flowchart: topics are rounded, handlers square, stores drums."""
    return "\n".join(["flowchart LR", *(f"    {line}" for line in _Drawing(description).lines())])


class _Drawing:
    """Gives every box a name that no text of a user can break."""

    def __init__(self, description: AppDescription) -> None:
        self._topics = description.topics
        self._tables = description.tables
        self._boxes: dict[tuple[str, str], str] = {}
        self._lines: dict[str, None] = {}  # once each: topics that are joined share boxes

    def lines(self) -> Iterator[str]:
        for topic in self._topics:
            self._topic(topic.name, "made by group_by" if topic.repartition else "")
        for table in self._tables:
            self._topic(table, "table")
        for topic in self._topics:
            self._handled(topic)
        yield from self._lines
        yield from _CLASSES

    def _handled(self, topic: TopicDescription) -> None:
        start = self._topic(topic.name)
        before, into = start, f'-- "{_split(topic)}" -->'
        for handler in topic.handlers:
            box = self._handler(topic, handler)
            self._line(f"{before} {into} {box}")
            for name in handler.writes:
                self._line(f"{box} --> {self._topic(name)}")
            for table in handler.tables:
                self._line(f'{self._topic(table)} -. "looked up" .-> {box}')
            for sink in handler.sinks:
                self._line(f"{box} --> {self._box(f'sink of {box}', sink, SINK)}")
            for store in topic.stores:
                if store.name in handler.stores:
                    self._line(f"{box} --- {self._store(store)}")
            if handler.kind == "stream":
                before, into = box, "-->"  # a pipeline behind it takes what it returns
        dead = self._box("topic", topic.dead_letter, '(["{}"]):::dead')
        self._line(f'{start} -. "given up" .-> {dead}')

    def _topic(self, name: str, more: str = "") -> str:
        return self._box("topic", name, '(["{}"]):::topic', _lines_of(name, more))

    def _handler(self, topic: TopicDescription, handler: Handler) -> str:
        home = min([topic.name, *topic.together])  # one box for topics that are joined
        what = _lines_of(handler.name, _how(handler))
        return self._box(f"{handler.kind} on {home}", handler.name, '["{}"]', what)

    def _store(self, store: Store) -> str:
        return self._box("store", store.changelog, '[("{}")]:::store', _quoted(store.name))

    def _box(self, kind: str, name: str, shape: str, text: str | None = None) -> str:
        """The name of a box, which is drawn when it is first asked for."""
        if (kind, name) not in self._boxes:
            box = self._boxes[kind, name] = f"n{len(self._boxes)}"
            self._line(box + shape.format(_quoted(name) if text is None else text))
        return self._boxes[kind, name]

    def _line(self, text: str) -> None:
        self._lines[text] = None


def _how(handler: Handler) -> str:
    if handler.parallel is None:
        return f"{handler.kind}, {handler.runs}"
    return f"{handler.kind}, parallel: {handler.parallel.name} ({handler.parallel.runs})"


def _split(topic: TopicDescription) -> str:
    count = topic.virtual_partitions.count
    return f"{count} virtual partition" + ("s" if count > 1 else "")


def _lines_of(*texts: str) -> str:
    return "<br/>".join(_quoted(each) for each in texts if each)


def _quoted(text: str) -> str:
    """Mermaid writes what would end a label, or be taken for HTML, as `#number;`."""
    return "".join(f"#{ord(each)};" if each in '#"<>&`' else each for each in text)
