"""Reading dead-letter topics."""

import pytest

from streamjobs import App, DeadLetter
from streamjobs.broker.ports import TopicPartition
from streamjobs.errors import BrokerUnavailableError
from streamjobs.failures import letterbox, reading
from streamjobs.failures.letterbox import Letterbox, dead_letter_topics
from streamjobs.failures.marks import Purged
from tests.support.letters import DEAD, PLACE, SOURCE, PostOffice


@pytest.fixture
def post() -> PostOffice:
    return PostOffice({SOURCE: 2})


def test_an_app_has_the_dead_letter_topics_of_its_topics() -> None:
    app = App("accounts")
    app.stream("clicks")(lambda value: None)
    app.stream("views", dead_letter=DeadLetter("rubbish"))(lambda value: None)
    app.stream("scrolls", dead_letter=DeadLetter("rubbish"))(lambda value: None)

    assert dead_letter_topics(app) == ["clicks.dead", "rubbish"]


def test_a_topic_that_does_not_exist_has_no_letters(post: PostOffice) -> None:
    with Letterbox(post.broker, ["nowhere"], {}) as box:
        assert box.read(lambda _: True) == [{}]


def test_letters_are_chosen_by_partition_whatever_has_become_of_them(post: PostOffice) -> None:
    for partition in (1, 0, 1):
        post.bury(partition=partition)
    post.mark(Purged([0]), TopicPartition(DEAD, 1))
    with Letterbox(post.broker, [DEAD], {}) as box:
        every, none = box.read(lambda _: True, lambda _: False)

        assert every == {TopicPartition(DEAD, 0): [0], TopicPartition(DEAD, 1): [0, 1]}
        assert none == {}
        assert box.open(every) == {TopicPartition(DEAD, 0): [0], TopicPartition(DEAD, 1): [1]}


def test_chosen_letters_are_read_again(post: PostOffice) -> None:
    for number in range(5):
        post.bury(value=b"%d" % number)
    with post.opened() as (box, _):
        letters = list(box.letters({PLACE: [1, 3]}))

    assert [letter.record.value for letter in letters] == [b"1", b"3"]


def test_a_letter_that_was_deleted_meanwhile_is_left_out(post: PostOffice) -> None:
    post.bury()
    post.bury(value=b"left")
    with post.opened() as (box, everything):
        post.cluster.truncate(*PLACE, 1)
        letters = list(box.letters(everything))

    assert [letter.record.value for letter in letters] == [b"left"]


def test_offsets_without_records_do_not_matter(post: PostOffice) -> None:
    post.cluster.skip(*PLACE, 2)
    post.bury()
    post.cluster.skip(*PLACE, 2)
    with post.opened() as (_, everything):
        assert everything == {PLACE: [2]}


def test_a_journal_can_be_read_on(post: PostOffice) -> None:
    post.bury()
    with post.opened() as (box, _):
        post.mark(Purged([0]))
        assert list(box.catch_up(PLACE).open) == []


def test_a_record_that_cannot_be_seen_is_not_waited_for_for_ever(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letterbox, "PATIENCE", 0.01)
    with (
        post.opened() as (box, _),
        pytest.raises(BrokerUnavailableError, match="a transaction of some other program"),
    ):
        box.catch_up(PLACE, 7)


def test_a_broker_that_goes_away_is_given_up(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.01)
    post.bury()
    with post.opened() as (box, everything):
        post.cluster.faults.away = True
        with pytest.raises(BrokerUnavailableError, match=r"nothing came of jobs\.dead\[0\]"):
            list(box.letters(everything))
