"""Every table of the lake, declared once: one file a group of the UI, in the order of the flow."""

from __future__ import annotations

from tcell_assets.lake.schema import Table
from tcell_assets.lake.stages import Stage
from tcell_assets.lake.tables import attribution, evaluation, ingest, model, profile, quality, scoring, screen

GROUPS = (ingest, quality, model, evaluation, scoring, screen, profile, attribution)

TABLES: dict[str, Table] = {
    table.asset: table for group in GROUPS for table in vars(group).values() if isinstance(table, Table)
}


def tables_made_by(*stages: Stage) -> tuple[str, ...]:
    """Return the tables that these stages make, in the order of the flow."""
    return tuple(asset for asset, table in TABLES.items() if table.made_by in stages)
