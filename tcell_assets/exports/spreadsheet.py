"""CSV that a spreadsheet shows and never computes.

Excel, LibreOffice and Google Sheets take a cell that starts with `=`, `+`, `-`, `@`, a tab or a line break for a
formula, and a formula can call programs or send data away (OWASP, "CSV Injection"). A name from a plate map is data:
such a cell gets one apostrophe before it. Numbers stay as they are, and so does a name like `(-)-Epigallocatechin`,
which starts with a parenthesis. Cells that start with apostrophes before such a character get one more, so that
`text_of_cell` gives back exactly what was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# The last four are the full-width forms, which some spreadsheets read as the plain ones.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def cell_of_text(text: str) -> str:
    """Return what to write for a text, so that a spreadsheet shows it and computes nothing."""
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def text_of_cell(cell: str) -> str:
    """Return the text that `cell_of_text` wrote as this cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `cell_of_text` applied to its texts and column names; other values are untouched."""
    import pandas as pd

    safe = table.copy(deep=False)
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]) and not pd.api.types.is_bool_dtype(safe[column]):
            safe[column] = safe[column].map(
                lambda value: cell_of_text(value) if isinstance(value, str) else value
            )
    return safe.rename(columns=lambda name: cell_of_text(str(name)))
