"""`streamjobs broker`."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.exit_codes import ExitCode

Streamjobs = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("topic", ["clicks:0", "clicks:many", ":3", "", "clicks:-1"])
def test_a_topic_is_a_name_and_perhaps_a_number(streamjobs: Streamjobs, topic: str) -> None:
    code, _, err = streamjobs("broker", "--topic", topic)
    assert code == ExitCode.USAGE
    assert "write it as NAME or NAME:PARTITIONS" in err


def test_it_prints_its_address_serves_and_ends_by_a_signal() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "streamjobs", "broker", "--topic", "clicks:3", "--topic", "one"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()

    topics = QuixBroker(address, {}).topics(30)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)

    assert topics["clicks"] == 3
    assert topics["one"] == 1
    assert f"STREAMJOBS_BROKER={address}" in err
    assert process.returncode == ExitCode.OK
