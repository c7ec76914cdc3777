"""What it takes to run Kafka here: Java, and Kafka's jars, which Maven fetches once (54 MB)."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
POM = ROOT / "kafka" / "pom.xml"


class KafkaUnavailable(Exception):
    """This machine cannot run Kafka; the message says what to install."""


def why_unavailable() -> str | None:
    """Say what is missing to run Kafka here, or None. Fetches nothing, runs nothing."""
    try:
        command("java")
        if not _complete(_library_directory()):
            command("mvn")
    except KafkaUnavailable as missing:
        return str(missing)
    return None


def libraries() -> Path:
    """Give the directory with Kafka's jars; Maven fetches them (seconds to minutes) if need be.

    It is `.kafka/libs` in the repository, or STREAMJOBS_KAFKA_LIBS. Raises KafkaUnavailable.
    """
    target = _library_directory()
    if _complete(target):
        return target
    maven = command("mvn")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside the target and renamed, so that an interrupted download leaves no half cache.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="libs-") as scratch:
        fetched = Path(scratch) / "libs"
        done = subprocess.run(
            [maven, "-q", "-B", "-f", POM, "dependency:copy-dependencies",
             f"-DoutputDirectory={fetched}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode or not _complete(fetched):
            end = "\n".join(done.stdout.splitlines()[:10])
            raise KafkaUnavailable(f"Maven could not fetch Kafka {version()}:\n{end}")
        try:
            fetched.rename(target)
        except OSError as error:
            if not _complete(target):  # else another test run was faster
                raise KafkaUnavailable(
                    f"{target} is not Kafka {version()}: `make clean`, or point "
                    "STREAMJOBS_KAFKA_LIBS elsewhere"
                ) from error
    return target


def version() -> str:
    """Read which Kafka the pom asks for."""
    found = re.search(r"<kafka\.version>(.+?)<", POM.read_text())
    assert found, f"no kafka.version in {POM}"
    return found[1]


def command(name: str) -> str:
    """Find a program on PATH. Raises KafkaUnavailable."""
    found = shutil.which(name)
    if not found:
        raise KafkaUnavailable(
            f"no `{name}` on PATH: a real Kafka needs Java 17 or later and Maven (Debian: apt-get "
            "install default-jre-headless maven); or set STREAMJOBS_TEST_BROKER to a running one"
        )
    return found


def _library_directory() -> Path:
    override = os.environ.get("STREAMJOBS_KAFKA_LIBS")
    return Path(override).absolute() if override else ROOT / ".kafka" / "libs"


def _complete(directory: Path) -> bool:
    jars = (f"kafka_2.13-{version()}.jar", f"kafka-tools-{version()}.jar")
    return all((directory / jar).exists() for jar in jars)
