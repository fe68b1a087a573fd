"""Every table of the lake, declared once: one file a group of the UI, in the order of the flow."""

from __future__ import annotations

from tcell_assets.lake.schema import Table
from tcell_assets.lake.tables import attribution, evaluation, ingest, model, quality, scoring, screen

GROUPS = (ingest, quality, model, evaluation, scoring, screen, attribution)

TABLES: dict[str, Table] = {
    table.asset: table for group in GROUPS for table in vars(group).values() if isinstance(table, Table)
}
