"""Who is to blame when a broker refuses a batch."""

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.refusals import Refusals

HERE = TopicPartition("clicks", 0)


def test_who_was_refused_with_others_is_a_suspect_and_may_be_attempted() -> None:
    refusals = Refusals()
    refusals.note(HERE, 4, "too large", alone=False)
    assert refusals.is_suspect(HERE, 4)
    assert not dict(refusals.convicted(HERE, 0))


def test_who_is_refused_alone_is_convicted_until_the_frontier_is_behind_it() -> None:
    refusals = Refusals()
    refusals.note(HERE, 4, "too large", alone=False)
    refusals.note(HERE, 4, "too large", alone=True)
    assert "too large" in str(dict(refusals.convicted(HERE, 4))[4])
    assert not dict(refusals.convicted(HERE, 5))


def test_only_what_was_not_known_is_news() -> None:
    refusals = Refusals()
    refusals.note(HERE, 4, "too large", alone=False)
    assert refusals.take_news()
    refusals.note(HERE, 4, "too large", alone=False)
    assert not refusals.take_news()


def test_a_partition_that_went_away_takes_its_suspects_and_convicts_along() -> None:
    refusals = Refusals()
    refusals.note(HERE, 4, "too large", alone=False)
    refusals.note(HERE, 5, "too large", alone=True)
    refusals.forget(HERE)
    assert not refusals.is_suspect(HERE, 4)
    assert not dict(refusals.convicted(HERE, 0))
