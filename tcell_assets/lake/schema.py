"""What a table is: its columns, their types and meaning, and how a frame is checked against them.

The Parquet writer validates against these, the Dagster UI shows them, and the documentation is generated from them.
Pandas and pyarrow are imported where they are used: they would almost double the time the definitions take to load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tcell_assets.lake.stages import Stage
from tcell_assets.targets import TARGETS, Target, TargetError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SchemaError(ValueError):
    """A frame does not fit the table it was meant for."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the name of its Arrow type, what it means, and whether a value may be missing.

    A column that a table gains later is `nullable`: tables written before read with it empty.
    """

    name: str
    type: str
    description: str
    nullable: bool = False


ColumnsOfTargets = Callable[[Sequence[Target]], tuple[Column, ...]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the lake, named as its asset.

    `made_by` names the stage, and so the job and the command, that makes it; one that `needs_model` is left out of a
    screen without a model. `key` columns together identify a row.
    `gene_columns` says that one column a gene of this type follows the listed ones; those are never listed in a schema
    (thousands of them would drown the UI). `code_version` changes whenever the same input would give other values.
    `columns_of` gives the columns where they depend on the targets; `columns` are then those of the code's own, and
    `of_targets` those of others.
    """

    asset: str
    description: str
    columns: tuple[Column, ...] = ()
    columns_of: ColumnsOfTargets | None = None
    key: tuple[str, ...]
    made_by: Stage
    gene_columns: str | None = None
    partitioned: bool = True
    code_version: str = "1"
    needs_model: bool = False

    def __post_init__(self) -> None:
        if self.columns_of is not None and not self.columns:
            object.__setattr__(self, "columns", self.columns_of(TARGETS))

    def of_targets(self, targets: Sequence[Target]) -> Table:
        """Return the table with the columns that these targets give it.

        Raises:
            TargetError: A target would make a column that the table has already.
        """
        if self.columns_of is None:
            return self
        columns = self.columns_of(targets)
        twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
        if twice:
            raise TargetError(
                f"a declared target would make a second column {', '.join(twice)} of table {self.asset}; "
                "choose another name for it"
            )
        return replace(self, columns=columns)

    def columns_without_targets(self) -> set[str]:
        """Return the names of the columns that it has whatever the targets are."""
        return {column.name for column in (self.columns_of(()) if self.columns_of else self.columns)}

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

    def optional_columns(self) -> dict[str, pa.DataType]:
        """Return the columns that a stored table may lack, as it was written before they were declared."""
        import pyarrow as pa

        return {column.name: pa.type_for_alias(column.type) for column in self.columns if column.nullable}

    def as_of_today(self, stored: pa.Table) -> pa.Table:
        """Return a stored table with the columns of today.

        Columns that came since it was written are empty; what it holds of targets that are declared no more stands
        last.

        Raises:
            SchemaError: Columns are missing, unknown or out of order, or have other types.
        """
        import pyarrow as pa

        listed = [column.name for column in self.columns]
        absent = {
            name: kind for name, kind in self.optional_columns().items() if name not in stored.column_names
        }
        for name, arrow_type in absent.items():
            stored = stored.append_column(name, pa.nulls(stored.num_rows, arrow_type))
        if self.columns_of is None:
            if absent and set(listed) <= set(stored.column_names):
                stored = stored.select(
                    [*listed, *(name for name in stored.column_names if name not in listed)]
                )
            expected = self.arrow_schema(stored.column_names)
        else:
            former = [name for name in stored.column_names if name not in listed]
            fields = self.arrow_schema([name for name in listed if name in stored.column_names])
            expected = pa.schema([*fields, *(stored.schema.field(name) for name in former)])
            stored = stored.select(expected.names)
        # A column that may be empty by now is read from a file in which it never was.
        if stored.schema.types != expected.types or any(
            has.nullable and not wants.nullable for has, wants in zip(stored.schema, expected, strict=True)
        ):
            raise SchemaError(f"the types of its columns are not those of table {self.asset}")
        return stored.cast(expected)

    def with_absent_targets(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with the columns of targets that it lacks, empty; others that it lacks are not made."""
        fixed = self.columns_without_targets()
        absent = [name for name in self.optional_columns() if name not in fixed and name not in frame]
        return frame.assign(**dict.fromkeys(absent)) if absent else frame

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
