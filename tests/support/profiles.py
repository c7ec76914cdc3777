"""Hypothesis profiles: how hard the property tests try.

`local` and `ci` try 100 examples of each property, `ci` the same ones every time. `prove` tries as
many as STREAMJOBS_SEEDS says and is chosen by setting it.
"""

import os

from hypothesis import HealthCheck, settings


def load() -> None:
    """Register the profiles and choose one from the environment."""
    # No deadlines: a slow machine proves nothing about order.
    settings.register_profile("local", max_examples=100, deadline=None)
    settings.register_profile(
        "ci",
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        "prove",
        max_examples=int(os.environ.get("STREAMJOBS_SEEDS") or 10_000),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(_choice())


def _choice() -> str:
    if os.environ.get("STREAMJOBS_SEEDS"):
        return "prove"
    return "ci" if os.environ.get("CI") == "true" else "local"
