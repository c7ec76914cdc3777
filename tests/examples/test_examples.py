"""The examples run, and what they claim is checked by them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from examples.flight_check import Note, order_violations
from examples.flights import Flight, read_flights
from tests.support.processes import ROOT

FIRST, SECOND, OTHER = (
    Flight(0, "N1", "IAH", 11),
    Flight(1, "N1", "MIA", None),
    Flight(2, None, "ORD", 3),
)


def start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_accounts_updates_each_user_in_order() -> None:
    process = start("examples.accounts")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "101 users; user 7 is {'name': 'Ada', 'city': 'Paris'}" in output


def test_payments_fail_are_given_up_and_replayed_in_order() -> None:
    process = start("examples.payments")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "35 paid; 7 of them took 2 to" in output
    assert "5 letters replayed" in output
    assert "40 paid. eve's were made in this order: [2, 10, 18, 26, 34]" in output
    assert "The order of each account was kept: yes" in output


def test_the_ledger_has_each_entry_once_after_crashes() -> None:
    process = start("examples.ledger_sqlite", "demo", "--flights", "2000")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.count("a crash, with") == 2
    assert "2,000 entries: 0 missing, 0 booked twice, 0 accounts wrong" in output
    assert "The ledger equals the file: yes" in output


def test_aircraft_are_shown_with_what_the_file_says_of_them() -> None:
    process = start("examples.aircraft", "--flights", "300", "--rows", "1")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "N8EGMQ   │       1 │           22 │ ATL" in output
    assert "300 counts of 300 flights, 295 aircraft: as the file has them" in output


def test_aircraft_are_shown_as_json() -> None:
    process = start("examples.aircraft", "--flights", "300", "--rows", "2", "--json")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    shown = json.loads(output[output.index("[") : output.rindex("]") + 1])
    assert [each["last_number"] for each in shown] == [299, 298]
    assert shown[0]["destination"] == "ATL"


def test_the_demo_works_on_all_flights_it_is_given_and_finds_nothing_wrong() -> None:
    process = start("examples.flights", "demo", "--flights", "800", "--one-by-one", "50")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "50 of 50" in output
    assert "800 of 800" in output
    assert "SQLite equals the file │ yes" in output
    assert "NO" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_ends_in_good_order_when_it_is_stopped(number: signal.Signals) -> None:
    process = start("examples.flights", "demo", "--one-by-one", "20000")
    assert process.stdout is not None
    first_line = process.stdout.readline()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, first_line + output
    assert "Stopped by a signal" in output


def test_the_data_is_complete() -> None:
    flights = read_flights()
    assert len(flights) == 27_004
    assert sum(flight.tailnum is None for flight in flights) == 155
    assert flights[0] == Flight(0, "N14228", "IAH", 11)


# The order check has to find what it is for.


def notes(*lines: str) -> Sequence[Note]:
    """Notes from "<what> <number> <process>"."""
    parts = (line.split() for line in lines)
    return [Note(what, int(number), int(process), 0) for what, number, process in parts]


FLIGHTS = [FIRST, SECOND, OTHER]


def test_flights_one_after_the_other_are_in_order() -> None:
    assert not order_violations(FLIGHTS, notes("start 0 1", "end 0 1", "start 1 2", "end 1 2"))


def test_a_flight_before_its_predecessor_is_found() -> None:
    found = order_violations(FLIGHTS, notes("start 1 1", "end 1 1", "start 0 1", "end 0 1"))
    assert found == ["N1: 1 started before an earlier flight had ended"]


def test_two_flights_of_one_aircraft_at_the_same_time_are_found() -> None:
    found = order_violations(FLIGHTS, notes("start 0 1", "start 1 1", "end 0 1", "end 1 1"))
    assert "N1: 1 started while 0 ran" in found


def test_two_attempts_of_one_flight_at_the_same_time_are_found() -> None:
    found = order_violations(FLIGHTS, notes("start 0 1", "start 0 2", "end 0 1", "end 0 2"))
    assert found == ["N1: 0 started while 0 ran"]


def test_a_replay_after_a_kill_is_in_order_when_it_starts_again_from_an_earlier_flight() -> None:
    killed = ("start 0 1", "end 0 1", "start 1 1")
    assert not order_violations(
        FLIGHTS, notes(*killed, "start 0 2", "end 0 2", "start 1 2", "end 1 2")
    )


def test_a_replay_has_to_come_in_order_again() -> None:
    before = ("start 0 1", "end 0 1", "start 1 1", "end 1 1")
    found = order_violations(FLIGHTS, notes(*before, "start 0 2", "start 1 2", "end 1 2"))
    assert found == ["N1: 1 started before an earlier flight had ended"]


def test_flights_without_a_tail_number_have_no_order() -> None:
    assert not order_violations(FLIGHTS, notes("start 2 1", "start 2 2", "end 2 2", "end 2 1"))
