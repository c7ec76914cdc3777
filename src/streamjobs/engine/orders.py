"""What order is kept for."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ("Order",)

Order = Hashable
"""What order is kept for: the bytes of a key, the number of a virtual partition, or the record
itself where it carries no order."""
