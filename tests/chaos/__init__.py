"""Processes and brokers that die, on a real Kafka: `python -m tests.chaos`."""
