"""`MODULE:APP`: from a name on the command line to an app."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from streamjobs.app import App
from streamjobs.errors import AppNotFoundError

__all__ = ("load",)

_PACKAGE = str(Path(__file__).parents[1])
"""Where our own code is: a refused declaration is shown where the user wrote it."""


def load(name: str) -> App:
    """Import the module and take the app out of it; `MODULE` alone finds its only app.

    The working directory is importable, as with `python -m`.

    Raises:
        AppNotFoundError: says what was looked for, what is there, and what to try.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.endswith(".py") or "/" in module_name:
        suggestion = module_name.removesuffix(".py").replace("/", ".").strip(".") or "module"
        raise AppNotFoundError(
            f"{name!r} is no module name; write it with dots: {suggestion}:{attribute or 'app'}"
        )
    module = _import(module_name)
    apps = {each: value for each, value in vars(module).items() if isinstance(value, App)}
    if not attribute:
        return _only(module_name, apps)
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    looked_at = (
        f"{module_name} has no {attribute!r}"
        if not hasattr(module, attribute)
        else f"{module_name}:{attribute} is a {type(found).__name__}, not an App"
    )
    raise AppNotFoundError(f"{looked_at}; {_what_to_try(module_name, apps)}")


def _only(module_name: str, apps: dict[str, App]) -> App:
    if len(set(map(id, apps.values()))) == 1:
        return next(iter(apps.values()))
    raise AppNotFoundError(f"which app of {module_name}? {_what_to_try(module_name, apps)}")


def _what_to_try(module_name: str, apps: dict[str, App]) -> str:
    if not apps:
        return f"there is no App in it at all; write app = App({module_name!r}) at its top level"
    return "try " + " or ".join(f"{module_name}:{each}" for each in apps)


def _import(name: str) -> ModuleType:
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise AppNotFoundError(
                f"there is no module {error.name!r}: looked in {directory} and on sys.path. "
                "Run from the folder that holds it, or set PYTHONPATH"
            ) from None
        raise AppNotFoundError(_broken(name, error)) from error
    except Exception as error:
        raise AppNotFoundError(_broken(name, error)) from error


def _broken(name: str, error: Exception) -> str:
    """Where the import failed, in the user's own code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith(_PACKAGE)
    ]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"importing {name!r} failed: {type(error).__name__}: {error}{place}"
