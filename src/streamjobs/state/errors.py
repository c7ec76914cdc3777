"""Errors of state. Messages say what to try next."""

from __future__ import annotations

from streamjobs.errors import ConfigurationError, LostCauseError, StreamjobsError

__all__ = (
    "StateBehindError",
    "StateClosedError",
    "StateCorruptedError",
    "StateDirectoryError",
    "StateError",
    "StateForeignError",
    "StateLockedError",
    "StateNeedsKeyError",
    "StateNotDeclaredError",
    "StateTooLargeError",
    "StateValueError",
)


class StateError(StreamjobsError):
    """Something about state; itself where the store could not be read or written."""


class StateNeedsKeyError(StateError):
    """State was asked for by a record without an ordering key."""


class StateNotDeclaredError(StateError, ConfigurationError):
    """A handler used a store that its declaration does not name."""


class StateValueError(StateError):
    """A stored value is not what the handler asked for."""


class StateTooLargeError(StateError, LostCauseError):
    """A value for which no changelog record is large enough. Another attempt would not help."""


class StateClosedError(StateError):
    """The store is closed: its partition went away, or the app stops."""


class StateLockedError(StateError):
    """Another process has the store open. It may let go of it soon: try again."""


class StateCorruptedError(StateError):
    """The store's files are damaged. The changelog has all of it: destroy it and restore."""


class StateDirectoryError(StateError, ConfigurationError):
    """The state directory cannot be made, read or written."""


class StateBehindError(StateError):
    """The changelog has less than what was committed: somebody deleted it, or made it anew."""


class StateForeignError(StateError):
    """A store or changelog that some other program writes in a way `ctx.state` cannot read."""
