"""Whether and when a process that died is started again."""

import pytest

from streamjobs.errors import ConfigurationError
from streamjobs.supervision.restarts import Restarts

YOUNG, OLD = 1.0, 31.0


def pauses(restarts: Restarts, *lives: float) -> list[float | None]:
    """What follows each of these lives, one after another in one slot."""
    deaths, found = 0, []
    for lived in lives:
        deaths = restarts.deaths(deaths, lived)
        found.append(restarts.pause(deaths))
    return found


def test_the_pause_doubles_with_each_process_that_dies_young() -> None:
    assert pauses(Restarts(first=0.5), *[YOUNG] * 4) == [0.5, 1.0, 2.0, 4.0]


def test_no_pause_is_longer_than_the_maximum() -> None:
    found = pauses(Restarts(limit=2000, maximum=10.0), *[YOUNG] * 1999)
    assert max(filter(None, found)) == found[-1] == 10.0


def test_too_many_in_a_row_that_die_young_are_the_end() -> None:
    assert pauses(Restarts(limit=3), YOUNG, YOUNG, YOUNG)[1:] == [0.2, None]


def test_one_that_lived_long_begins_the_row_again() -> None:
    found = pauses(Restarts(limit=3, first=0.5), YOUNG, YOUNG, OLD, YOUNG, YOUNG, YOUNG)
    assert found == [0.5, 1.0, 0.5, 0.5, 1.0, None]


def test_those_that_live_long_are_started_again_for_ever() -> None:
    assert set(pauses(Restarts(limit=1), *[OLD] * 50)) == {0.1}


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"first": 0.0}, {"first": 2.0, "maximum": 1.0}, {"settled": 0.0}]
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="Restarts"):
        Restarts(**wrong)
