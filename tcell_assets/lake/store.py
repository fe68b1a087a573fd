"""The Parquet lake: one file a table and batch, with its lineage in the footer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tcell_assets.lake.reads import ABSENT, ReadLog
from tcell_assets.lake.schema import SchemaError
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.ingest import NOT_FOR_TRAINING
from tcell_assets.system.files import StorageError, write_atomically
from tcell_assets.targets import known_targets

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from upath import UPath

# Detail of `well_metadata`: the hash of what training reads of it.
TRAINING_HASH = "training_hash"

_FOOTER_KEY = b"tcell_assets"
_MAGIC = b"PAR1"
# Rows of one piece of the stream that is hashed; another number gives other hashes. Arrow fills the texts of a piece up
# to 8 bytes with those that follow in memory, so the rows behind a piece are at hand while it is written.
_HASHED_ROWS, _ROWS_BEHIND = 65536, 64
_Result = TypeVar("_Result")


class MissingTableError(FileNotFoundError):
    """A table was asked for that has not been materialized."""


@dataclass(frozen=True)
class Lineage:
    """Where a Parquet file comes from, kept in its footer so that it survives outside Dagster.

    `data_version` is the content hash of the table. Downstream of the model, `model_version` names the model and
    `training_batches` the content hash of each batch it was trained on. `inputs` holds the data version of every table
    that was read for it (`lake.reads`), and `batches` those it sums up; None in footers of before they were kept.
    """

    asset: str
    batch: str | None
    run_id: str
    code_version: str
    data_version: str
    model_version: str | None = None
    training_batches: Mapping[str, str] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] | None = None
    batches: Mapping[str, Sequence[str]] | None = None

    def to_footer(self) -> dict[bytes, bytes]:
        """Return the Parquet key-value metadata that holds this lineage."""
        return {_FOOTER_KEY: json.dumps(asdict(self), sort_keys=True).encode()}

    @classmethod
    def from_footer(cls, path: UPath, metadata: Mapping[bytes, bytes] | None) -> Lineage:
        """Read the lineage back.

        Raises:
            StorageError: The file was not written by this platform, or for another place in the lake.
        """
        if not metadata or _FOOTER_KEY not in metadata:
            raise StorageError(f"{path}: has no lineage in its footer, so it was not written by tcell_assets")
        lineage = cls(**json.loads(metadata[_FOOTER_KEY]))
        folder = [path.parent.name] if lineage.batch is not None else []
        if [*folder, path.stem] != [lineage.asset, *([lineage.batch] if folder else [])]:
            raise StorageError(
                f"{path}: is a copy of {lineage.asset} of {lineage.batch or 'the screen'}; materialize its asset again"
            )
        return lineage


def content_hash(table: pa.Table) -> str:
    """Return the sha256 of the values, column names and types of `table`; chunking and metadata do not matter."""
    import pyarrow as pa

    digest = hashlib.sha256()

    class _Sink:
        closed = False

        def write(self, data: Any) -> int:
            digest.update(data)
            return len(data)

        def flush(self) -> None:
            pass

        def close(self) -> None:
            pass

    _note_missing(table, digest.update)
    # A piece at a time: a table of 100 million rows, mapped from disk, is hashed in the memory of one piece.
    piece = _without_arbitrary_bits(table.slice(0, _HASHED_ROWS + _ROWS_BEHIND))
    with pa.ipc.new_stream(pa.PythonFile(_Sink(), mode="w"), piece.schema) as writer:
        for start in range(0, table.num_rows, _HASHED_ROWS):
            if start:
                piece = _without_arbitrary_bits(table.slice(start, _HASHED_ROWS + _ROWS_BEHIND))
            (batch,) = piece.to_batches()
            writer.write_batch(batch.slice(0, _HASHED_ROWS))
    return digest.hexdigest()


def _note_missing(table: pa.Table, note: Callable[[bytes], object]) -> None:
    import numpy as np

    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            note(f"{name}:".encode() + np.packbits(column.is_null().to_numpy()).tobytes())


def _without_arbitrary_bits(table: pa.Table) -> pa.Table:
    """Return the table in one piece, without metadata and with missing values filled.

    What lies in memory under a missing value, and behind the last bit of a column of truth values, is arbitrary: it
    differs between a table that was made and the same one read back.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    # All columns are put together once: replacing them one by one copies the table's schema each time, which took
    # 18 s for 4 000 columns.
    columns = []
    for column in table.columns:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        if column.null_count:
            empty = "" if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else 0
            column = pc.fill_null(column, pa.scalar(empty).cast(column.type))
        columns.append(column)
    return pa.Table.from_arrays(columns, names=table.column_names).combine_chunks()


