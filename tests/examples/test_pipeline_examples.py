"""The examples of pipelines, against a recount of the file."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from examples import flights_delays, flights_enriched
from examples.flight_table import Flight, read_flights
from examples.flights_enriched import Lookups, counts_topic
from streamjobs.testing import TestDriver
from tests.examples.test_examples import start


@pytest.fixture(scope="module")
def flights() -> Sequence[Flight]:
    return read_flights(1_500)


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_hours_of_each_route_are_what_the_file_says(
    flights: Sequence[Flight], partitions: int
) -> None:
    with TestDriver(flights_delays.app, partitions=partitions) as driver:
        for code, name in flights_delays.read_airlines().items():
            driver.send(flights_delays.CARRIERS, {"name": name}, key=code)
        for flight in flights:
            driver.send(flights_delays.TOPIC, flight, key=flights_delays.route_of(flight))
        driver.run_until_idle()
        hours = [output.json() for output in driver.outputs(flights_delays.HOURS)]

    found = {(hour.pop("route"), hour.pop("hour")): hour for hour in hours}
    assert found == flights_delays.recount(flights)
    assert len(hours) == len(found) > 700


def test_an_hour_says_whose_flights_it_had(flights: Sequence[Flight]) -> None:
    hours = flights_delays.recount(flights).values()

    assert any(len(hour["airlines"]) > 1 for hour in hours)


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_counts_of_each_airport_are_what_the_file_says(
    flights: Sequence[Flight], partitions: int
) -> None:
    lookups = Lookups()
    app = flights_enriched.build("enriched", 16, lookups)
    with TestDriver(app, partitions=partitions) as driver:
        for flight in flights:
            driver.send("enriched", flight, key=flight["aircraft"])
        driver.run_until_idle()
        counts = [output.json() for output in driver.outputs(counts_topic("enriched"))]

    assert _last(counts) == flights_enriched.recount(flights)
    assert len(counts) == lookups.answers == len(flights)


def _last(counts: Sequence[dict[str, Any]]) -> Mapping[tuple[str, int], int]:
    """The last count of each airport and day: there is one for each flight."""
    return {(each["airport"], each["day"]): each["flights"] for each in counts}


def test_the_demo_of_delays_finds_what_the_file_says() -> None:
    process = start("examples.flights_delays", "--flights", "2000", "--rows", "1")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert "JFK-BWI │ Tue 01, 18:00 │       1 │          853 │ 1 Envoy Air" in output
    assert "2,000 flights in" in output
    assert "hours of routes: as the file has them" in output


def test_the_demo_of_lookups_makes_many_at_the_same_time() -> None:
    process = start(
        "examples.flights_enriched", "--flights", "800", "--one-by-one", "40", "--rows", "1"
    )
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert "at the same time, at most │                   1 │                    64" in output
    assert "counts equal the file     │                 yes │                   yes" in output
    assert "NO" not in output
