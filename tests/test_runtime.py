"""Observers of a process at work."""

import dataclasses

from streamjobs.engine.effects import Effects
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.runtime import Runtime
from tests.support.apps import Stage


class Onlooker(Observer):
    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def after_assign(self, generation: Generation) -> None:
        self.seen.append(f"{self.name} assigned")

    def observe(self, route: Route) -> Route:
        def invoke(piece: Slice, index: int) -> Effects | None:
            self.seen.append(f"{self.name} before")
            return route.invoke(piece, index)  # type: ignore[return-value]

        return dataclasses.replace(route, invoke=invoke)


def test_observers_are_told_and_stand_around_each_attempt_the_first_one_outermost() -> None:
    seen: list[str] = []
    with Stage({"t": 1}) as stage:

        @stage.app.stream("t", value="bytes")
        def handle(value: bytes) -> None:
            seen.append("attempt")

        stage.write("t", b"v")
        observers = [Onlooker("outer", seen), Onlooker("inner", seen)]
        Runtime(stage.app, observers=observers).run(until_idle=True)
    assert seen == ["outer assigned", "inner assigned", "outer before", "inner before", "attempt"]