def training_hash(wells: pa.Table) -> str:
    """Return the hash of what training reads of a batch's `well_metadata`: its targets, names and which are empty.

    A table without the columns that say how wells are compared, as they all once were, has its content hash.
    """
    import pyarrow.compute as pc

    # A declared target that no well of the batch has adds nothing to learn from.
    unknown = {
        target.name
        for target in known_targets()
        if not target.is_published
        and target.name in wells.column_names
        and wells[target.name].null_count == len(wells)
    }
    read = content_hash(
        wells.select([name for name in wells.column_names if name not in {*NOT_FOR_TRAINING, *unknown}])
    )
    if "well_type" not in wells.column_names:
        return read
    empty = wells.filter(pc.equal(wells["well_type"], "empty"))["well_id"].to_pylist()
    return hashlib.sha256("\n".join([read, *sorted(empty)]).encode()).hexdigest() if empty else read


@dataclass(frozen=True)
class Lake:
    """Reads and writes the tables below `root`: `<asset>/<batch>.parquet`, or `<asset>.parquet` for screen tables."""

    root: UPath
    # What the step that uses this lake has read; None where nobody asks.
    reads: ReadLog | None = field(default=None, compare=False)

    def path(self, asset: str, batch: str | None = None) -> UPath:
        """Return where a table lives.

        Raises:
            KeyError: There is no such table.
            ValueError: A batch is given for a screen table, or none for a batch table.
        """
        table = TABLES[asset]
        if table.partitioned != (batch is not None):
            wants = "one file a batch" if table.partitioned else "one file for the screen"
            raise ValueError(f"table {asset} is {wants}; batch {batch!r} was asked for")
        return self.root / asset / f"{batch}.parquet" if batch is not None else self.root / f"{asset}.parquet"

    def batches(self, asset: str) -> list[str]:
        """Return the batches of which `asset` is in the lake, sorted."""
        folder = self.root / asset
        if not folder.exists():
            return []
        return sorted(
            file.stem for file in folder.iterdir() if file.suffix == ".parquet" and file.name[0] != "."
        )

    def exists(self, asset: str, batch: str | None = None) -> bool:
        """Return whether the table has been written."""
        there = self.path(asset, batch).exists()
        if self.reads is not None and not there:
            self.reads.note(asset, batch, ABSENT)
        return there

    def depends_on(self, asset: str, batch: str | None = None) -> None:
        """Note that what is made now rests on a table, or on its not being there, without reading its values."""
        if self.exists(asset, batch) and self.reads is not None:
            self.reads.note(asset, batch, self.lineage(asset, batch).data_version)

    def write(self, frame: pd.DataFrame | pa.Table, lineage: Lineage) -> UPath:
        """Validate `frame` against its table's schema and write it atomically with its lineage.

        Raises:
            SchemaError: The frame does not fit the table.
            StorageError: The file could not be written; the previous one is intact.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(lineage.asset, lineage.batch)
        schema = TABLES[lineage.asset]
        table = frame if isinstance(frame, pa.Table) else schema.to_arrow(frame)
        table = table.replace_schema_metadata(lineage.to_footer())
        # Thousands of gene columns of distinct floats: dictionaries never pay there, and statistics of each column
        # would triple the footer.
        wide = schema.gene_columns is not None
        write_atomically(
            path,
            lambda file: pq.write_table(
                table,
                file,
                compression="zstd",
                use_dictionary=not wide,
                write_statistics=not wide,
                write_page_checksum=True,
            ),
        )
        return path

    def read(self, asset: str, batch: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a table as a frame.

        Raises:
            MissingTableError: It has not been materialized.
            StorageError: The file is damaged or not ours.
        """
        frame: pd.DataFrame = self.read_arrow(asset, batch, columns).to_pandas()
        return frame

    def read_arrow(self, asset: str, batch: str | None = None, columns: list[str] | None = None) -> pa.Table:
        """Return a table as Arrow; see `read`."""
        path, schema = self.path(asset, batch), TABLES[asset]
        stored = _read(path, partial(_read_columns, columns=columns, optional=schema.optional_columns()))
        self._note(asset, batch, stored.schema.metadata)
        if columns is not None:
            return stored
        try:
            return schema.as_of_today(stored)
        except SchemaError as error:
            raise StorageError(f"{path}: {error}; materialize its asset again") from error

    def read_rows(
        self, asset: str, column: str, values: Sequence[str], batch: str | None = None
    ) -> pd.DataFrame:
        """Return the rows of a table whose `column` holds one of these values; of long tables little else is read.

        Raises:
            MissingTableError: It has not been materialized.
            StorageError: The file is damaged or not ours.
        """
        import pyarrow.parquet as pq

        # By its bounds alone a part of the file is passed over: 0.2 s instead of 10 for 100 of 10 000 conditions.
        bounds = (min(values, default=""), max(values, default=""))
        wanted = [(column, ">=", bounds[0]), (column, "<=", bounds[1]), (column, "in", list(values))]
        stored = _read(
            self.path(asset, batch),
            lambda file: pq.read_table(file, filters=wanted, page_checksum_verification=True),
        )
        self._note(asset, batch, stored.schema.metadata)
        frame: pd.DataFrame = stored.to_pandas()
        return frame

    def distinct(self, asset: str, column: str, batch: str | None = None) -> list[str]:
        """Return the values of a column of text, sorted, in the memory of a part of the table; see `read_rows`."""
        import pyarrow.parquet as pq

        def values(file: Any) -> set[str]:
            with pq.ParquetFile(file, read_dictionary=[column], page_checksum_verification=True) as parquet:
                self._note(asset, batch, parquet.schema_arrow.metadata)
                return {
                    value
                    for part in parquet.iter_batches(columns=[column])
                    for value in part.column(0).unique().to_pylist()
                }

        return sorted(_read(self.path(asset, batch), values))

    def verify(self, asset: str, batch: str | None = None) -> None:
        """Read a whole table and compare its content with the hash in its footer.

        Raises:
            MissingTableError: It has not been materialized.
            StorageError: The file is damaged, not ours, lies under another table's name, or its values were changed.
        """
        path, lineage = self.path(asset, batch), self.lineage(asset, batch)
        # What lies there, not what today's targets make of it; but a table that no longer fits is found here too.
        self.read_arrow(asset, batch)
        if content_hash(_read(path, _read_all)) != lineage.data_version:
            raise StorageError(
                f"{path}: its values are not those that were written (content hash differs); "
                "materialize its asset again"
            )

    def lineage(self, asset: str, batch: str | None = None) -> Lineage:
        """Return the lineage in the footer of a table; see `read` for what is raised."""
        path = self.path(asset, batch)
        return _read(path, lambda file: Lineage.from_footer(path, _footer(file)))

    def genes(self, batch: str) -> list[str]:
        """Return the genes of a batch's expression matrix without reading its values."""
        import pyarrow.parquet as pq

        path = self.path("expression_matrix", batch)
        schema = _read(path, pq.read_schema)
        self._note("expression_matrix", batch, schema.metadata)
        return [name for name in schema.names if name != "well_id"]

    def _note(self, asset: str, batch: str | None, metadata: Mapping[bytes, bytes] | None) -> None:
        """Check that a file is the table it is called, and note it with the data version of the very file opened."""
        lineage = Lineage.from_footer(self.path(asset, batch), metadata)
        if self.reads is not None:
            self.reads.note(asset, batch, lineage.data_version)

    def expression(self, batch: str, genes: Sequence[str] | None = None) -> pd.DataFrame:
        """Return expression of a batch: index `well_id`, one float32 column a gene, all or the named ones in order."""
        columns = None if genes is None else ["well_id", *genes]
        return self.read("expression_matrix", batch, columns).set_index("well_id")

    def scored_by(self, asset: str, model_version: str) -> list[str]:
        """Return the batches whose `asset` was made by this model."""
        return [
            batch
            for batch in self.batches(asset)
            if self.lineage(asset, batch).model_version == model_version
        ]

    def batch_hash(self, batch: str) -> str:
        """Return the content hash of what a batch gives to training: its wells, what was measured, what is usable.

        Of a batch that landed as counts it is the counts that are hashed: their expression follows the current model's
        fit, and a model must not make its own training set look changed.
        """
        counted = self.lineage("expression_matrix", batch).details.get("value_kind") == "counts"
        measured = "count_matrix" if counted else "expression_matrix"
        wells = self.lineage("well_metadata", batch)
        parts = [
            wells.details.get(TRAINING_HASH, wells.data_version),
            self.lineage(measured, batch).data_version,
        ]
        if self.exists("well_qc", batch):
            quality = self.read("well_qc", batch, ["well_id", "qc_pass"])
            parts += sorted(quality.loc[~quality["qc_pass"], "well_id"])
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _footer(file: Any) -> Mapping[bytes, bytes] | None:
    """Return the key-value metadata of a Parquet file, ours alone where it can be found without parsing the rest.

    The columns of 300 batches of 4 000 genes take pyarrow 12 s to parse; the text behind our key takes .1 s to find.
    """
    import pyarrow.parquet as pq

    file.seek(-8, os.SEEK_END)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == _MAGIC and 0 < length <= file.tell() - 12:
        file.seek(-8 - length, os.SEEK_END)
        footer = file.read(length)
        # Thrift's compact protocol: the key with its length before it, the head of a field of bytes, and its length.
        start = footer.rfind(bytes([len(_FOOTER_KEY)]) + _FOOTER_KEY + b"\x18")
        if start >= 0:
            position, size, shift = start + len(_FOOTER_KEY) + 2, 0, 0
            while footer[position] & 0x80:
                size |= (footer[position] & 0x7F) << shift
                position, shift = position + 1, shift + 7
            size |= footer[position] << shift
            text = footer[position + 1 : position + 1 + size]
            if text[:1] == b"{" and text[-1:] == b"}":
                return {_FOOTER_KEY: text}
    file.seek(0)
    metadata: Mapping[bytes, bytes] | None = pq.read_schema(file).metadata
    return metadata


def _read_all(file: Any) -> pa.Table:
    return _read_columns(file, None, {})


def _read_columns(file: Any, columns: list[str] | None, optional: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the named columns in their order, or all; an optional one that is not there is empty.

    Not by `pyarrow.parquet.read_table`: where one thread is allowed (OMP_NUM_THREADS=1) that took 12 s and 6.7 GiB for
    384 wells × 40 000 genes, this 1.2 s and 0.5 GiB.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        if columns is None:
            return parquet.read()
        stored = set(parquet.schema_arrow.names)
        table = parquet.read([name for name in columns if name in stored or name not in optional])
    for name in columns:
        if name in optional and name not in stored:
            table = table.append_column(name, pa.nulls(table.num_rows, optional[name]))
    return table.select(columns)


def _read(path: UPath, read: Callable[[Any], _Result]) -> _Result:
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            return read(file)
    except FileNotFoundError as error:
        raise MissingTableError(f"{path}: not there yet; materialize its asset first") from error
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: cannot be read ({error}); materialize its asset again") from error
