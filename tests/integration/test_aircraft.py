"""The aircraft example on a real Kafka: processes are killed and frozen.

Both guarantees take the same blows, side by side. STREAMJOBS_LONG=1: the whole file, twelve blows,
and the broker restarts, too.
"""

import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from examples.aircraft import read_flights
from tests.support.counting import SESSION
from tests.support.fleet import PLACES, Emitted, Fleet, Mark
from tests.support.kafka_jars import KafkaUnavailable
from tests.support.kafka_server import KafkaServer
from tests.support.processes import wait_until

LONG = os.environ.get("STREAMJOBS_LONG") == "1"
STEP = 1_500 if LONG else 100
"""Flights between two blows, at least."""

BLOWS = ("kill", "freeze", "broker", "kill") * 3 if LONG else ("kill", "freeze", "kill")
SECONDS_EACH = 0.015
GUARANTEES = ("exactly-once", "at-least-once")

Fleets = Mapping[str, Fleet]


@pytest.fixture(scope="module")
def server(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that may be broken: other tests use `kafka`."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
    except KafkaUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="module")
def fleets(server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Fleets:
    """Both, after the blows: everything is done, and the processes have stopped."""
    fleets = {
        guarantee: Fleet(
            server.bootstrap,
            f"aircraft-{guarantee}-{uuid.uuid4().hex[:6]}",
            tmp_path_factory.mktemp(guarantee),
            guarantee,
            read_flights(),
            SECONDS_EACH,
        )
        for guarantee in GUARANTEES
    }
    began = time.monotonic()
    with ExitStack() as stack:
        for fleet in fleets.values():
            stack.enter_context(fleet)
        dice = random.Random(3)
        for blow in BLOWS:
            get_on(fleets)
            strike(blow, dice.choice(PLACES), fleets, server)
        for fleet in fleets.values():
            fleet.finish(rest=LONG)
    for guarantee, fleet in fleets.items():
        print(f"{guarantee}: {len(fleet.flights):,} flights, {len(BLOWS)} blows")
        print(f"ended by themselves and started again: {fleet.gave_up}")
    print(f"{time.monotonic() - began:.0f} s")
    return fleets


def get_on(fleets: Fleets) -> None:
    """Wait until each has done some more, and has more to do."""
    goals = {guarantee: fleet.committed + STEP for guarantee, fleet in fleets.items()}

    def all_got_on() -> bool:
        time.sleep(0.3)  # asking costs the broker and this machine something
        for fleet in fleets.values():
            fleet.look_after()
        return all(fleets[guarantee].committed >= goal for guarantee, goal in goals.items())

    wait_until(all_got_on, 120, f"{STEP} more are committed")


def strike(blow: str, place: str, fleets: Fleets, server: KafkaServer) -> None:
    """SIGKILL, SIGSTOP until the others have its partitions, or a broker that restarts."""
    for fleet in fleets.values():
        if blow == "kill":
            fleet.kill(place)
        elif blow == "freeze":
            fleet.freeze(place)
        else:
            fleet.mark()
    if blow == "freeze":
        time.sleep(SESSION + 2)
        for fleet in fleets.values():
            fleet.thaw(place)
    elif blow == "broker":
        server.restart()


def test_with_exactly_once_each_flight_is_counted_once_and_in_order(fleets: Fleets) -> None:
    fleets["exactly-once"].assert_exact()


def test_with_at_least_once_each_flight_is_counted_and_the_state_is_right(fleets: Fleets) -> None:
    twice = fleets["at-least-once"].assert_answered()
    print(f"{twice} were counted twice or more often")


def test_with_at_least_once_only_what_was_not_committed_at_a_blow_is_repeated(
    fleets: Fleets,
) -> None:
    fleet = fleets["at-least-once"]
    emitted = fleet.emitted()
    repeated, bound = len(emitted) - len(fleet.flights), fleet.bound()
    print(f"{repeated} answers were repeated; the bound is {bound}")
    assert fleet.strays() == []
    assert 0 < repeated <= bound


def test_the_state_of_both_is_a_recount_of_the_file(fleets: Fleets) -> None:
    for fleet in fleets.values():
        fleet.assert_counted()


def test_an_answer_that_is_repeated_after_its_commit_is_found() -> None:
    mark = Mark(committed=frozenset({"t/0/1"}), ends={0: 10})
    before, after, other = Emitted("t/0/1", 0, 9), Emitted("t/0/1", 0, 10), Emitted("t/0/2", 0, 8)

    assert mark.strays([before, other]) == []
    assert mark.strays([before, other, after]) == [after]
    assert mark.uncommitted([before, other, after]) == {"t/0/2"}
