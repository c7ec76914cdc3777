"""Each key has its own time: how far other keys ran ahead closes none of its windows."""

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamjobs import App
from tests.support.pipelines_programs import WINDOWS
from tests.support.pipelines_reference import Reference, Written
from tests.support.pipelines_runs import Results, app_for, by_key, play, records

KINDS = ("tumbling_all", "tumbling_grace", "hopping_final", "sliding_final", "session_final")

ERAS = (100, 1_000, 1_000_000)


@pytest.fixture(scope="module", params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a window."""
    return str(request.param)


@pytest.fixture(scope="module")
def quix(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    reference = Reference(WINDOWS[name], tmp_path_factory.mktemp(name))
    yield reference
    reference.close()


@cache
def app(name: str, count: int) -> App:
    return app_for(WINDOWS[name], count)


@settings(max_examples=max(10, settings().max_examples // 7))
@given(records=records(starts=ERAS), count=st.sampled_from((1, 8, 64)))
def test_a_key_has_the_windows_that_it_would_have_alone(
    name: str, quix: Reference, records: list[Written], count: int
) -> None:
    alone: Results = {}
    for key in {record.key for record in records}:
        alone |= by_key(quix.run([record for record in records if record.key == key]))

    assert by_key(play(app(name, count), records)) == alone
