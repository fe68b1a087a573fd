"""Matrices as Parquet: pandas, polars, R's arrow and DuckDB write them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tcell_assets.landing.files import LandingFile, MovedFileError, hash_stream, note_unreadable
from tcell_assets.landing.formats import MatrixFormat, Source, folder_of
from tcell_assets.landing.formats.delimited import MATRIX_STEMS, stated_kind, wells_of_table
from tcell_assets.landing.gene_names import reason_no_gene
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings
from tcell_assets.landing.tables import NumericTable, report_non_finite

PANDAS_INDEX = "__index_level_0__"
# Of a Parquet file: all 40 000 at once take twice the memory.
COLUMNS_AT_ONCE = 1_000


def matrix_of(name: str) -> str | None:
    """The file itself where its name is ``expression.parquet`` or ``counts.parquet``."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return name if stem in MATRIX_STEMS and suffix in ("parquet", "pq") else None


def read(
    source: Source, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read a Parquet file: text columns name rows, every other column is a gene or a well."""
    table = _read_parquet(source.only, settings.limits, problems)
    if table is None:
        return None
    return wells_of_table(table, source, stated_kind(source.name), 1, problems)


def _read_parquet(
    file: LandingFile, limits: LandingLimits, problems: ProblemCollector
) -> NumericTable | None:
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        return None
    try:
        with file.opened() as stream:
            file.parsed.sha256 = hash_stream(stream)
            # The descriptor whose bytes were hashed, whatever lies under the file's name by now.
            return _read_parquet_columns(file, f"/dev/fd/{stream.fileno()}", limits, problems)
    except MovedFileError as error:
        note_unreadable(file, error, problems)
        return None
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        found = (
            f"is not a readable Parquet file ({str(error).splitlines()[0][:200] if str(error) else error!r})"
        )
        problems.add("damaged files", file.name, "", found, "Write it again or copy it again")
        return None


def _read_parquet_columns(
    file: LandingFile, path: str, limits: LandingLimits, problems: ProblemCollector
) -> NumericTable | None:
    with pq.ParquetFile(path) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
        rows, names = metadata.num_rows, schema.names
        packed = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        claimed = max(packed, rows * len(names) * 8)
        if claimed > limits.max_unpacked_bytes or max(rows, len(names)) > limits.max_genes:
            found = f"claims {rows:,} rows × {len(names):,} columns, {claimed:,} bytes in memory"
            mend = "If the file is meant, raise limits.max_unpacked_bytes or limits.max_genes"
            problems.add("files too large", file.name, "", found, mend)
            return None
        if rows == 0:
            problems.add("files without rows", file.name, "", "has no row", "Add one row a well")
            return None
        if len(set(names)) < len(names):
            doubled = [name for name, count in Counter(names).items() if count > 1]
            found = f"names columns more than once: {listed(doubled)}"
            problems.add("duplicate genes", file.name, "", found, "Make the names differ")
            return None
        types = dict(zip(names, schema.types, strict=True))
    labels = [
        name
        for name, kind in types.items()
        if _is_text(kind) or name == PANDAS_INDEX or reason_no_gene(name) is not None
    ]
    columns = [name for name in names if name not in set(labels)]
    wrong = [
        name
        for name in columns
        if not (pa.types.is_integer(types[name]) or pa.types.is_floating(types[name]))
    ]
    for name in wrong[:SHOWN_PER_KIND]:
        found = f"has the column {quoted(name)} of type {types[name]}, which holds no numbers"
        problems.add("non-numeric columns", file.name, "", found, "Write numbers or remove the column")
    if wrong or not columns:
        if not columns:
            problems.add("files without numbers", file.name, "", "has no column of numbers", "Add the genes")
        return None
    values = np.empty((rows, len(columns)))
    # A dictionary keeps one long text repeated in every row from filling the memory; Arrow makes none of views.
    texts_of = [
        name for name in labels if pa.types.is_string(types[name]) or pa.types.is_large_string(types[name])
    ]
    with pq.ParquetFile(path, read_dictionary=texts_of) as parquet:
        label_table = parquet.read(labels)
        for start in range(0, len(columns), COLUMNS_AT_ONCE):
            block = columns[start : start + COLUMNS_AT_ONCE]
            table = parquet.read(block)
            for position, name in enumerate(block, start):
                values[:, position] = table[name].to_numpy()
    texts: dict[str, list[str]] = {}
    for name in labels:
        if any(_longest(chunk) > limits.max_name_length for chunk in label_table[name].chunks):
            found = f"has a name longer than {limits.max_name_length} characters in column {quoted(name)}"
            problems.add("unusable names", file.name, "", found, "Correct the name")
            return None
        texts[name] = ["" if text is None else str(text) for text in label_table[name].to_pylist()]
    result = NumericTable(file.name, texts, columns, values)
    return result if report_non_finite(result, 1, problems) else None


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or is_view(value))


def _longest(chunk: pa.Array) -> int:
    names = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    return max((len(str(name)) for name in names.to_pylist()), default=0)


FORMAT = MatrixFormat("Parquet", matrix_of, folder_of, read)
