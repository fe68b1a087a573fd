"""SQL over the lake: one view an asset, read-only, wherever the lake lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

BATCH = "batch"


class QueryError(ValueError):
    """A query cannot be answered; the message says why."""


def run_query(lake: Lake, query: str) -> pa.Table:
    """Return the answer to one SELECT over the views of the lake.

    Every asset that has been materialized is a view of its name; the batches of an asset stand in one view, with a
    column `batch`. The database itself lies in memory and is cut off from files and network, so a query can read the
    lake's tables and nothing else, and can write nothing.

    Raises:
        QueryError: It is not one SELECT, or DuckDB refuses it.
    """
    import duckdb

    connection = duckdb.connect()
    for asset, dataset in lake_datasets(lake):
        connection.register(asset, dataset)
    for setting in ("enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("only one SELECT is answered: the lake is read-only here")
        return connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        known = ", ".join(asset for asset, _ in lake_datasets(lake)) or "none yet"
        raise QueryError(f"{str(error).strip()}\nTables: {known}") from error


def lake_datasets(lake: Lake) -> Iterator[tuple[str, ds.Dataset]]:
    """Yield each materialized asset and its table over all batches, none of whose values are read yet."""
    for asset, table in TABLES.items():
        batches = [*lake.batches(asset)] if table.partitioned else []
        if batches or (not table.partitioned and lake.exists(asset)):
            yield asset, _dataset(lake, asset, batches)


def _dataset(lake: Lake, asset: str, batches: list[str]) -> ds.Dataset:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    paths = [lake.path(asset, batch) for batch in batches] or [lake.path(asset)]
    filesystem = PyFileSystem(FSSpecHandler(paths[0].fs))
    file_format = ds.ParquetFileFormat()
    has_batch = BATCH in {column.name for column in TABLES[asset].columns}
    fragments = [
        file_format.make_fragment(
            path.path,
            filesystem,
            partition_expression=None if has_batch or not batches else ds.field(BATCH) == batch,
        )
        for path, batch in zip(paths, batches or [""], strict=True)
    ]
    # Batches may have other genes; a view has all of them, empty where a batch lacks one.
    schemas = [fragment.physical_schema.remove_metadata() for fragment in fragments]
    schema = pa.unify_schemas(schemas)
    if batches and not has_batch:
        schema = schema.insert(0, pa.field(BATCH, pa.string()))
    return ds.FileSystemDataset(fragments, schema, file_format, filesystem)
