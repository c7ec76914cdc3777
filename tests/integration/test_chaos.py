"""The three-minute form of `make chaos`: processes and a broker that die, on a real Kafka."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.outcome import Outcome
from tests.chaos.runner import Theatre
from tests.support.kafka_jars import KafkaUnavailable
from tests.support.kafka_server import KafkaServer

SAY = print  # pytest shows it when a test fails


@pytest.fixture
def theatre(kafka: str, tmp_path: Path) -> Theatre:
    return Theatre(kafka, tmp_path, SAY)


@pytest.fixture
def fragile_theatre(kafka: str, tmp_path: Path) -> Iterator[Theatre]:
    """One whose broker may be broken: other tests use `kafka` after this."""
    server = KafkaServer(tmp_path / "kafka")
    try:
        server.start()
    except KafkaUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with server:
        yield Theatre(server, tmp_path, SAY)


def test_rolling_restarts_run_nothing_twice(theatre: Theatre) -> None:
    assert_kept(theatre.play("rolling", seconds=0))


def test_restarts_kills_freezes_and_a_broker_that_goes_away_together(
    fragile_theatre: Theatre,
) -> None:
    assert_kept(fragile_theatre.play("all", seconds=0))


def test_twelve_kills_lose_nothing_and_replay_what_was_in_flight_or_not_committed(
    theatre: Theatre,
) -> None:
    outcome = theatre.kill_twelve_times(jobs=20_000)
    assert len(outcome.tolls) == 12
    assert_kept(outcome)


def test_a_stuck_record_slows_nobody_down_and_a_kill_replays_nothing_more(
    theatre: Theatre,
) -> None:
    assert_kept(theatre.stick(seconds=20, before=8))


def assert_kept(outcome: Outcome) -> None:
    for toll in outcome.tolls:
        print(toll)
    assert outcome.lost == 0
    assert not outcome.failures, "\n".join(outcome.failures)
