"""The flights example on a real Kafka, with workers that come and go."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.flight_check import Report, check, read_notes
from examples.flight_recorder import FlightRecorder
from examples.flights import read_flights
from tests.support.processes import ROOT, Worker, wait_until

FLIGHTS = 6_000


class Airport:
    """The example with a topic, a database and a journal of its own."""

    def __init__(self, kafka: str, topic: str, folder: Path, partitions: int) -> None:
        self.flights = read_flights(FLIGHTS)
        self.recorder = FlightRecorder(folder / "flights.db")
        self._folder = folder
        self._env = {
            "STREAMJOBS_BROKER": kafka,
            "STREAMJOBS_PARTITIONS": str(partitions),
            "FLIGHTS_TOPIC": topic,
            "FLIGHTS_DB": str(self.recorder.database),
            "FLIGHTS_IO": "0.002",
        }

    def enqueue(self, start: int = 0, stop: int = FLIGHTS) -> None:
        """A job for each flight from `start` to `stop`."""
        command = f"-m examples.flights enqueue --skip {start} --flights {stop}"
        done = subprocess.run(
            [sys.executable, *command.split()],
            cwd=ROOT,
            env={**os.environ, **self._env},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    def worker(self, name: str) -> Worker:
        """Slow enough (2 threads) that there is a middle of the run to do something in."""
        log = self._folder / f"{name}.log"
        return Worker("examples.flights:app", "--threads", "2", log=log, env=self._env)

    def wait_until_done(self, enough: int) -> None:
        """Wait until so many flights have been worked on."""
        wait_until(lambda: self.done >= enough, within=45, what=f"{enough} flights")

    @property
    def done(self) -> int:
        notes = read_notes(self.recorder.journal.path)
        return len({note.number for note in notes if note.what == "end"})

    def report(self) -> Report:
        return check(self.flights, self.recorder)


@pytest.fixture
def airport(
    kafka: str, topic_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Airport]:
    airport = Airport(kafka, topic_name, tmp_path, partitions=request.param)
    yield airport
    airport.recorder.close()


@pytest.mark.parametrize("airport", [4], indirect=True, ids=["4-partitions"])
def test_no_flight_is_lost_repeated_or_out_of_order_while_workers_come_and_go(
    airport: Airport,
) -> None:
    most = FLIGHTS - 1_000
    with airport.worker("first") as first, airport.worker("second") as second:
        first.wait_for("partition assigned")
        second.wait_for("partition assigned")
        airport.enqueue(stop=most)
        airport.wait_until_done(1_500)
        assert first.stop() == 0
        assert airport.done < most

        with airport.worker("third") as third:
            third.wait_for("partition assigned")
            airport.enqueue(start=most)  # so that there is work left for it, however long that took
            airport.wait_until_done(FLIGHTS)
            assert second.stop() == 0
            assert third.stop() == 0
            done = [worker.events("stopped")[0]["done"] for worker in (first, second, third)]

    assert all(done), "each of the three has to have had a part in it"
    assert_perfect(airport.report())


@pytest.mark.parametrize("airport", [1], indirect=True, ids=["1-partition"])
def test_a_worker_stopped_in_the_middle_and_started_again_goes_on_where_it_was(
    airport: Airport,
) -> None:
    airport.enqueue()
    with airport.worker("before") as before:
        airport.wait_until_done(2_500)
        assert before.stop() == 0
    done_before = airport.done
    assert done_before < FLIGHTS
    assert airport.report().in_order

    with airport.worker("after") as after:
        airport.wait_until_done(FLIGHTS)
        assert after.stop() == 0
        assert after.events("stopped")[0]["done"] == FLIGHTS - done_before

    assert_perfect(airport.report())


def assert_perfect(report: Report) -> None:
    """All flights, in the order of their aircraft; none twice, since every stop was graceful."""
    assert report.violations == []
    assert report.missing == []
    assert report.replays == 0
    assert report.rows_agree
