"""The app of `state_app`, with a failpoint (STATE_FAILPOINT) and a sabotage (STATE_SABOTAGE)."""

import os

from tests.support.failpoints import NEVER, VARIABLE, Failpoint
from tests.support.failpoints_sabotage import SABOTAGES
from tests.support.failpoints_watch import Watch, install
from tests.support.state_app import app

__all__ = ("app",)

if _sabotage := os.environ.get("STATE_SABOTAGE"):
    SABOTAGES[_sabotage]()
install(Watch(Failpoint.parse(os.environ.get(VARIABLE, str(NEVER)))))
