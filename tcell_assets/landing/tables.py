"""Tables of text: a strict reader for tables of names, a fast one for matrices that finds every bad cell."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from tcell_assets.landing.delimited_text import DelimitedText, open_text
from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, cell_place, quoted
from tcell_assets.landing.screen_settings import LandingLimits

# What R and pandas write above a column of row names.
ROW_NAME_HEADERS = frozenset({"", "X", "Unnamed: 0", "...1", "rownames", "row.names"})
UNKNOWN = frozenset({"", "NA", "NaN", "nan", "na", "NULL", "None"})
"""How an unknown number is written; only where a number may be unknown, never in a name."""

NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
COMMA_NUMBER = re.compile(r"[ \t]*[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?[ \t]*")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
NON_FINITE = re.compile(r"[ \t]*[+-]?(nan|inf|infinity)[ \t]*", re.IGNORECASE)
ARROW_BLOCK_LIMIT = 2**30
ROWS_PEEKED = 20
FEWEST_ROWS_OF_WORDS = 2
# More are no columns beside a matrix but a table of something else.
MOST_COLUMNS_OF_WORDS = 20
FILL_CELL = "Every gene of every well needs a finite number"


@dataclass(frozen=True)
class TextTable:
    """A table of text, cells exactly as written.

    Attributes:
        file: Name of the file.
        header: Column names.
        rows: Cells.
        first_column: What a person counts as the first of these columns (2 where R's row names were dropped).
        first_row: What a person counts as the first of these rows (2 below a header).
    """

    file: str
    header: tuple[str, ...]
    rows: list[list[str]]
    first_column: int = 1
    first_row: int = 2

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def row_place(self, row: int) -> str:
        """Where a 0-based row stands in the file."""
        return f"row {row + self.first_row}"

    def place(self, row: int, name: str) -> str:
        """Where the cell of a 0-based row stands in the file."""
        return cell_place(row + self.first_row, self.header.index(name) + self.first_column, name)


@dataclass(frozen=True)
class NumericTable:
    """A matrix with leading columns of text.

    Attributes:
        file: Name of the file.
        labels: The columns of text by header, in file order.
        columns: Headers of the numeric columns.
        values: Rows × columns, float64, finite.
        first_row: What a person counts as the first of these rows (2 below a header).
    """

    file: str
    labels: dict[str, list[str]]
    columns: list[str]
    values: npt.NDArray[np.float64]
    first_row: int = 2


def parse_number(text: str) -> float | None:
    """A plain decimal number, or None; ``nan`` and ``inf`` are none."""
    return float(text) if NUMBER.fullmatch(text) else None


def read_text_table(
    file: LandingFile,
    limits: LandingLimits,
    problems: ProblemCollector,
    notes: list[str] | None = None,
    rows_stand_alone: bool = False,
) -> TextTable | None:
    """Read a small table of names; R's row-name column is dropped.

    Args:
        file: A CSV, TSV or text file, possibly with ``.gz``, UTF-8, with a header; separated by commas, tabs or
            semicolons.
        limits: The number of rows is limited.
        problems: Receives what keeps the file from being read as a table.
        notes: Receives an unusual delimiter, a decimal comma and blank rows that were left out.
        rows_stand_alone: Whether rows name their wells themselves, so that blank ones between them may be left out;
            where row i is well i, a blank row is a problem.

    Returns:
        The table, or None where a problem was noted.
    """
    before = problems.total
    text = open_text(file, limits, problems, notes)
    if text is None:
        return None
    numbered = list(_rows(text, limits.max_wells, problems, skips_blank=rows_stand_alone))
    if problems.total > before:
        return None
    rows = [record for _, record in numbered]
    if not rows:
        problems.add("files without rows", file.name, "", "has a header but no row", "Add one row a well")
        return None
    gaps = len(rows) - 1 - (numbered[-1][0] - numbered[0][0])
    if gaps and notes is not None:
        notes.append(f"{file.name}: {-gaps} blank rows between others were left out")
    return text_table(file.name, text.header, rows, text.first_row, text.has_decimal_comma)


def text_table(
    file: str, header: list[str], rows: list[list[str]], first_row: int = 2, has_decimal_comma: bool = False
) -> TextTable:
    """A table without its blank columns at the end and R's row names, numbers with a decimal point."""
    width = len(header)
    while width > 1 and not header[width - 1] and not any(row[width - 1].strip() for row in rows):
        width -= 1
    names, cells = header[:width], [row[:width] for row in rows]
    if has_decimal_comma:
        _write_decimal_points(cells)
    if width > 1 and names[0] in ROW_NAME_HEADERS:
        return TextTable(file, tuple(names[1:]), [row[1:] for row in cells], 2, first_row)
    return TextTable(file, tuple(names), cells, first_row=first_row)


def _write_decimal_points(rows: list[list[str]]) -> None:
    """Write the columns that hold numbers with a decimal comma, and nothing else, with a decimal point."""
    for column in range(len(rows[0]) if rows else 0):
        known = [row[column].strip() for row in rows if row[column].strip() not in UNKNOWN]
        with_comma = [cell for cell in known if COMMA_NUMBER.fullmatch(cell)]
        if not with_comma or not all(
            COMMA_NUMBER.fullmatch(cell) or NUMBER.fullmatch(cell) for cell in known
        ):
            continue
        # 1,000 beside 10 may be a thousand: it stays as it is and is told as no number.
        if len(with_comma) < len(known) and all(THOUSANDS.fullmatch(cell) for cell in with_comma):
            continue
        for row in rows:
            row[column] = row[column].replace(",", ".")


def read_numeric_table(
    file: LandingFile,
    label_headers: frozenset[str] | None,
    limits: LandingLimits,
    problems: ProblemCollector,
    notes: list[str] | None = None,
    is_no_gene: Callable[[str], bool] = lambda _: False,
) -> NumericTable | None:
    """Read a matrix; numbers are parsed exactly and every cell is finite.

    The fast parser reads files without a fault; only where it fails a slow pass finds and names the cells.

    Args:
        file: A CSV, TSV or text file, possibly with ``.gz``.
        label_headers: Lower-case headers of text columns: the first column is always text and so are those after
            it with such a header. None: of these only R's row names are text. Columns of words are text in either
            case, wherever they stand.
        limits: Columns and bytes are limited.
        problems: Receives bad cells and what keeps the file from being read as a table.
        notes: Receives an unusual delimiter and a decimal comma.
        is_no_gene: Tells by its name a column that is kept as text, wherever it stands.

    Returns:
        The matrix, or None where a problem was noted.
    """
    text = open_text(file, limits, problems, notes)
    if text is None:
        return None
    header = text.header
    if len(header) > limits.max_genes:
        found = f"has {len(header):,} columns, more than the limit of {limits.max_genes:,}"
        problems.add("files too large", file.name, "row 1", found, "Raise limits.max_genes if they are meant")
        return None
    claimed = len(header) * text.raw.count(b"\n") * 8
    if claimed > limits.max_unpacked_bytes:
        found = f"needs {claimed:,} bytes in memory, more than the limit of {limits.max_unpacked_bytes:,}"
        mend = "Write one file a plate, or raise limits.max_unpacked_bytes"
        problems.add("files too large", file.name, "", found, mend)
        return None
    is_text = _text_columns(text, label_headers, is_no_gene)
    if all(is_text):
        problems.add("files without numbers", file.name, "row 1", "has no column of numbers", "Add the genes")
        return None
    if text.has_ambiguous_commas():
        found = (
            "holds numbers such as 1,234 beside numbers without a comma, which may be thousands or decimals"
        )
        problems.add("ambiguous numbers", file.name, "", found, "Write numbers with a decimal point")
        return None
    parsed = _parse_fast(text, is_text)
    if parsed is None:
        parsed = _parse_carefully(text, is_text, limits, problems)
    if parsed is None:
        return None
    labels, values = parsed
    names = [name for name, is_label in zip(header, is_text, strict=True) if is_label]
    columns = [name for name, is_label in zip(header, is_text, strict=True) if not is_label]
    named: dict[str, list[str]] = {}
    for name, cells in zip(names, labels, strict=True):
        # Of two columns of one name the first counts; the second is kept for the notes.
        named[name if name not in named else f"{name} ({len(named)})"] = cells
    table = NumericTable(file.name, named, columns, values, text.first_row)
    return table if report_non_finite(table, text.first_row, problems) else None


def report_non_finite(table: NumericTable, first_row: int, problems: ProblemCollector) -> bool:
    """Whether every cell is finite; those that are not become problems, with row and column.

    Args:
        table: The matrix.
        first_row: What a person counts as its first row (2 below a header).
        problems: Receives the cells.
    """
    # Expression is kept in float32: what overflows there would become infinite without a word.
    finite = np.abs(table.values) <= np.finfo(np.float32).max
    if finite.all():
        return True
    cells = np.argwhere(~finite)
    for row, column in cells[:SHOWN_PER_KIND]:
        place = cell_place(int(row) + first_row, int(column) + 1 + len(table.labels), table.columns[column])
        found = f"holds {table.values[row, column]}, which is not finite or beyond 3.4e38"
        problems.add("non-finite cells", table.file, place, found, FILL_CELL)
    problems.count_unshown("non-finite cells", table.file, len(cells[SHOWN_PER_KIND:]))
    return False


def _rows(
    text: DelimitedText, max_rows: int, problems: ProblemCollector, skips_blank: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with their row numbers, each of the header's width; others become problems.

    Blank lines may end a file, and interrupt it only where that is allowed.
    """
    reader, width = text.reader(), len(text.header)
    blank_row = 0
    try:
        for _ in range(text.first_row - 1):
            next(reader)
        for row, record in enumerate(reader, start=text.first_row):
            if not any(cell.strip() for cell in record) and (width > 1 or not record):
                blank_row = blank_row or row
                continue
            if blank_row and not skips_blank:
                found = "is empty, but rows follow"
                problems.add("empty rows", text.file, f"row {blank_row}", found, "Delete the row or fill it")
                return
            if row > max_rows + text.first_row - 1:
                mend = "Raise limits.max_wells if they are meant"
                problems.add("files too large", text.file, "", f"has more than {max_rows:,} rows", mend)
                return
            while len(record) > width and not record[-1].strip():
                record.pop()
            if len(record) == width:
                yield row, record
            else:
                found = f"has {len(record)} fields where {width} are expected"
                mend = "Put names that hold the delimiter in double quotes"
                problems.add("ragged rows", text.file, f"row {row}", found, mend)
    except csv.Error as error:
        text.note_broken(reader.line_num, error, problems)


def _text_columns(
    text: DelimitedText, label_headers: frozenset[str] | None, is_no_gene: Callable[[str], bool]
) -> list[bool]:
    """Whether each column names something and is no gene's or well's."""
    header = text.header
    if label_headers is None:
        is_text = [header[0] in ROW_NAME_HEADERS] + [False] * (len(header) - 1)
    else:
        is_text = [True] + [False] * (len(header) - 1)
        position = 1
        while position < len(header) and header[position].lower() in label_headers:
            is_text[position] = True
            position += 1
    for position, name in enumerate(header):
        is_text[position] = is_text[position] or is_no_gene(name)
    # Columns of words: no cell of the first rows is a number or stands for a missing one.
    records = text.peek(ROWS_PEEKED)
    likely = [position for position, is_label in enumerate(is_text) if not is_label]
    for record in records:
        likely = [position for position in likely if position < len(record) and _is_word(record[position])]
    if len(records) >= FEWEST_ROWS_OF_WORDS and len(likely) <= MOST_COLUMNS_OF_WORDS:
        for position in likely:
            is_text[position] = True
    return is_text


def _is_word(cell: str) -> bool:
    return (
        cell.strip() not in UNKNOWN
        and not NUMBER.fullmatch(cell)
        and not COMMA_NUMBER.fullmatch(cell)
        and not NON_FINITE.fullmatch(cell)
        # 1.5e, 3 µM or <2: a damaged number and no word.
        and not any(character.isdigit() for character in cell[:1])
        and cell.strip()[:1] not in "<>+-."
    )


_Parsed = tuple[list[list[str]], npt.NDArray[np.float64]]


def _parse_fast(text: DelimitedText, is_text: list[bool]) -> _Parsed | None:
    """Labels and values, or None where anything is unusual."""
    names = [str(position) for position in range(len(is_text))]
    types = {
        name: pa.string() if is_label else pa.float64() for name, is_label in zip(names, is_text, strict=True)
    }
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(text.raw),
            # One block, so that a column is one piece: 40 000 genes in the default 1 MiB blocks are millions.
            arrow_csv.ReadOptions(
                skip_rows=text.first_row - 1,
                column_names=names,
                block_size=min(len(text.raw) + 1, ARROW_BLOCK_LIMIT),
            ),
            arrow_csv.ParseOptions(delimiter=text.delimiter, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types=types,
                null_values=[],
                strings_can_be_null=False,
                decimal_point="," if text.has_decimal_comma else ".",
            ),
        )
    except pa.ArrowException:
        return None
    columns = table.columns
    labels = [column.to_pylist() for column, is_label in zip(columns, is_text, strict=True) if is_label]
    numbers = [column for column, is_label in zip(columns, is_text, strict=True) if not is_label]
    values = np.empty((table.num_rows, len(numbers)))
    for position, column in enumerate(numbers):
        values[:, position] = column.to_numpy()
    return labels, values


def _parse_carefully(
    text: DelimitedText, is_text: list[bool], limits: LandingLimits, problems: ProblemCollector
) -> _Parsed | None:
    """Labels and values by a slow pass that names every cell that is no number; None where there are any."""
    labelled = [position for position, is_label in enumerate(is_text) if is_label]
    counted = [position for position, is_label in enumerate(is_text) if not is_label]
    labels: list[list[str]] = [[] for _ in labelled]
    values: list[list[float]] = []
    before = problems.total
    for row, record in _rows(text, limits.max_wells, problems):
        for label, position in zip(labels, labelled, strict=True):
            label.append(record[position])
        numbers = [record[position] for position in counted]
        if text.has_decimal_comma:
            numbers = [
                cell.replace(",", ".") if COMMA_NUMBER.fullmatch(cell.strip()) else cell for cell in numbers
            ]
        bad = [number for number, cell in enumerate(numbers) if not NUMBER.fullmatch(cell)]
        for number in bad:
            _report_cell(text, row, counted[number], numbers[number], problems)
        if problems.total == before:
            values.append([float(cell) for cell in numbers])
    return None if problems.total > before else (labels, np.array(values, dtype=np.float64))


def _report_cell(text: DelimitedText, row: int, column: int, cell: str, problems: ProblemCollector) -> None:
    place = cell_place(row, column + 1, text.header[column])
    if NON_FINITE.fullmatch(cell):
        found = f"holds {quoted(cell)}, which is not finite"
        problems.add("non-finite cells", text.file, place, found, FILL_CELL)
    else:
        found = f"holds {quoted(cell)}, which is not a number" if cell.strip() else "is empty"
        problems.add("non-numeric cells", text.file, place, found, "Write a number with a decimal point")
