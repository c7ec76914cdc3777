"""The committer: what is told to the broker, and when."""

from streamjobs.broker.ports import Commit, CommitResult
from streamjobs.engine.committer import UNANSWERED, Committer
from streamjobs.engine.completion_map import decode
from streamjobs.engine.generation import Generation
from streamjobs.engine.notes import Notes, read_notes
from tests.support.engine import P0, Told, generation


def worked(done: int = 1) -> Generation:
    """A generation in which so many records are complete."""
    made = generation()
    progress(made, 0, done)
    return made


def progress(ours: Generation, start: int, stop: int) -> None:
    ours.ledger.register(range(start, stop))
    ours.ledger.complete(range(start, stop))
    ours.dirty = True


def test_what_changed_is_committed() -> None:
    assert Committer(Told()).freeze([worked(3)], 0) == [Commit(P0, 3, "")]


def test_what_did_not_change_is_not() -> None:
    assert Committer(Told()).freeze([generation()], 0) == []


def test_one_commit_is_on_its_way_at_a_time() -> None:
    told, ours = Told(), worked()
    committer = Committer(told)
    first = committer.freeze([ours], 0)
    progress(ours, 1, 2)
    assert committer.freeze([ours], 1) == []

    committer.answered(CommitResult(first, None))

    assert committer.freeze([ours], 2) == [Commit(P0, 2, "")]
    assert told.commits == [1]


def test_a_failed_commit_is_tried_again() -> None:
    told, ours = Told(), worked()
    committer = Committer(told)
    first = committer.freeze([ours], 0)
    committer.answered(CommitResult(first, "_TIMED_OUT"))
    assert committer.freeze([ours], 1) == first
    assert told.failed_commits == ["_TIMED_OUT"]


def test_a_commit_without_an_answer_counts_as_failed_after_a_while() -> None:
    ours = worked()
    committer = Committer(Told())
    first = committer.freeze([ours], 0)
    assert committer.freeze([ours], UNANSWERED - 1) == []
    assert committer.freeze([ours], UNANSWERED) == first


def test_a_late_answer_says_nothing_about_the_commit_after_it() -> None:
    told, ours = Told(), worked()
    committer = Committer(told)
    first = committer.freeze([ours], 0)
    progress(ours, 1, 2)
    second = committer.freeze([ours], UNANSWERED)

    committer.answered(CommitResult(first, None))
    assert (told.commits, ours.committed) == ([], None)

    committer.answered(CommitResult(second, "_TIMED_OUT"))
    assert committer.freeze([ours], UNANSWERED + 1) == second


def test_what_the_broker_has_already_is_not_committed_again() -> None:
    ours = worked()
    committer = Committer(Told())
    committer.answered(CommitResult(committer.freeze([ours], 0), None))
    ours.dirty = True  # something came in, and nothing got done
    assert committer.freeze([ours], 1) == []


def notes_of(commit: Commit) -> Notes:
    return read_notes(commit.offset, decode(commit.offset, commit.metadata).fields)


def test_an_answer_says_nothing_about_a_generation_that_ended() -> None:
    told, ours = Told(), worked()
    committer = Committer(told)
    commits = committer.freeze([ours], 0)
    committer.forget(ours)
    committer.answered(CommitResult(commits, None))
    assert ours.committed is None
    assert told.commits == []


def test_the_last_commit_does_not_wait_for_one_on_its_way() -> None:
    ours = worked()
    committer = Committer(Told())
    committer.freeze([ours], 0)
    progress(ours, 1, 2)
    assert [each.offset for each in committer.freeze_last([ours])] == [2]


def test_only_the_last_commit_says_that_its_owner_ended_in_good_order() -> None:
    ours = worked()
    committer = Committer(Told())
    [during] = committer.freeze([ours], 0)
    [last] = committer.freeze_last([ours])
    assert [notes_of(each).closed for each in (during, last)] == [False, True]


def test_a_last_commit_that_failed_is_told() -> None:
    told = Told()
    committer = Committer(told)
    commits = committer.freeze_last([worked()])
    committer.answered_last(CommitResult(commits, "REBALANCE_IN_PROGRESS"))
    assert told.failed_commits == ["REBALANCE_IN_PROGRESS"]
