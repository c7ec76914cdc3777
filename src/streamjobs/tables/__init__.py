"""Tables: the latest value of each key of a topic, in the memory of every process."""

from __future__ import annotations

from streamjobs.tables.table import Table

__all__ = ("Table",)
