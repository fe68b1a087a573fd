"""Every table of the lake, declared once: one file a group of the UI, in the order of the flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tcell_assets.lake.schema import Table
from tcell_assets.lake.stages import Stage
from tcell_assets.lake.tables import attribution, evaluation, ingest, model, profile, quality, scoring, screen
from tcell_assets.targets import known_targets

GROUPS = (ingest, quality, model, evaluation, scoring, screen, profile, attribution)


class _Tables(Mapping[str, Table]):
    """The tables by asset, each looked up with the columns that the targets of the installation give it today."""

    def __init__(self, declared: Iterable[Table]) -> None:
        self._declared = {table.asset: table for table in declared}

    def __getitem__(self, asset: str) -> Table:
        table = self._declared[asset]
        # A judge looks tables up ten thousand times; asking for the file of targets each time took half of that.
        return table if table.columns_of is None else table.of_targets(known_targets())

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


TABLES: Mapping[str, Table] = _Tables(
    table for group in GROUPS for table in vars(group).values() if isinstance(table, Table)
)


def tables_made_by(*stages: Stage) -> tuple[str, ...]:
    """Return the tables that these stages make, in the order of the flow."""
    return tuple(asset for asset, table in TABLES.items() if table.made_by in stages)
