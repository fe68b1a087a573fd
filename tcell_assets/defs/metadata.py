"""What a materialization shows in the Dagster UI: schema, counts, versions, small pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import dagster as dg

from tcell_assets.defs.headlines import headline
from tcell_assets.lake.column_lineage import column_sources
from tcell_assets.lake.schema import Table
from tcell_assets.lake.stages import Stage
from tcell_assets.lake.store import content_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets.targets import Target

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    TableResult = dg.MaterializeResult[Any]
else:
    # In the annotation of an asset Dagster knows the bare class alone.
    TableResult = dg.MaterializeResult

# Which stage makes an asset; jobs select by it.
STAGE_TAG = "tcell/stage"
MODEL_VERSION = "model_version"
TRAINING_BATCHES = "training_batches"

# A picture inlined in metadata stays in the event log for ever.
LARGEST_INLINE_PICTURE = 50 * 1024
SPARKLINE_POINTS = 40


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with Dagster's wrappers taken off."""
    return {
        name: value.value if isinstance(value, dg.MetadataValue) else value
        for name, value in metadata.items()
    }


def column_schema(table: Table) -> dg.TableSchema:
    """Return a table's columns for the UI; gene columns are named in its description only."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=table.key == (column.name,)
                ),
            )
            for column in table.columns
        ]
    )


def column_lineage(asset: str) -> dict[str, Any]:
    """Return the metadata that names the columns a table's columns are made from, empty where none is known."""
    sources = column_sources().get(asset)
    if not sources:
        return {}
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(dg.AssetKey(upstream), name) for upstream, name in made_from]
                for column, made_from in sources.items()
            }
        )
    }


def stage_tag(stage: Stage) -> dict[str, str]:
    """Return the tag of an asset that this stage makes."""
    return {STAGE_TAG: stage.name}


def table_arguments(asset: str) -> dict[str, Any]:
    """Return what `@asset` and `AssetOut` take for a table: description, columns, kinds, stage and code version."""
    table = TABLES[asset]
    return {
        # An asset with checks would otherwise be taken to return nothing.
        "dagster_type": Any,
        "description": table.description,
        "metadata": {"dagster/column_schema": column_schema(table)},
        "kinds": {"parquet", "pandas"},
        "code_version": table.code_version,
        "tags": stage_tag(table.made_by),
    }


def group_of(module: str) -> str:
    """Return the group in the UI of the assets of a module: the name of its file."""
    return module.rpartition(".")[2]


