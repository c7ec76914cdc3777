"""What an import costs: quixstreams takes half a second, and only who runs an app pays it."""

import subprocess
import sys

import pytest

HEAVY = ("quixstreams", "confluent_kafka", "hypothesis", "pytest")


def imported_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after running this code."""
    report = f"\nimport sys\nprint('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_streamjobs_imports_no_kafka_client() -> None:
    assert imported_by("import streamjobs") == set()


def test_declaring_an_app_imports_no_kafka_client() -> None:
    code = """
import streamjobs
app = streamjobs.App("accounts")
@app.job(topic="jobs", key="user_id")
def update(user_id: int) -> None: ...
@app.stream("clicks", value=int)
def handle(value, ctx): ...
"""
    assert imported_by(code) == set()


@pytest.mark.parametrize("option", ["--help", "--version", "run --help", "check --help"])
def test_asking_the_command_line_imports_no_kafka_client(option: str) -> None:
    code = f"""
import sys
from streamjobs.cli.main import main
sys.argv = ["streamjobs", *{option.split()!r}]
try:
    main()
except SystemExit as exit:
    assert not exit.code
"""
    assert imported_by(code) == set()
