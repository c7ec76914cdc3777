"""What happens to the processes and the broker, by name."""

from collections.abc import Callable
from typing import Final

from tests.chaos.app import SESSION
from tests.chaos.stage import Stage

PLACES: Final = 3

Script = Callable[[Stage], None]
"""One round of blows; played again until the time is over."""


def rolling(stage: Stage) -> None:
    """Restart all, one after the other."""
    for place in range(PLACES):
        stage.restart(place)
        stage.pause(stage.dice.uniform(1.0, 3.0))


def kill(stage: Stage) -> None:
    """SIGKILL to any of them."""
    stage.kill(stage.dice.randrange(PLACES))
    stage.pause(stage.dice.uniform(2.0, 5.0))


def freeze(stage: Stage) -> None:
    """SIGSTOP past the session: the others get its partitions, and it does not know."""
    stage.freeze(stage.dice.randrange(PLACES), SESSION + stage.dice.uniform(1.0, 4.0))
    stage.pause(stage.dice.uniform(1.0, 3.0))


def broker(stage: Stage) -> None:
    """The broker restarts, in good order or after SIGKILL."""
    stage.restart_broker(kill=stage.dice.random() < 0.5)
    stage.pause(stage.dice.uniform(4.0, 8.0))


def everything(stage: Stage) -> None:
    """All of it, in any order."""
    blows = [rolling, kill, freeze, broker, kill]
    stage.dice.shuffle(blows)
    for blow in blows:
        blow(stage)


SCRIPTS: Final[dict[str, Script]] = {
    "rolling": rolling,
    "kill": kill,
    "freeze": freeze,
    "broker": broker,
    "all": everything,
}
