"""Property tests try as hard as their Hypothesis profile says."""

from tests.support import profiles

profiles.load()
