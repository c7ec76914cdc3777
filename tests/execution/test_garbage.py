"""What ran leaves nothing behind for Python's cycle collector, whose pauses stop the owner."""

import gc
from collections.abc import Iterator

import pytest

from streamjobs import Context, Retry
from tests.support.apps import Stage

RECORDS = 2_000


@pytest.fixture
def collected_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left_over(stage: Stage) -> float:
    """How many objects a record leaves, after a run, that only the collector finds. A thread that
    is about to let go of something then may add to that: so the best of three runs.
    """

    def once() -> float:
        for number in range(RECORDS):
            stage.write("visits", b"{}", b"k%d" % number)
        gc.collect()
        stage.work()
        return gc.collect() / RECORDS

    return min(once() for _ in range(3))


@pytest.mark.usefixtures("collected_by_hand")
@pytest.mark.parametrize("inline", [True, False])
def test_a_record_that_succeeds_leaves_no_cycle(inline: bool) -> None:
    with Stage({"visits": 1, "counts": 1}) as stage:

        @stage.app.stream("visits", to="counts", inline=inline)
        def count(visit: dict, ctx: Context) -> dict:
            return visit

        assert left_over(stage) < 1


@pytest.mark.usefixtures("collected_by_hand")
def test_a_record_of_a_coroutine_leaves_no_cycle() -> None:
    with Stage({"visits": 1}) as stage:

        @stage.app.stream("visits")
        async def count(visit: dict, ctx: Context) -> None:
            return None

        assert left_over(stage) < 1


@pytest.mark.usefixtures("collected_by_hand")
def test_a_record_that_fails_leaves_no_cycle() -> None:
    with Stage({"visits": 1}, retry=Retry(attempts=1), on_failure="discard") as stage:

        @stage.app.stream("visits")
        def fail(visit: dict, ctx: Context) -> None:
            raise ValueError("as always")

        assert left_over(stage) < 1
