"""`MODULE:APP` on the command line: what is found, and what is said when it is not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamjobs import App
from streamjobs.cli.loading import load
from streamjobs.errors import AppNotFoundError
from streamjobs.exit_codes import ExitCode

Module = Callable[[str, str], None]


def refusal(name: str) -> str:
    """What is said about a name that cannot be loaded."""
    with pytest.raises(AppNotFoundError) as caught:
        load(name)
    return str(caught.value)


@pytest.mark.usefixtures("accounts")
def test_an_app_is_found_by_its_module_and_name() -> None:
    assert load("accounts:app").name == "accounts"


@pytest.mark.usefixtures("accounts")
def test_the_only_app_of_a_module_needs_no_name() -> None:
    assert isinstance(load("accounts"), App)


def test_an_app_in_a_package_is_found(folder: Path) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "jobs.py").write_text("import streamjobs\napp = streamjobs.App('shop')\n")
    assert load("shop.jobs:app").name == "shop"


def test_one_app_with_two_names_is_the_only_one(module: Module) -> None:
    module("twice", "import streamjobs\napp = streamjobs.App('twice')\nalso = app\n")
    assert load("twice").name == "twice"


def test_of_several_apps_one_has_to_be_named(module: Module) -> None:
    module("two", "import streamjobs\na = streamjobs.App('a')\nb = streamjobs.App('b')\n")
    assert refusal("two") == "which app of two? try two:a or two:b"


def test_a_module_that_is_not_there_says_where_it_was_looked_for(folder: Path) -> None:
    said = refusal("accuonts:app")
    assert "there is no module 'accuonts'" in said
    assert str(folder) in said


def test_a_package_that_is_not_there_is_named(folder: Path) -> None:
    assert "there is no module 'shop'" in refusal("shop.jobs:app")


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("accounts.py:app", "accounts:app"),
        ("shop/accounts.py", "shop.accounts:app"),
        ("./accounts.py:app", "accounts:app"),
        (":app", "module:app"),
        ("", "module:app"),
    ],
)
def test_a_path_is_no_module_and_what_is_meant_is_suggested(name: str, suggestion: str) -> None:
    assert refusal(name).endswith(suggestion)


@pytest.mark.usefixtures("accounts")
def test_a_name_that_is_not_there_says_which_are() -> None:
    assert refusal("accounts:ap") == "accounts has no 'ap'; try accounts:app"


@pytest.mark.usefixtures("accounts")
def test_a_name_of_something_else_says_what_it_is() -> None:
    assert refusal("accounts:calls") == "accounts:calls is a list, not an App; try accounts:app"


def test_a_module_without_an_app_says_how_to_write_one(module: Module) -> None:
    module("empty", "")
    assert "no App in it at all; write app = App('empty')" in refusal("empty:app")


def test_a_module_that_fails_says_why_and_where(module: Module, folder: Path) -> None:
    module("broken", "\n\nraise ValueError('no such colour')\n")
    said = refusal("broken:app")
    assert "importing 'broken' failed: ValueError: no such colour" in said
    assert f"{folder / 'broken.py'}:3" in said


def test_a_syntax_error_says_where(module: Module) -> None:
    module("broken", "app = (\n")
    assert "importing 'broken' failed: SyntaxError" in refusal("broken:app")
    assert "broken.py, line 1" in refusal("broken:app")


def test_an_import_that_fails_inside_of_the_module_is_not_taken_for_the_module(
    module: Module,
) -> None:
    module("broken", "import no_such_dependency\n")
    said = refusal("broken:app")
    assert "importing 'broken' failed: ModuleNotFoundError" in said
    assert "'no_such_dependency'" in said


def test_a_declaration_that_cannot_work_is_told_with_its_line(
    module: Module, streamjobs: Callable[..., tuple[int, str, str]]
) -> None:
    module("wrong", "import streamjobs\napp = streamjobs.App('')\n")

    code, _, err = streamjobs("run", "wrong:app")

    assert code == ExitCode.USAGE
    assert "a consumer group needs a name" in err
    assert "wrong.py:2" in err
    assert "Traceback" not in err


def test_the_working_directory_is_importable(folder: Path, module: Module) -> None:
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
    module("here", "import streamjobs\napp = streamjobs.App('here')\n")
    assert load("here:app").name == "here"
