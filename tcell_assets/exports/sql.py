"""SQL over the lake: one view an asset, read-only, within limits of time and memory, wherever the lake lies."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tcell_assets.lake.store import Lake, Lineage
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import is_local

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

BATCH = "batch"
# So many rows are fetched before the size of the answer is looked at.
ROWS_FETCHED_AT_ONCE = 10_000
_CLOSED_DATABASE = {
    # Sorted spills and Python variables of this process are no part of the lake.
    "temp_directory": "''",
    "python_enable_replacements": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}
# Words that ask which tables and columns there are begin so.
_CATALOGUES = ("information_schema", "duckdb_", "pg_", "sqlite_", "show", "describe", "summarize")


class QueryError(ValueError):
    """A query cannot be answered; the message says why."""


@dataclass(frozen=True)
class QueryLimits:
    """What one query may take: time, memory for working on it, and the size of its answer."""

    seconds: float = 60.0
    memory_mib: int = 2048
    answer_mib: int = 512


def run_query(lake: Lake, query: str, limits: QueryLimits = QueryLimits()) -> pa.Table:
    """Return the answer to one SELECT over the views of the lake.

    Every asset that has been materialized is a view of its name; the batches of an asset stand in one view, with a
    column `batch`. The database itself lies in memory and is cut off from files and network, so a query can read the
    lake's tables and nothing else, and can write nothing. DuckDB looks at the clock between two chunks of work and
    counts its own buffers only: `query_process` keeps the limits whatever a query does.

    Raises:
        QueryError: It is not one SELECT, DuckDB refuses it, or it reaches a limit.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{limits.memory_mib}MiB'")
        clock = threading.Timer(limits.seconds, connection.interrupt)
        clock.daemon = True
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError("only one SELECT is answered: the lake is read-only here")
            for asset, dataset in lake_datasets(lake, _tables_of(query)):
                connection.register(asset, dataset)
            for setting, value in _CLOSED_DATABASE.items():
                connection.execute(f"SET {setting} = {value}")
            clock.start()
            return _answer(connection, query, limits)
        except OSError as error:
            raise QueryError(str(error)) from error
        except duckdb.InterruptException as error:
            raise QueryError(too_slow(limits)) from error
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            raise QueryError(too_large(limits)) from error
        except duckdb.Error as error:
            known = ", ".join(materialized(lake)) or "none yet"
            raise QueryError(f"{str(error).strip()}\nTables: {known}") from error
        finally:
            clock.cancel()


def too_slow(limits: QueryLimits) -> str:
    """Return the sentence for a query that took too long."""
    return f"the query was stopped after {limits.seconds:g} s; ask for less, or allow more by --seconds (tcell query)"


def too_large(limits: QueryLimits) -> str:
    """Return the sentence for a query that wanted too much memory."""
    return (
        f"the query needs more than {limits.memory_mib} MiB of memory; ask for fewer rows or columns, or allow more by "
        "--memory-mib (tcell query)"
    )


def _tables_of(query: str) -> Collection[str] | None:
    """Return the tables whose names stand in a query; None, meaning all, where it asks the catalogue which there are.

    DuckDB's own `get_table_names` binds the query, and so refuses a join by USING before the tables are registered.
    """
    words = set(re.findall(r"\w+", query.lower()))
    if any(word.startswith(_CATALOGUES) for word in words):
        return None
    return words & set(TABLES)


def _answer(connection: duckdb.DuckDBPyConnection, query: str, limits: QueryLimits) -> pa.Table:
    import pyarrow as pa

    reader = connection.sql(query).to_arrow_reader(ROWS_FETCHED_AT_ONCE)
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > limits.answer_mib * 2**20:
            raise QueryError(
                f"the answer is larger than {limits.answer_mib} MiB; ask for fewer rows or columns, or a batch at a "
                "time (WHERE batch = …)"
            )
    return pa.Table.from_batches(batches, reader.schema)


def materialized(lake: Lake) -> list[str]:
    """Return the assets of which the lake holds a table."""
    return [
        asset
        for asset, table in TABLES.items()
        if (lake.batches(asset) if table.partitioned else lake.exists(asset))
    ]


def lake_datasets(lake: Lake, named: Collection[str] | None = None) -> Iterator[tuple[str, ds.Dataset]]:
    """Yield each materialized asset and its table over all batches, none of whose values are read yet.

    Args:
        lake: The tables.
        named: The assets wanted, all by default. The footer of every batch is read of these alone: of all of them
            that took 14 s at 200 batches.
    """
    for asset, table in TABLES.items():
        if named is not None and asset not in named:
            continue
        batches = [*lake.batches(asset)] if table.partitioned else []
        if batches or (not table.partitioned and lake.exists(asset)):
            yield asset, _dataset(lake, asset, batches)


def _dataset(lake: Lake, asset: str, batches: list[str]) -> ds.Dataset:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

    paths = [lake.path(asset, batch) for batch in batches] or [lake.path(asset)]
    # Arrow's own reader of local files takes a third of the time of one that calls back into Python.
    filesystem = LocalFileSystem() if is_local(lake.root) else PyFileSystem(FSSpecHandler(paths[0].fs))
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
    for path, fragment in zip(paths, fragments, strict=True):
        Lineage.from_footer(path, fragment.physical_schema.metadata)
    # Batches may have other genes; a view has all of them, empty where a batch lacks one.
    schemas = {fragment.physical_schema.remove_metadata() for fragment in fragments}
    schema = pa.unify_schemas(list(schemas))
    if batches and not has_batch:
        schema = schema.insert(0, pa.field(BATCH, pa.string()))
    return ds.FileSystemDataset(fragments, schema, file_format, filesystem)
