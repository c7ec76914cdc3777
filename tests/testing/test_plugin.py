"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

APP = """
    import pytest

    from streamjobs import App

    app = App("bank")
    balances = {}

    @app.job(topic="transfers", key="account")
    def transfer(account: str, amount: int) -> None:
        balances[account] = balances.get(account, 0) + amount

    def workload(random):
        transfer.enqueue("ada", random.randrange(10))
"""


def pytest_of(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Run these tests, warnings as errors; nothing but the installed plugin helps them."""
    source = dedent(APP) + dedent(tests)
    (folder / "test_bank.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings =\n    error\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_driver_is_there_and_closed_after_each_test(tmp_path: Path) -> None:
    result = pytest_of(
        tmp_path,
        """
        drivers = []

        def test_with(streamjobs_driver):
            driver = streamjobs_driver(app, partitions=4)
            drivers.append(driver)
            transfer.enqueue("ada", 10)
            driver.run_until_idle()
            assert balances == {"ada": 10}
            assert sum(driver.committed("transfers").values()) == 1

        def test_after(streamjobs_driver):
            streamjobs_driver(app)
            transfer.enqueue("ada", 10)
            assert len(drivers[0].outputs("transfers")) == 1
        """,
    )
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


def test_options_of_the_driver_are_handed_on(tmp_path: Path) -> None:
    result = pytest_of(
        tmp_path,
        """
        @app.stream("clicks")
        async def click(value):
            raise ValueError("as always")

        def test_retry(streamjobs_driver):
            driver = streamjobs_driver(app, on_error="retry")
            driver.send("clicks", {})
            driver.advance(1)
            assert [failure.attempt for failure in driver.failures] == [1, 2]

        def test_raise(streamjobs_driver):
            driver = streamjobs_driver(app)
            driver.send("clicks", {})
            with pytest.raises(ValueError, match="as always"):
                driver.run_until_idle()
        """,
    )
    assert result.returncode == 0, result.stdout


def test_an_app_is_simulated(tmp_path: Path) -> None:
    result = pytest_of(
        tmp_path,
        """
        def test_it(simulate_app):
            report = simulate_app(app, workload=workload, seeds=range(5))
            assert report.runs == 5
        """,
    )
    assert result.returncode == 0, result.stdout


def test_a_violation_fails_the_test_and_shows_how_to_repeat_it(tmp_path: Path) -> None:
    result = pytest_of(
        tmp_path,
        """
        def test_it(simulate_app):
            simulate_app(app, workload=workload, invariants=[lambda: not balances], seeds=range(5))
        """,
    )
    assert result.returncode == 1
    assert "does not hold: it returned False; after offset" in result.stdout
    assert "transfer(account='ada', amount=" in result.stdout
    assert "repeat it with simulate(..., seeds=[0])" in result.stdout


def test_the_fixtures_are_described(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "streamjobs_driver" in result.stdout
    assert "simulate_app" in result.stdout
