"""Tables as Quix's lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamjobs.pipelines.quix import BaseField, BaseLookup

if TYPE_CHECKING:
    from streamjobs.tables import Table

__all__ = ("TableField", "TableLookup")


@dataclass(frozen=True)
class TableField(BaseField):
    """What a column gets: a field of the table's value, or all of it."""

    name: str | None = None
    default: Any = None

    def of(self, found: Any) -> Any:
        """That of a value of the table, which is None where there is none."""
        if found is None:
            return self.default
        if self.name is None:
            return found
        if isinstance(found, Mapping):
            return found.get(self.name, self.default)
        return getattr(found, self.name, self.default)


class TableLookup(BaseLookup[TableField]):
    """Puts into each value what the table has under a key."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def topic(self) -> str:
        """Whose values they are."""
        return self._table.topic

    def join(
        self,
        fields: Mapping[str, TableField],
        on: Any,
        value: dict[str, Any],
        key: Any,
        timestamp: int,
        headers: Any,
    ) -> None:
        found = self._table.get(on)
        for column, field in fields.items():
            value[column] = field.of(found)