def table_asset(asset: str, **arguments: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of an asset that makes this table; `arguments` are more of those of `dg.asset`."""

    def decorated(function: Callable[..., Any]) -> dg.AssetsDefinition:
        group = group_of(function.__module__)
        decorator = dg.asset(group_name=group, **table_arguments(asset), **arguments)
        return cast("Callable[[Callable[..., Any]], dg.AssetsDefinition]", decorator)(function)

    return decorated


def table_out(asset: str, module: str, owners: list[str]) -> dg.AssetOut:
    """Return the output of a module's multi-asset that makes this table, optional so that a run can leave it out."""
    return dg.AssetOut(
        is_required=False, group_name=group_of(module), owners=owners, **table_arguments(asset)
    )


def table_result(
    asset: str,
    frame: pd.DataFrame,
    metadata: Mapping[str, Any] | None = None,
    model_version: str | None = None,
    training_batches: Mapping[str, str] | None = None,
    check_results: Sequence[dg.AssetCheckResult] = (),
    targets: Sequence[Target] | None = None,
    table: pa.Table | None = None,
) -> dg.MaterializeResult[pa.Table]:
    """Return the result of a table asset: its Arrow table, data version and what the UI shows of it.

    Of a table that is too long for a frame, the Arrow table is given as well, and the frame holds what its headline
    needs.

    The data version is the content hash, so that an identical rerun does not mark everything downstream stale. Columns
    are those of the installation's targets, or of the targets given, as of a model whose targets are declared no more;
    those of a target that the frame says nothing of stay empty.

    Raises:
        SchemaError: The frame does not fit the table.
    """
    schema = TABLES[asset]
    if targets is not None:
        schema = schema.of_targets(targets)
    if table is None:
        table = schema.to_arrow(schema.with_absent_targets(frame))
    version = content_hash(table)
    # The UI shows them in this order: the result, what was made of it, and at the end what identifies it.
    hashes = {name: value for name, value in (metadata or {}).items() if name.endswith(("_hash", "_hashes"))}
    shown: dict[str, Any] = {
        "headline": headline(asset, frame),
        **{name: value for name, value in (metadata or {}).items() if name not in hashes},
        "dagster/row_count": table.num_rows,
        **hashes,
        "content_hash": version,
    } | column_lineage(asset)
    if model_version is not None:
        shown[MODEL_VERSION] = model_version
    if training_batches is not None:
        shown[TRAINING_BATCHES] = dg.MetadataValue.json(dict(training_batches))
    return dg.MaterializeResult(
        asset_key=asset,
        value=table,
        metadata=shown,
        data_version=dg.DataVersion(version),
        check_results=list(check_results),
    )


def preview(frame: pd.DataFrame, rows: int = 10) -> dg.MetadataValue:
    """Return the first rows of a table as Markdown."""
    head = frame.head(rows).copy()
    for column in head.select_dtypes("number").columns:
        head[column] = head[column].map(lambda value: f"{value:.4g}")
    lines = ["| " + " | ".join(head.columns) + " |", "|" + " --- |" * len(head.columns)]
    lines += ["| " + " | ".join(literal_markdown(value) for value in row) + " |" for row in head.to_numpy()]
    return dg.MetadataValue.md("\n".join(lines))


def bullet_list(lines: Iterable[str]) -> dg.MetadataValue:
    """Return lines as a Markdown list that shows them literally, or `none`."""
    return dg.MetadataValue.md("\n".join(f"- {literal_markdown(line)}" for line in lines) or "none")


def literal_markdown(value: object) -> str:
    """Return a line of text that Markdown shows literally: names are data and may hold markup."""
    text = " ".join(str(value).split())
    for character in "\\`*_{}[]<>()#+-!|~&:@":
        text = text.replace(character, "\\" + character)
    return text


def served_link(address: str) -> dg.MetadataValue:
    """Return a link to a file that `tcell ui` serves beside the UI, e.g. `/reports/screen.html`."""
    return dg.MetadataValue.url(address)


def sparkline(values: Sequence[float], meaning: str) -> dg.MetadataValue:
    """Return a curve small enough to stand on the asset's page itself.

    The UI shows Markdown under 1 000 characters at once, so a long series is thinned to 40 points, its last among them.
    Unknown values are left out; `meaning` is what a screen reader says.
    """
    known = [float(value) for value in values if value == value]
    step = -(-len(known) // SPARKLINE_POINTS) or 1
    drawn = known[::-step][::-1]
    low, high = min(drawn, default=0.0), max(drawn, default=0.0)
    points = " ".join(
        f"{120 * index / max(len(drawn) - 1, 1):.0f},{26 - 24 * (value - low) / ((high - low) or 1):.0f}"
        for index, value in enumerate(drawn)
    )
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="28">'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/></svg>'
    )
    return dg.MetadataValue.md(
        f"![{literal_markdown(meaning)}](data:image/svg+xml,{quote(svg, safe='=:/,')})"
    )


def picture(png: bytes) -> dg.MetadataValue:
    """Return a PNG shown in a modal of the UI.

    Raises:
        ValueError: The picture is over 50 KiB; write it to a file and show a thumbnail.
    """
    if len(png) > LARGEST_INLINE_PICTURE:
        raise ValueError(f"a picture of {len(png)} bytes does not belong in the event log (50 KiB at most)")
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")
