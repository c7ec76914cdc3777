"""What a worker process has to be told to become one, and how it finds what the app declared."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import structlog

from streamjobs.errors import ConfigurationError, WorkerStartError
from streamjobs.logs import AddInstance, LogFormat

if TYPE_CHECKING:
    from streamjobs.app import App
    from streamjobs.routes import Topic

__all__ = ("Launch", "being_imported", "find_app", "launch_for")

MAIN: Final = ("__main__", "__mp_main__")
"""A program's names, at home and in the processes it starts."""

Handler = tuple[str, str, str, str]
"""Topic, name, module and qualified name of a function that runs in processes."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything a worker process is started with, as values that can be pickled.

    Attributes:
        app: the app's name.
        handlers: what it runs in processes.
        initializers: how many of those it has.
        settings: its settings, as far as they can be pickled.
        broker: where its broker is; None if no other process can reach it.
        workers: how many processes there are.
        has_state: whether any of the handlers has state.
        max_records, max_mib: when a process is replaced; 0 for never.
        max_message_bytes: what its producer takes.
        topic_limits: the bytes that a record may have, of topics that take less.
        directory: where relative paths begin.
        log_format, verbose, instance: how it writes its log.
    """

    app: str
    handlers: tuple[Handler, ...]
    initializers: int
    settings: Mapping[str, Any]
    broker: str | None
    workers: int
    has_state: bool = False
    max_records: int = 0
    max_mib: int = 0
    max_message_bytes: int = 1_000_000
    topic_limits: Mapping[str, int] = field(default_factory=dict)
    directory: str = "."
    log_format: LogFormat | None = None
    verbose: bool = False
    instance: str | None = None

    @property
    def modules(self) -> list[str]:
        """The modules that declare its handlers."""
        return list(dict.fromkeys(module for _, _, module, _ in self.handlers))


def launch_for(
    app: App,
    max_message_bytes: int = 1_000_000,
    topic_limits: Mapping[str, int] = MappingProxyType({}),
) -> Launch:
    """How the worker processes of this app are started.

    Raises:
        ConfigurationError: not on this system.
    """
    if not hasattr(socket, "MSG_DONTWAIT"):
        raise ConfigurationError(
            "process=True needs Linux, macOS or another POSIX system; leave it out here"
        )
    settings = app.settings
    form, verbose, instance = _logging()
    return Launch(
        app=app.name,
        handlers=tuple(_handlers(app)),
        initializers=len(app.process_initializers),
        settings={
            name: value
            for name, value in settings.model_dump().items()
            if name != "broker" and _can_be_pickled(value)
        },
        broker=app.broker_address,
        workers=settings.process_workers or _cpus(),
        has_state=any(topic.stores for topic in _topics(app)),
        max_records=settings.process_max_records,
        max_mib=settings.process_max_mib,
        max_message_bytes=max_message_bytes,
        topic_limits=dict(topic_limits),
        directory=os.getcwd(),  # noqa: PTH109  # as text, which any Python can unpickle
        log_format=form,
        verbose=verbose,
        instance=instance,
    )


def find_app(launch: Launch, apps: Iterable[App]) -> App:
    """The app that was started, as the modules imported here declare it.

    Raises:
        WorkerStartError: they declare none with these handlers; says which one is missing.
    """
    wanted = {(topic, name, _plain(module), qual) for topic, name, module, qual in launch.handlers}
    missing = wanted
    for app in apps:
        if app.name != launch.app:
            continue
        found = {
            (topic, name, _plain(module), qual) for topic, name, module, qual in _handlers(app)
        }
        if wanted <= found and len(app.process_initializers) == launch.initializers:
            return app
        missing = min(missing, wanted - found, key=len)
    lost = ", ".join(f"{module}.{qual} on topic {topic!r}" for topic, _, module, qual in missing)
    raise WorkerStartError(
        f"a worker process imported {', '.join(launch.modules)}, and that did not declare "
        f"{lost or 'the same process initializers'} for app {launch.app!r} again. Declare "
        "handlers at the top of a module, not in a function, and not under "
        'if __name__ == "__main__"'
    )


def being_imported() -> bool:
    """Whether this is a worker process that imports the program it was started by."""
    return getattr(multiprocessing.current_process(), "_inheriting", False)


def _topics(app: App) -> Iterable[Topic]:
    return (topic for topic in app.topics.values() if topic.execution == "processes")


def _handlers(app: App) -> Iterable[Handler]:
    for topic in _topics(app):
        handlers = topic.jobs.values() if topic.stream is None else [topic.stream]
        for each in handlers:
            function = each.function
            yield topic.name, each.name, function.__module__, function.__qualname__


def _plain(module: str) -> str:
    return MAIN[0] if module in MAIN else module


def _cpus() -> int:
    """The CPUs this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _logging() -> tuple[LogFormat | None, bool, str | None]:
    """How this process writes its log, as arguments of `logs.configure`."""
    if not structlog.is_configured():
        return None, False, None
    configured = structlog.get_config()
    as_json = any(
        isinstance(each, structlog.processors.JSONRenderer) for each in configured["processors"]
    )
    debug = configured["wrapper_class"](None, [], {})
    verbose = getattr(debug, "is_enabled_for", lambda _level: False)(10)
    instances = (
        each.instance for each in configured["processors"] if isinstance(each, AddInstance)
    )
    return "json" if as_json else "console", bool(verbose), next(instances, None)


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value, 5)
    except Exception:
        return False
    return True
