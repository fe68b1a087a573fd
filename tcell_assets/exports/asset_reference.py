"""The page that documents every asset and its columns, made from the definitions so that it cannot drift."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import groupby

import dagster as dg

from tcell_assets.lake.schema import Column
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS

# Pixels of the graph: one column of boxes a group, wide enough for the longest asset name.
_BOX_WIDTH, _BOX_HEIGHT, _COLUMN_WIDTH, _ROW_HEIGHT, _MARGIN = 190, 30, 250, 44, 20


@dataclass(frozen=True)
class DocumentedAsset:
    """What the page says of one asset."""

    name: str
    group: str
    description: str
    is_partitioned: bool
    upstream: tuple[str, ...]
    owners: tuple[str, ...]
    kinds: tuple[str, ...]


def documented_assets(definitions: dg.Definitions) -> list[DocumentedAsset]:
    """Return every asset in the order of the flow: by group, and in a group after what it is made from."""
    graph = definitions.resolve_asset_graph()
    assets = [
        DocumentedAsset(
            name=key.to_user_string(),
            group=graph.get(key).group_name,
            description=graph.get(key).description or "",
            is_partitioned=graph.get(key).partitions_def is not None,
            upstream=tuple(sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)),
            owners=tuple(graph.get(key).owners),
            kinds=tuple(sorted(graph.get(key).kinds)),
        )
        for key in graph.toposorted_asset_keys
    ]
    place = {group: number for number, group in enumerate(_groups_in_order(assets))}
    return sorted(assets, key=lambda asset: place[asset.group])


def _groups_in_order(assets: Sequence[DocumentedAsset]) -> tuple[str, ...]:
    """Every group after those whose assets it is made from.

    Raises:
        graphlib.CycleError: Two groups need each other.
    """
    group_of = {asset.name: asset.group for asset in assets}
    needs: dict[str, set[str]] = {}
    for asset in assets:
        needs.setdefault(asset.group, set()).update(group_of[parent] for parent in asset.upstream)
    return tuple(TopologicalSorter({group: of - {group} for group, of in needs.items()}).static_order())


def groups_in_order(definitions: dg.Definitions) -> tuple[str, ...]:
    """Return the groups of the UI in the order of the flow."""
    return _groups_in_order(documented_assets(definitions))


def asset_reference(definitions: dg.Definitions) -> str:
    """Return the page as Markdown; the graph stands beside it as `asset_graph.svg`."""
    assets = documented_assets(definitions)
    parts = [
        "# Assets and columns\n",
        "A batch asset has one table a screening batch (`storage/lake/<asset>/<batch>.parquet`), a screen asset one "
        "for all (`storage/lake/<asset>.parquet`). Columns are those the writer validates; `?` marks one that may be "
        "empty.\n",
        f"![Asset graph, left to right: {', '.join(_groups_in_order(assets))}](asset_graph.svg)\n",
    ]
    for group, members in groupby(assets, key=lambda asset: asset.group):
        parts.append(f"## {group.capitalize()}\n")
        parts += [_section(asset) for asset in members]
    return "\n".join(parts)


def _section(asset: DocumentedAsset) -> str:
    kind = "batch" if asset.is_partitioned else "screen"
    upstream = ", ".join(f"[`{name}`](#{name})" for name in asset.upstream) or "nothing"
    lines = [
        f"### {asset.name} {{ #{asset.name} }}\n",
        f"{asset.description}\n",
        f"A {kind} asset of {', '.join(asset.owners)}, made from {upstream}.\n",
    ]
    table = TABLES.get(asset.name)
    if table is not None:
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{name}`{'?' if column.nullable else ''} | {column.type} | {_cell(column.description)} |"
            for name, column in _without_repetition(table.columns)
        ]
        if table.gene_columns is not None:
            lines.append(f"| one a gene | {table.gene_columns} | its value in the well |")
        lines.append(f"\nOne row for each {' and '.join(f'`{name}`' for name in table.key)}.\n")
    return "\n".join(lines)


def _without_repetition(columns: Sequence[Column]) -> list[tuple[str, Column]]:
    """Return names and columns, the 32 latent coordinates as one line."""
    rows = []
    for column in columns:
        if column.name == LATENT_COLUMNS[0]:
            rows.append((f"{LATENT_COLUMNS[0]}` … `{LATENT_COLUMNS[-1]}", column))
        elif column.name not in LATENT_COLUMNS:
            rows.append((column.name, column))
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def asset_graph_svg(definitions: dg.Definitions) -> str:
    """Return the asset graph as an SVG: one column a group, from left to right in the order of the flow."""
    columns = {
        group: list(members)
        for group, members in groupby(documented_assets(definitions), key=lambda asset: asset.group)
    }
    places = {
        asset.name: (_MARGIN + _COLUMN_WIDTH * number, _MARGIN + 30 + _ROW_HEIGHT * row)
        for number, members in enumerate(columns.values())
        for row, asset in enumerate(members)
    }
    width = 2 * _MARGIN + _COLUMN_WIDTH * len(columns) - (_COLUMN_WIDTH - _BOX_WIDTH)
    height = 2 * _MARGIN + 30 + _ROW_HEIGHT * max(len(members) for members in columns.values())
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Asset graph</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for asset in (asset for members in columns.values() for asset in members):
        shapes += [_edge(places, parent, asset.name) for parent in asset.upstream]
    for number, (group, members) in enumerate(columns.items()):
        left = _MARGIN + _COLUMN_WIDTH * number
        shapes.append(
            f'<text x="{left}" y="{_MARGIN + 14}" font-weight="bold" fill="#1f2937">{html.escape(group)}</text>'
        )
        for asset in members:
            x, y = places[asset.name]
            fill = "#e0ecff" if asset.is_partitioned else "#fdf0d5"
            shapes.append(
                f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" fill="{fill}" '
                'stroke="#64748b"/>'
                f'<text x="{x + 10}" y="{y + 20}" fill="#111827">{html.escape(asset.name)}</text>'
            )
    return "\n".join([*shapes, "</svg>"])


def _edge(places: Mapping[str, tuple[int, int]], parent: str, child: str) -> str:
    """A curve between two columns, or a bow on the left of one column."""
    start_x, start_y = places[parent]
    end_x, end_y = places[child]
    y1, y2 = start_y + _BOX_HEIGHT // 2, end_y + _BOX_HEIGHT // 2
    if start_x == end_x:
        path = f"M{start_x} {y1} C{start_x - 22} {y1} {end_x - 22} {y2} {end_x} {y2}"
    elif start_x < end_x:
        x1 = start_x + _BOX_WIDTH
        path = f"M{x1} {y1} C{x1 + 50} {y1} {end_x - 50} {y2} {end_x} {y2}"
    else:
        x2 = end_x + _BOX_WIDTH
        path = f"M{start_x} {y1} C{start_x - 50} {y1} {x2 + 50} {y2} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="#94a3b8" stroke-width="1"/>'
