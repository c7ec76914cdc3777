"""The command line, run in this process, and modules with apps for it."""

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import structlog

from streamjobs.cli.main import main


class Result(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Streamjobs = Callable[..., Result]


@pytest.fixture
def streamjobs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Streamjobs]:
    """`streamjobs("run", "accounts:app")`, as from a terminal; returns its `Result`."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str) -> Result:
        root.handlers.clear()
        monkeypatch.setattr(sys, "argv", ["streamjobs", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield tmp_path
    for name in set(sys.modules) - before:
        if _origin(sys.modules[name]).is_relative_to(tmp_path):
            del sys.modules[name]


def _origin(module: ModuleType) -> Path:
    """The file of a module; the folder of a package without one."""
    return Path(getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", "."))))


@pytest.fixture
def module(folder: Path) -> Callable[[str, str], None]:
    """`module("accounts", source)` writes a module that can be imported."""

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(dedent(source), encoding="utf-8")

    return write


ACCOUNTS = """
    from streamjobs import App
    from streamjobs.broker.memory import MemoryBroker, MemoryCluster

    cluster = MemoryCluster({"user-updates": 1})
    app = App("accounts", broker=MemoryBroker(cluster), commit_interval=0.02)
    calls = []

    @app.job(topic="user-updates", key="user_id")
    def update(user_id: int, name: str = "") -> None:
        calls.append((user_id, name))
"""


@pytest.fixture
def accounts(module: Callable[[str, str], None], folder: Path) -> Any:
    """The module `accounts`, whose `app` has one job on a Kafka in memory."""
    module("accounts", ACCOUNTS)
    sys.path.insert(0, str(folder))
    return importlib.import_module("accounts")
