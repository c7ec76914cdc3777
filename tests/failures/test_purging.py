"""Giving dead letters up, and what can be removed then."""

import pytest

from streamjobs.failures import purging
from streamjobs.failures.sender import Sender
from tests.support.letters import PLACE, PostOffice


@pytest.fixture
def post() -> PostOffice:
    return PostOffice()


def purge(post: PostOffice, *offsets: int) -> dict[tuple[str, int], int]:
    """Purge these letters; returns what can be removed."""
    with post.opened() as (box, _):
        purging.purge(box, Sender(post.broker, {}), {PLACE: offsets})
        return dict(purging.removable(box))


def test_a_purged_letter_is_closed(post: PostOffice) -> None:
    first, second = post.bury(), post.bury()
    purge(post, 1)

    assert post.states() == {first: "open", second: "purged"}


def test_many_letters_are_purged_in_several_marks(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)
    for _ in range(5):
        post.bury()
    purge(post, *range(5))

    assert set(post.states().values()) == {"purged"}
    assert post.cluster.log(*PLACE).end == 5 + 3


def test_what_begins_a_partition_can_be_removed_up_to_an_open_letter(post: PostOffice) -> None:
    for _ in range(3):
        post.bury()
    assert purge(post, 0, 2) == {PLACE: 1}


def test_the_marks_can_be_removed_with_the_last_letter(post: PostOffice) -> None:
    post.bury()
    assert purge(post, 0) == {PLACE: 2}


def test_where_the_first_letter_is_open_nothing_can_be_removed(post: PostOffice) -> None:
    post.bury()
    post.bury()
    assert purge(post, 1) == {}


def test_what_was_removed_already_is_not_removed_again(post: PostOffice) -> None:
    post.bury()
    post.bury()
    post.cluster.truncate(*PLACE, 1)
    with post.opened() as (box, _):
        assert purging.removable(box) == {}
