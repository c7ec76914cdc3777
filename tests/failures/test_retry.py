"""`Retry`: whether and when a failed attempt is followed by another one."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamjobs import Discard, Retry, constant, exponential
from streamjobs.errors import ConfigurationError, UndecodableRecordError
from streamjobs.failures.retry import Later

RECORDS = st.text(max_size=20)

# What it takes.


def test_ten_attempts_with_growing_pauses_are_the_default() -> None:
    retry = Retry(jitter=0)
    assert retry.allows(9, elapsed=1e6)
    assert not retry.allows(10, elapsed=0)
    assert [retry.pause(attempt, "") for attempt in (1, 2, 3, 9)] == [0.5, 1, 2, 60]


@pytest.mark.parametrize("attempts", [0, -1, 1.5, "3", True])
def test_attempts_are_a_whole_number_from_one(attempts: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Retry\(attempts=.*from 1"):
        Retry(attempts=attempts)


@pytest.mark.parametrize("jitter", [-0.1, 1.1, "0", None, True])
def test_jitter_is_a_part(jitter: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Retry\(jitter=.*from 0 to 1"):
        Retry(jitter=jitter)


@pytest.mark.parametrize("name", ["maximum", "within"])
@pytest.mark.parametrize("value", [-1, "1", True])
def test_limits_are_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Retry\({name}={value!r}\): seconds, or None"):
        Retry(**{name: value})


@pytest.mark.parametrize("name", ["on", "give_up_on"])
@pytest.mark.parametrize("value", [ValueError("an error, no class"), "ValueError", (int,)])
def test_errors_are_classes_of_exceptions(name: str, value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"Retry\({name}=.*an exception class, or several"
    ):
        Retry(**{name: value})


@pytest.mark.parametrize("wait", [-1, "soon", True])
def test_a_wait_is_seconds_or_a_function(wait: Any) -> None:
    with pytest.raises(ConfigurationError, match="seconds, 0 or more"):
        Retry(wait=wait)


def test_a_number_stands_for_a_constant_wait() -> None:
    assert Retry(wait=3).wait == constant(3)


def test_one_class_stands_for_a_list_of_one() -> None:
    assert Retry(on=OSError) == Retry(on=[OSError])


# Which errors.


def test_errors_that_are_not_worth_it_are_not_attempted_again() -> None:
    retry = Retry(on=(ConnectionError, TimeoutError))
    assert retry.wants(ConnectionRefusedError())
    assert not retry.wants(ValueError())


def test_some_of_those_may_be_left_out() -> None:
    retry = Retry(on=OSError, give_up_on=FileNotFoundError)
    assert retry.wants(PermissionError())
    assert not retry.wants(FileNotFoundError())


def test_what_cannot_be_decoded_is_not_attempted_again_whatever_is_asked_for() -> None:
    assert not Retry(on=UndecodableRecordError).wants(UndecodableRecordError())


# How long.


def test_the_time_since_the_first_failure_may_be_limited() -> None:
    retry = Retry(attempts=None, within=30)
    assert retry.allows(10**6, elapsed=30)
    assert not retry.allows(1, elapsed=30.1)


def test_without_a_number_of_attempts_there_is_no_last_one() -> None:
    assert Retry(attempts=None).allows(10**9, elapsed=1e9)


def test_no_pause_is_longer_than_the_maximum_jitter_included() -> None:
    retry = Retry(wait=exponential(first=10), jitter=1, maximum=12)
    assert retry.pause(5, "t/0/1") == 12


@given(RECORDS, st.integers(1, 50), st.floats(0, 1))
def test_jitter_adds_up_to_its_part_and_takes_nothing(
    record: str, attempt: int, jitter: float
) -> None:
    pause = Retry(wait=10, jitter=jitter).pause(attempt, record)
    assert 10 <= pause <= 10 * (1 + jitter)


@given(RECORDS, st.integers(1, 50))
def test_the_same_attempt_of_the_same_record_has_the_same_jitter(record: str, attempt: int) -> None:
    assert Retry(jitter=1).pause(attempt, record) == Retry(jitter=1).pause(attempt, record)


def test_records_and_attempts_are_spread_over_all_of_it() -> None:
    retry = Retry(wait=1, jitter=1)
    pauses = [retry.pause(attempt, f"t/0/{n}") for attempt in (1, 2) for n in range(500)]
    assert len(set(pauses)) == 1000
    tenths = [sum(1 + n / 10 <= pause < 1 + (n + 1) / 10 for pause in pauses) for n in range(10)]
    assert all(60 < count < 140 for count in tenths)


def test_a_wait_of_the_users_own_gets_the_number_of_the_attempt_that_failed() -> None:
    retry = Retry(wait=lambda attempt: attempt * 7, jitter=0)
    assert [retry.pause(attempt, "") for attempt in (1, 2, 3)] == [7, 14, 21]


def test_one_that_is_below_zero_counts_as_none() -> None:
    assert Retry(wait=lambda attempt: -5.0).pause(1, "") == 0


# What handlers raise.


@pytest.mark.parametrize("on", [ValueError, ()])
def test_who_asks_to_be_run_again_is_whatever_the_errors_say(on: Any) -> None:
    assert Retry(on=on, give_up_on=Exception).wants(Retry.later(5))


@pytest.mark.parametrize("seconds", [-1, "5", None, True])
def test_later_takes_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Retry.later\(.*seconds, 0 or more"):
        Retry.later(seconds)


def test_later_survives_the_way_from_a_worker_process() -> None:
    later = pickle.loads(pickle.dumps(Retry.later(2.5)))
    assert isinstance(later, Later)
    assert (later.seconds, str(later)) == (2.5, "the handler asked to be run again in 2.5 s")


def test_a_discard_has_a_reason() -> None:
    assert Discard("the account was closed").reason == "the account was closed"
    assert str(Discard()) == "the handler gave it up"


def test_a_discard_survives_the_way_from_a_worker_process() -> None:
    assert pickle.loads(pickle.dumps(Discard("why"))).reason == "why"
