"""Fixtures for all tests: a real broker, and names for topics on it."""

import os
import re
import uuid
from collections.abc import Iterator

import pytest

from tests.support import profiles
from tests.support.kafka_jars import KafkaUnavailable, why_unavailable
from tests.support.kafka_server import KafkaServer

profiles.load()

IN_CI = os.environ.get("CI") == "true"
RUNNING_BROKER = os.environ.get("STREAMJOBS_TEST_BROKER")
LEFT_OUT = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Kafka: STREAMJOBS_TEST_BROKER, or one started for this run."""
    if RUNNING_BROKER:
        yield RUNNING_BROKER
        return
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
    except KafkaUnavailable as error:
        if IN_CI:
            raise
        pytest.skip(str(error))
    with server:
        yield server.bootstrap


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """A name no other test has, that tells which test it belongs to."""
    test = re.sub(r"[^A-Za-z0-9-]+", "-", request.node.name).strip("-")
    return f"{test[:80]}-{uuid.uuid4().hex[:8]}"


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need Kafka; leave them out where it cannot run, but never in CI."""
    need_kafka = [item for item in items if "kafka" in getattr(item, "fixturenames", ())]
    for item in need_kafka:
        item.add_marker(pytest.mark.kafka)
    reason = None if RUNNING_BROKER or IN_CI else why_unavailable()
    if need_kafka and reason:
        config.hook.pytest_deselected(items=need_kafka)
        items[:] = [item for item in items if item not in need_kafka]
        config.stash[LEFT_OUT] = f"Left out, for want of Kafka: {len(need_kafka)} tests ({reason})"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end, where it is read, which tests were left out and why."""
    if message := config.stash.get(LEFT_OUT, None):
        terminalreporter.write_line(message, yellow=True)
