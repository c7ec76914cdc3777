"""The pytest plugin: fixtures for apps in memory. Installed with `streamjobs[testing]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from streamjobs.app import App
    from streamjobs.testing.driver import TestDriver
    from streamjobs.testing.simulation import Report

__all__ = ("simulate_app", "streamjobs_driver")


@pytest.fixture
def streamjobs_driver() -> Iterator[Callable[..., TestDriver]]:
    """Makes a `TestDriver` for an app (with its options), closed when the test ends."""
    from streamjobs.testing.driver import TestDriver

    with ExitStack() as stack:
        yield lambda app, **options: stack.enter_context(TestDriver(app, **options))


@pytest.fixture
def simulate_app() -> Callable[..., Report]:
    """`streamjobs.testing.simulate`: an app through seeds and faults."""
    from streamjobs.testing.simulation import simulate

    def run(app: App, **options: Any) -> Report:
        return simulate(app, **options)

    return run
