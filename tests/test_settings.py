"""Settings: where they come from, which one wins, and what is said about a wrong one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamjobs.errors import ConfigurationError, SettingError
from streamjobs.settings import Settings, resolve


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STREAMJOBS_{name.upper()}", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a pyproject.toml that has settings."""
    write_table(tmp_path, "threads = 1")
    return tmp_path


def write_table(folder: Path, *lines: str) -> None:
    text = "\n".join(("[tool.streamjobs]", *lines))
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def threads(
    directory: Path, arguments: Mapping[str, Any] = {}, overrides: Mapping[str, Any] = {}
) -> tuple[int, str]:
    """The value of `threads`, and where it came from."""
    settings, sources = resolve(arguments, overrides, directory)
    return settings.threads, sources["threads"]


# The order.


def test_without_anything_the_default_holds(tmp_path: Path) -> None:
    assert threads(tmp_path) == (64, "default")


def test_pyproject_wins_over_the_default(project: Path) -> None:
    assert threads(project) == (1, "pyproject.toml")


def test_a_variable_wins_over_pyproject(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMJOBS_THREADS", "2")
    assert threads(project) == (2, "environment")


def test_an_argument_wins_over_a_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMJOBS_THREADS", "2")
    assert threads(project, {"threads": 3}) == (3, "App(...)")


def test_the_command_line_wins_over_all(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMJOBS_THREADS", "2")
    assert threads(project, {"threads": 3}, {"threads": 4}) == (4, "command line")


def test_none_means_not_given(project: Path) -> None:
    assert threads(project, {"threads": None}, {"threads": None}) == (1, "pyproject.toml")


# pyproject.toml.


def test_the_nearest_pyproject_counts(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    write_table(inner, "threads = 5")
    assert threads(inner) == (5, "pyproject.toml")


def test_pyproject_is_found_from_a_folder_below(project: Path) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert threads(below) == (1, "pyproject.toml")


def test_a_pyproject_without_our_table_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'\n", encoding="utf-8")
    assert threads(tmp_path) == (64, "default")


def test_names_in_pyproject_may_have_hyphens(tmp_path: Path) -> None:
    write_table(tmp_path, "commit-interval = 0.5")
    assert resolve({}, {}, tmp_path).settings.commit_interval == 0.5


def test_a_pyproject_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool", encoding="utf-8")
    with pytest.raises(SettingError, match=r"pyproject\.toml cannot be read"):
        resolve({}, {}, tmp_path)


# Variables.


def test_a_variable_of_a_mapping_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMJOBS_CONNECTION", '{"security_protocol": "SSL"}')
    assert resolve({}, {}, tmp_path).settings.connection == {"security_protocol": "SSL"}


def test_a_variable_that_is_no_json_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMJOBS_CONSUMER_CONFIG", "fetch.wait.max.ms=5")
    with pytest.raises(SettingError, match="STREAMJOBS_CONSUMER_CONFIG has to be a JSON object"):
        resolve({}, {}, tmp_path)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_has_a_description(name: str) -> None:
    assert Settings.model_fields[name].description


# What is wrong.


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("threads", 0, "greater than 0"),
        ("threads", "many", "valid integer"),
        ("commit_interval", 0, "greater than 0"),
        ("commit_interval", -1.0, "greater than 0"),
        ("topics", "maybe", "'create' or 'require'"),
        ("guarantee", "exactly-twice", "'at-least-once'"),
        ("group_protocol", "new", "'classic' or 'consumer'"),
        ("consumer_config", [1], "valid dictionary"),
        ("broker", 9092, "valid string"),
    ],
)
def test_a_value_that_cannot_be_used_says_which_and_why(
    tmp_path: Path, name: str, value: Any, reason: str
) -> None:
    with pytest.raises(SettingError, match=f"setting {name}=.*{reason}"):
        resolve({name: value}, {}, tmp_path)


def test_an_error_names_the_source_of_the_value(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(project, "threads = 0")
    with pytest.raises(SettingError, match=r"threads=0 \(from pyproject\.toml\)"):
        resolve({}, {}, project)

    monkeypatch.setenv("STREAMJOBS_THREADS", "-1")
    with pytest.raises(SettingError, match=r"threads='-1' \(from environment\)"):
        resolve({}, {}, project)

    with pytest.raises(SettingError, match=r"threads=-2 \(from App\(\.\.\.\)\)"):
        resolve({"threads": -2}, {}, project)

    with pytest.raises(SettingError, match=r"threads=-3 \(from command line\)"):
        resolve({"threads": -2}, {"threads": -3}, project)


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    write_table(tmp_path, "thread = 5")
    with pytest.raises(SettingError, match=r"no setting 'thread' .*known are broker, .*threads"):
        resolve({}, {}, tmp_path)


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"threads=0.*; .*tasks=0"):
        resolve({"threads": 0, "tasks": 0}, {}, tmp_path)


def test_the_error_does_not_show_a_password(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        resolve({"connection": ["sasl_password=secret"]}, {}, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_wrong_setting_is_a_wrong_configuration() -> None:
    assert issubclass(SettingError, ConfigurationError)


def test_exactly_once_is_refused_on_the_embedded_broker(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="none worth the name"):
        resolve({"guarantee": "exactly-once", "broker": "embedded"}, {}, tmp_path)


def test_exactly_once_commits_often_unless_something_else_is_said(tmp_path: Path) -> None:
    given = {"guarantee": "exactly-once"}
    assert resolve(given, {}, tmp_path).settings.commit_interval == 0.1
    assert resolve(given | {"commit_interval": 2}, {}, tmp_path).settings.commit_interval == 2


def test_a_transaction_may_not_end_before_its_commit_comes(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="three times"):
        resolve({"transaction_timeout": 2.0}, {}, tmp_path)
