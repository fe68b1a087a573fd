"""Tables and columns of frames as the report's page shows them: text, a value to sort by, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.lake.schema import Column

DIGITS = 5


@dataclass(frozen=True)
class Cell:
    """One value of a table: as shown, and as sorted."""

    text: str
    sort: str
    is_number: bool


@dataclass(frozen=True)
class Row:
    """One row of a table; `choice` is what the class filter compares, `opens` the condition whose card it opens."""

    cells: tuple[Cell, ...]
    choice: str = ""
    opens: str = ""


@dataclass(frozen=True)
class HeadColumn:
    """The head of a column: its heading, with the column's name and meaning in the tip."""

    name: str
    description: str
    is_number: bool


@dataclass(frozen=True)
class ShownTable:
    """A table ready for the page."""

    columns: tuple[HeadColumn, ...]
    rows: tuple[Row, ...]


def shown_table(
    frame: pd.DataFrame | None,
    columns: Sequence[Column],
    wanted: Sequence[str],
    *,
    headings: Mapping[str, str] | None = None,
    choice: str | None = None,
    opens: str | None = None,
) -> ShownTable | None:
    """The wanted columns that are there, as text; numbers with three digits and sorted by their full value.

    Args:
        frame: Rows to show; None shows nothing.
        columns: Schema of the table they come from, for the meanings.
        wanted: Columns in their order.
        headings: What stands above a column instead of its name, which the tip then holds.
        choice: Column that the filter compares.
        opens: Column with the condition whose card a row opens.
    """
    if frame is None:
        return None
    described = {column.name: column for column in columns}
    names = [name for name in wanted if name in frame and name in described]
    is_number = {
        name: pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        for name in names
    }
    named = headings or {}
    head = tuple(
        HeadColumn(
            named.get(name, name),
            f"{name}: {described[name].description}" if name in named else described[name].description,
            is_number[name],
        )
        for name in names
    )
    rows = []
    for record in frame.to_dict("records"):
        cells = tuple(shown_cell(record[name], is_number[name]) for name in names)
        rows.append(Row(cells, str(record[choice]) if choice else "", str(record[opens]) if opens else ""))
    return ShownTable(head, tuple(rows))


def shown_cell(value: Any, is_number: bool) -> Cell:
    """One value as text; numbers with three digits."""
    if pd.isna(value):
        return Cell("–", "", is_number)
    if is_number:
        text = str(int(value)) if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"
        return Cell(text, repr(float(value)), True)
    return Cell(str(value), str(value), False)


def column_values(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    """The named columns as JSON has them."""
    return {name: json_values(frame[name]) for name in names}


def json_values(values: pd.Series) -> list[Any]:
    """Values as JSON has them: unknown ones are None, numbers keep five digits."""
    if pd.api.types.is_float_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in numbers]
    return [None if pd.isna(value) else value for value in values.astype(object).tolist()]
