"""`ctx.checkpoint`: a long job goes on where it had got to, wherever it is run next."""

import pytest

from streamjobs import App, AttemptInterruptedError, current_context
from streamjobs.context import Context
from streamjobs.testing import TestDriver
from tests.support.engine import Office, cluster_with, die


def context_of(office: Office) -> Context:
    """Of the attempt that runs."""
    [piece] = office.hands.slices
    return Context(piece, 0)


def test_without_a_checkpoint_there_is_no_cursor() -> None:
    office = Office(cluster_with(1))
    office.turn()
    assert context_of(office).cursor is None


def test_a_cursor_survives_the_death_of_its_process() -> None:
    cluster = cluster_with(1)
    first = Office(cluster, "a")
    first.turn()
    context_of(first).checkpoint({"page": 3})
    context_of(first).checkpoint({"page": 4})
    first.turn()
    die(cluster, "a")

    second = Office(cluster, "b")
    second.turn(6)

    assert context_of(second).cursor == {"page": 4}


def test_a_cursor_goes_along_when_its_partition_is_given_up() -> None:
    cluster = cluster_with(1)
    first = Office(cluster, "a")
    first.turn()
    piece, context = first.hands.slices[0], context_of(first)
    first.owner.stop()
    with pytest.raises(AttemptInterruptedError, match="the app stops"):
        context.checkpoint(7)
    assert piece.generation.cursors.get(0) == b"7"
    first.owner.close()

    second = Office(cluster, "b")
    second.turn(6)

    assert context_of(second).cursor == 7


def test_an_interrupted_attempt_does_not_count() -> None:
    cluster = cluster_with(1)
    first = Office(cluster, "a")
    first.turn()
    first.owner.stop()
    first.hands.finish(failing={0: AttemptInterruptedError()})
    first.turn()
    assert first.told.failed_offsets == []
    first.owner.close()

    second = Office(cluster, "b")
    second.turn(6)

    assert context_of(second).attempt == 1


def test_the_cursor_of_a_record_that_is_over_is_removed() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    context_of(office).checkpoint(1)
    office.turn()
    office.hands.finish()
    office.turn(6)
    written = cluster.log("cursors", 0).records
    assert [(each.key, each.value) for each in written] == [(b"in/0/0", b"1"), (b"in/0/0", None)]


def test_cursors_of_other_records_and_topics_are_not_mistaken() -> None:
    cluster = cluster_with(2, [b"k"])
    first = Office(cluster, "a")
    first.turn()
    context_of(first).checkpoint("mine")
    first.turn()
    die(cluster, "a")

    second = Office(cluster, "b")
    second.turn(6)
    second.hands.finish()
    second.turn(6)

    assert context_of(second).record.offset == 1
    assert context_of(second).cursor is None


def test_a_retry_goes_on_at_the_cursor() -> None:
    app, pages = App("pages"), []

    @app.job(topic="books", key="title")
    def read(title: str) -> None:
        ctx = current_context()
        for page in range(ctx.cursor or 0, 5):
            if page == 3 and ctx.attempt == 1:
                raise ConnectionError
            pages.append(page)
            ctx.checkpoint(page + 1)

    with TestDriver(app, on_error="retry") as driver:
        read.enqueue("Kafka on the Shore")
        driver.run_until_idle()

    assert pages == [0, 1, 2, 3, 4]


def test_none_is_no_cursor() -> None:
    office = Office(cluster_with(1))
    office.turn()
    with pytest.raises(TypeError, match="stands for the beginning"):
        context_of(office).checkpoint(None)
