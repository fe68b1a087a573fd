"""Plate maps and targets as tables of text, from a text file or an Excel workbook."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.guarded import Content, guarded
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingLimits
from tcell_assets.landing.tables import TextTable, read_text_table, text_table

READER = "tcell_assets.landing.spreadsheets:read_in_process"


def read_table(
    file: LandingFile, limits: LandingLimits, problems: ProblemCollector, notes: list[str]
) -> TextTable | None:
    """Read a table whose rows name their wells: ``.csv``, ``.tsv``, ``.txt`` or ``.xlsx``.

    Args:
        file: The table.
        limits: Rows, bytes and the time to open a workbook are limited.
        problems: Receives what keeps the file from being read as a table.
        notes: Receives what is unusual about it.

    Returns:
        The table, or None where a problem was noted.
    """
    if not file.name.endswith(".xlsx"):
        return read_text_table(file, limits, problems, notes, rows_stand_alone=True)
    options = {"max_rows": limits.max_wells, "sheet": file.name.rpartition("/")[2].partition(".")[0]}
    with guarded(file, "workbook", READER, options, limits, problems) as result:
        if result is None:
            return None
        content = result[0]
    notes += [f"{file.name}: {note}" for note in content["notes"]]
    return text_table(file.name, content["header"], content["rows"], content["first_row"])


def read_in_process(path: Path, out: Path, max_bytes: int, options: Content) -> Content:
    """Read the table of a workbook; runs in the process that `guarded` starts.

    Returns:
        ``header, rows, first_row, notes``; or a ``problem``: kind, finding and mend.
    """
    import zipfile

    import openpyxl

    with path.open("rb") as stream:
        with zipfile.ZipFile(stream) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > max_bytes:
            found = f"unpacks to {unpacked:,} bytes"
            return {"problem": ("files too large", found, "If it is meant, raise limits.max_unpacked_bytes")}
        stream.seek(0)
        values = openpyxl.load_workbook(stream, data_only=True, keep_links=False)
        stream.seek(0)
        formulas = openpyxl.load_workbook(stream, data_only=False, keep_links=False)
    sheets = [sheet for sheet in values.worksheets if sheet.max_row > 1 or sheet.cell(1, 1).value is not None]
    named = [sheet for sheet in sheets if _plain(sheet.title) == _plain(options["sheet"])]
    chosen = named or sheets
    if len(chosen) != 1:
        found = f"has {len(sheets)} sheets with content: {listed([sheet.title for sheet in sheets])}"
        mend = f"Call the one that is meant {options['sheet']}, or keep it alone"
        return {"problem": ("ambiguous files", found, mend)}
    sheet = chosen[0]
    notes = [f"the sheet {sheet.title!r} was read"] if len(values.worksheets) > 1 else []
    if sheet.merged_cells.ranges:
        found = f"has merged cells ({', '.join(map(str, list(sheet.merged_cells.ranges)[:3]))})"
        return {
            "problem": (
                "merged cells",
                found,
                "Unmerge them and fill every cell, as all but the first are empty",
            )
        }
    if sheet.max_row > options["max_rows"] + 1:
        found = f"has {sheet.max_row:,} rows"
        return {"problem": ("files too large", found, "Raise limits.max_wells if they are meant")}
    unsaved = [
        cell.coordinate
        for row in formulas[sheet.title].iter_rows()
        for cell in row
        if cell.data_type == "f" and sheet[cell.coordinate].value is None
    ]
    if unsaved:
        found = f"has {len(unsaved)} formulas without a value (first in {unsaved[0]})"
        return {
            "problem": (
                "formulas",
                found,
                "Open it in a spreadsheet and save it, or replace formulas by values",
            )
        }
    rows = [[_as_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    first = next((number for number, row in enumerate(rows) if any(row)), None)
    if first is not None:
        # A title stands alone in its row; a header names at least the well and what is in it.
        header = next((number for number, row in enumerate(rows) if sum(map(bool, row)) > 1), first)
        titles = [next(filter(None, row)) for row in rows[first:header] if any(row)]
        if titles:
            notes.append(f"{len(titles)} rows above the header were left out: {listed(titles, 2)}")
        first = header
    if first is None or not any(any(row) for row in rows[first + 1 :]):
        return {"problem": ("files without rows", "has a header but no row", "Add one row a well")}
    below = [(number, row) for number, row in enumerate(rows[first + 1 :]) if any(row)]
    blank = below[-1][0] + 1 - len(below)
    if blank:
        notes.append(f"{blank} blank rows between others were left out")
    hidden = sum(sheet.row_dimensions[number + first + 2].hidden for number, _ in below)
    if hidden:
        notes.append(f"{hidden} hidden rows were read like the others")
    return {
        "header": [name.strip() for name in rows[first]],
        "rows": [row for _, row in below],
        "first_row": first + 2,
        "notes": notes,
    }


def _plain(title: str) -> str:
    return "".join(character for character in title.lower() if character.isalnum())


def _as_text(cell: Any) -> str:
    """A cell as a CSV export would write it; 10 and not 10.0."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    return str(cell)
