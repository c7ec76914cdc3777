"""What becomes of replays that were interrupted."""

from functools import partial

import pytest

from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.failures.letters import read_letter
from streamjobs.failures.marks import Intent, Replayed
from streamjobs.failures.resend import resend
from streamjobs.failures.settle import ReplayRunningError
from tests.support.letters import PLACE, SOURCE, PostOffice

TARGET = TopicPartition(SOURCE, 0)


@pytest.fixture
def post() -> PostOffice:
    """Three letters, and another record at the source."""
    post = PostOffice()
    for _ in range(3):
        post.bury()
    return post


def begin(post: PostOffice, *offsets: int, replay: str = "r1") -> None:
    """A replay is about to send these letters."""
    end = post.cluster.log(*TARGET).end
    post.mark(Intent(replay, offsets, {TARGET: end}))


def send(post: PostOffice, offset: int, replay: str = "r1") -> None:
    """And sends this one."""
    letter = read_letter(post.cluster.log(*PLACE).records[offset])
    post.cluster.append(resend(letter, replay, {SOURCE: 1}))


def test_without_an_interruption_nothing_is_waited_for_or_written(post: PostOffice) -> None:
    end = post.cluster.log(*PLACE).end
    settled = post.settle(meanwhile=partial(pytest.fail, "it waited"))

    assert (settled.found, settled.reopened) == (0, 0)
    assert post.cluster.log(*PLACE).end == end


def test_what_had_arrived_counts_as_replayed_and_the_rest_is_open_again(post: PostOffice) -> None:
    begin(post, 0, 1)
    send(post, 0)
    settled = post.settle()

    assert (settled.found, settled.reopened) == (1, 1)
    assert list(post.states().values()) == ["replayed", "open", "open"]


def test_what_was_sent_before_the_replay_began_is_not_looked_at(post: PostOffice) -> None:
    send(post, 0)
    begin(post, 0)

    assert post.settle().found == 0


def test_a_record_among_others_is_found(post: PostOffice) -> None:
    begin(post, 0, 1, 2)
    for offset in (2, 1):
        post.cluster.append(resend_of_another_topic())
        post.cluster.skip(*TARGET)
        send(post, offset)
    post.cluster.skip(*TARGET)

    assert post.settle().found == 2
    assert list(post.states().values()) == ["open", "replayed", "replayed"]


def resend_of_another_topic() -> Message:
    other = PostOffice({"other": 1})
    other.bury(topic="other")
    letter = read_letter(other.cluster.log("other.dead", 0).records[0])
    return resend(letter, "r1", {"other": 1})._replace(topic=SOURCE)


def test_what_arrives_while_we_wait_is_of_a_replay_at_work(post: PostOffice) -> None:
    begin(post, 0, 1)
    send(post, 0)
    with pytest.raises(ReplayRunningError, match="another replay or purge is at work"):
        post.settle(meanwhile=lambda: send(post, 1))


def test_a_replay_that_goes_on_while_we_wait_is_at_work(post: PostOffice) -> None:
    begin(post, 0)
    send(post, 0)

    def go_on() -> None:
        post.mark(Replayed("r1", [0]))
        begin(post, 1)

    with pytest.raises(ReplayRunningError):
        post.settle(meanwhile=go_on)
    assert list(post.states().values()) == ["replayed", "replaying", "open"]


def test_several_interrupted_replays_are_settled(post: PostOffice) -> None:
    begin(post, 0, replay="r1")
    begin(post, 1, replay="r2")
    send(post, 1, replay="r2")
    settled = post.settle()

    assert (settled.found, settled.reopened) == (1, 1)
    assert list(post.states().values()) == ["open", "replayed", "open"]


def test_a_target_that_is_gone_has_nothing(post: PostOffice) -> None:
    post.mark(Intent("r1", [0], {TopicPartition("gone", 0): 7, TopicPartition(SOURCE, 9): 7}))

    assert post.settle().reopened == 1


def test_where_the_log_was_cut_meanwhile_nobody_can_be_sure(post: PostOffice) -> None:
    begin(post, 0)
    send(post, 1)
    post.cluster.truncate(*TARGET, 1)

    assert post.settle().unsure == {TARGET}


def test_where_all_is_found_it_does_not_matter_that_the_log_was_cut(post: PostOffice) -> None:
    begin(post, 0)
    send(post, 1)
    send(post, 0)
    post.cluster.truncate(*TARGET, 1)

    assert post.settle().unsure == set()
