"""Deterministic simulation: the real engine, virtual time, seeded dice, no threads."""

from streamjobs.testing.simulation.app_runs import simulate
from streamjobs.testing.simulation.simulate import (
    Report,
    Run,
    play,
    simulate_random,
    simulate_seed,
)

__all__ = ("Report", "Run", "play", "simulate", "simulate_random", "simulate_seed")
