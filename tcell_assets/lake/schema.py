"""What a table is: its columns, their types and meaning, and how a frame is checked against them.

The Parquet writer validates against these, the Dagster UI shows them, and the documentation is generated from them.
Pandas and pyarrow are imported where they are used: they would almost double the time the definitions take to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tcell_assets.lake.stages import Stage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SchemaError(ValueError):
    """A frame does not fit the table it was meant for."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the name of its Arrow type, what it means, and whether a value may be missing."""

    name: str
    type: str
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the lake, named as its asset.

    `made_by` names the stage, and so the job and the command, that makes it; one that `needs_model` is left out of a
    screen without a model. `key` columns together identify a row.
    `gene_columns` says that one column a gene of this type follows the listed ones; those are never listed in a schema
    (thousands of them would drown the UI). `code_version` changes whenever the same input would give other values.
    """

    asset: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    made_by: Stage
    gene_columns: str | None = None
    partitioned: bool = True
    code_version: str = "1"
    needs_model: bool = False

    def command(self, batch: str | None = None) -> str:
        """Return the command that makes the table anew, of one batch where one is named."""
        command = self.made_by.again or self.made_by.command
        return command if batch is None else f"{command} {batch}"

    def arrow_schema(self, frame_columns: list[str]) -> pa.Schema:
        """Return the Arrow schema for a frame with these columns.

        Raises:
            SchemaError: Columns are missing, unknown or out of order.
        """
        import pyarrow as pa

        listed = [column.name for column in self.columns]
        fields = [
            pa.field(column.name, pa.type_for_alias(column.type), nullable=column.nullable)
            for column in self.columns
        ]
        if self.gene_columns is None:
            if frame_columns != listed:
                raise SchemaError(_column_difference(self.asset, listed, frame_columns))
            return pa.schema(fields)
        if frame_columns[: len(listed)] != listed:
            raise SchemaError(_column_difference(self.asset, listed, frame_columns[: len(listed)]))
        gene_type = pa.type_for_alias(self.gene_columns)
        genes = frame_columns[len(listed) :]
        return pa.schema([*fields, *(pa.field(gene, gene_type, nullable=False) for gene in genes)])

    def to_arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Return `frame` as an Arrow table of exactly this schema, without the pandas index.

        Columns may stand in any order; a column that the schema does not know is refused, never dropped.

        Raises:
            SchemaError: Columns are missing or unknown, a value does not fit its type, a value is missing where none
                may be, or two rows share one key.
        """
        import numpy as np
        import pyarrow as pa

        frame = self._in_order(frame)
        schema = self.arrow_schema([str(column) for column in frame.columns])
        for column in self.columns:
            absent = frame[column.name].isna().to_numpy()
            if not column.nullable and absent.any():
                row = int(np.flatnonzero(absent)[0])
                raise SchemaError(
                    f"table {self.asset}: row {row} has no {column.name}, which every row needs"
                )
        try:
            table = self._genes_at_once(frame, schema)
            if table is None:
                table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False, safe=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"table {self.asset}: {error}") from error
        for column in self.columns:
            if not column.nullable and table.column(column.name).null_count:
                row = int(np.flatnonzero(table.column(column.name).is_null().to_numpy())[0])
                raise SchemaError(
                    f"table {self.asset}: row {row} has no {column.name}, which every row needs"
                )
        duplicated = frame.duplicated(list(self.key))
        if duplicated.any():
            first = frame.loc[duplicated, list(self.key)].iloc[0].to_dict()
            raise SchemaError(f"table {self.asset}: more than one row for {first}")
        return table.replace_schema_metadata(None)

    def _genes_at_once(self, frame: pd.DataFrame, schema: pa.Schema) -> pa.Table | None:
        """Return a wide table from its block of gene columns, or None where these are not all finite and of one type.

        Pandas takes thousands of columns out of a frame one by one: .25 s for 4 000 genes, this .04 s.
        """
        import numpy as np
        import pyarrow as pa

        n_listed = len(self.columns)
        if self.gene_columns is None or any(frame.dtypes.iloc[n_listed:] != self.gene_columns):
            return None
        values = np.ascontiguousarray(frame.iloc[:, n_listed:].to_numpy().T)
        # A missing value is told by the slower path, in its words.
        if np.isnan(values).any():
            return None
        listed = pa.Table.from_pandas(
            frame.iloc[:, :n_listed], schema=pa.schema(list(schema)[:n_listed]), preserve_index=False
        )
        return pa.Table.from_arrays([*listed.columns, *map(pa.array, values)], schema=schema)

    def with_absent_columns(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with every column that it lacks and that may be missing, empty."""
        absent = [column.name for column in self.columns if column.nullable and column.name not in frame]
        return frame.assign(**dict.fromkeys(absent))

    def _in_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the listed columns first, in their order; a frame that lacks one is returned as it is."""
        listed = [column.name for column in self.columns]
        if list(frame.columns[: len(listed)]) == listed or not set(listed) <= set(frame.columns):
            return frame
        return frame[[*listed, *(name for name in frame.columns if name not in listed)]]


def _column_difference(asset: str, expected: list[str], found: list[str]) -> str:
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown:
        return f"table {asset}: columns missing {missing}, unknown {unknown}"
    return f"table {asset}: columns stand in the order {found}, expected {expected}"
