"""Delimited text: a strict reader for tables of names, a fast one for matrices that finds every bad cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from tcell_assets.landing.files import LandingFile, read_file_bytes
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, cell_place, quoted
from tcell_assets.landing.screen_settings import LandingLimits

if TYPE_CHECKING:
    from _csv import Reader

# What R and pandas write above a column of row names.
ROW_NAME_HEADERS = frozenset({"", "X", "Unnamed: 0", "...1", "rownames", "row.names"})
UNKNOWN = frozenset({"", "NA", "NaN", "nan", "na", "NULL", "None"})
"""How an unknown number is written; only where a number may be unknown, never in a name."""

NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
NON_FINITE = re.compile(r"[ \t]*[+-]?(nan|inf|infinity)[ \t]*", re.IGNORECASE)
ARROW_BLOCK_LIMIT = 2**30
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
        labels: The leading text columns by header, in file order.
        columns: Headers of the numeric columns.
        values: Rows × columns, float64, finite.
    """

    file: str
    labels: dict[str, list[str]]
    columns: list[str]
    values: npt.NDArray[np.float64]


def delimiter_of(file: LandingFile) -> str:
    """Tab for ``.tsv`` and ``.tsv.gz``, else comma."""
    return "\t" if ".tsv" in file.name else ","


def parse_number(text: str) -> float | None:
    """A plain decimal number, or None; ``nan`` and ``inf`` are none."""
    return float(text) if NUMBER.fullmatch(text) else None


def read_text_table(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> TextTable | None:
    """Read a small table of names; R's row-name column is dropped.

    Args:
        file: A CSV or TSV file, possibly with ``.gz``, UTF-8, with a header.
        limits: The number of rows is limited.
        problems: Receives what keeps the file from being read as a table.

    Returns:
        The table, or None where a problem was noted.
    """
    before = problems.total
    text = _read_text(file, limits, problems)
    header = None if text is None else _read_header(file, text, problems)
    if text is None or header is None:
        return None
    rows = [record for _, record in _rows(file, text, len(header), limits.max_wells, problems)]
    if problems.total > before:
        return None
    if len(header) > 1 and header[0] in ROW_NAME_HEADERS:
        return TextTable(file.name, tuple(header[1:]), [row[1:] for row in rows], first_column=2)
    return TextTable(file.name, tuple(header), rows)


def read_numeric_table(
    file: LandingFile, label_headers: frozenset[str] | None, limits: LandingLimits, problems: ProblemCollector
) -> NumericTable | None:
    """Read a matrix; numbers are parsed exactly and every cell is finite.

    The fast parser reads files without a fault; only where it fails a slow pass finds and names the cells.

    Args:
        file: A CSV or TSV file, possibly with ``.gz``.
        label_headers: Lower-case headers of text columns: the first column is always text and so are those after
            it with such a header. None: only R's row names are text.
        limits: Columns and bytes are limited.
        problems: Receives bad cells and what keeps the file from being read as a table.

    Returns:
        The matrix, or None where a problem was noted.
    """
    text = _read_text(file, limits, problems)
    header = None if text is None else _read_header(file, text, problems)
    if text is None or header is None:
        return None
    if len(header) > limits.max_genes:
        found = f"has {len(header):,} columns, more than the limit of {limits.max_genes:,}"
        problems.add("files too large", file.name, "row 1", found, "Raise limits.max_genes if they are meant")
        return None
    claimed = len(header) * text.count(b"\n") * 8
    if claimed > limits.max_unpacked_bytes:
        found = f"needs {claimed:,} bytes in memory, more than the limit of {limits.max_unpacked_bytes:,}"
        mend = "Write one file a plate, or raise limits.max_unpacked_bytes"
        problems.add("files too large", file.name, "", found, mend)
        return None
    n_labels = _count_labels(header, label_headers)
    if n_labels == len(header):
        problems.add("files without numbers", file.name, "row 1", "has no column of numbers", "Add the genes")
        return None
    parsed = _parse_fast(text, delimiter_of(file), len(header), n_labels)
    if parsed is None:
        parsed = _parse_carefully(file, text, header, n_labels, limits, problems)
    if parsed is None:
        return None
    labels, values = parsed
    named_labels = dict(zip(header[:n_labels], labels, strict=True))
    table = NumericTable(file.name, named_labels, header[n_labels:], values)
    return table if report_non_finite(table, 2, problems) else None


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


def _read_text(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> bytes | None:
    raw = read_file_bytes(file, limits, problems)
    if raw is None:
        return None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add("encodings", file.name, "", "is written in UTF-16", "Save it as CSV UTF-8")
        return None
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    nul = raw.find(b"\0")
    if nul >= 0:
        row = raw.count(b"\n", 0, nul) + 1
        found = "holds a NUL byte, so it is no text"
        problems.add("encodings", file.name, f"row {row}", found, "Save it as CSV UTF-8")
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        found = f"holds the byte 0x{raw[error.start]:02x}, which is not UTF-8"
        problems.add("encodings", file.name, f"row {row}", found, "Save it as CSV UTF-8")
        return None
    if not raw.strip():
        problems.add("empty files", file.name, "", "holds nothing but white space", "Copy the file again")
        return None
    return raw


def _read_header(file: LandingFile, raw: bytes, problems: ProblemCollector) -> list[str] | None:
    """The column names; R's ``write.table`` leaves out the one above its row names, which is put back as ``""``."""
    reader = _reader(file, raw)
    try:
        header = [name.strip() for name in next(reader)]
        header_lines = reader.line_num
        first_row = next(reader, None)
    except csv.Error as error:
        _report_broken(file, reader.line_num, error, problems)
        return None
    if not any(header):
        problems.add(
            "headers", file.name, "row 1", "names no column", "Write the column names in the first row"
        )
        return None
    if _has_wrong_delimiter(file, header, problems):
        return None
    if header_lines > 1:
        found = "is a header with a line break inside a name"
        problems.add("headers", file.name, "row 1", found, "Write the column names on one line")
        return None
    if first_row is None:
        problems.add("files without rows", file.name, "", "has a header but no row", "Add one row a well")
        return None
    return ["", *header] if len(first_row) == len(header) + 1 else header


def _rows(
    file: LandingFile, raw: bytes, width: int, max_rows: int, problems: ProblemCollector
) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with their row numbers, each of the given width; others become problems.

    Blank lines may end a file, not interrupt it.
    """
    reader = _reader(file, raw)
    blank_row = 0
    try:
        next(reader)
        for row, record in enumerate(reader, start=2):
            if not record:
                blank_row = blank_row or row
                continue
            if blank_row:
                found = "is empty, but rows follow"
                problems.add("empty rows", file.name, f"row {blank_row}", found, "Delete the row or fill it")
                return
            if row > max_rows + 1:
                mend = "Raise limits.max_wells if they are meant"
                problems.add("files too large", file.name, "", f"has more than {max_rows:,} rows", mend)
                return
            if len(record) == width:
                yield row, record
            else:
                found = f"has {len(record)} fields where {width} are expected"
                mend = "Put names that hold the delimiter in double quotes"
                problems.add("ragged rows", file.name, f"row {row}", found, mend)
    except csv.Error as error:
        _report_broken(file, reader.line_num, error, problems)


def _reader(file: LandingFile, raw: bytes) -> Reader:
    lines = io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline="")
    return csv.reader(lines, delimiter=delimiter_of(file), strict=True)


def _report_broken(file: LandingFile, row: int, error: csv.Error, problems: ProblemCollector) -> None:
    mend = "Look for a double quote that is opened and never closed"
    found = f"is not a delimited table ({error})"
    problems.add("damaged files", file.name, f"row {row}", found, mend)


def _has_wrong_delimiter(file: LandingFile, header: list[str], problems: ProblemCollector) -> bool:
    names = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
    expected = delimiter_of(file)
    used = [other for other in names if other != expected and len(header) == 1 and other in header[0]]
    if not used:
        return False
    found = f"is separated by {names[used[0]]}, but {names[expected]} are expected"
    mend = "Save it comma-separated as .csv or tab-separated as .tsv"
    problems.add("wrong delimiters", file.name, "row 1", found, mend)
    return True


def _count_labels(header: list[str], label_headers: frozenset[str] | None) -> int:
    if label_headers is None:
        return int(header[0] in ROW_NAME_HEADERS)
    count = 1
    while count < len(header) and header[count].lower() in label_headers:
        count += 1
    return count


_Parsed = tuple[list[list[str]], npt.NDArray[np.float64]]


def _parse_fast(raw: bytes, delimiter: str, n_columns: int, n_labels: int) -> _Parsed | None:
    """Labels and values, or None where anything is unusual."""
    names = [str(position) for position in range(n_columns)]
    types = {
        name: pa.string() if position < n_labels else pa.float64() for position, name in enumerate(names)
    }
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(raw),
            # One block, so that a column is one piece: 40 000 genes in the default 1 MiB blocks are millions.
            arrow_csv.ReadOptions(
                skip_rows=1, column_names=names, block_size=min(len(raw) + 1, ARROW_BLOCK_LIMIT)
            ),
            arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except pa.ArrowException:
        return None
    columns = table.columns
    labels = [column.to_pylist() for column in columns[:n_labels]]
    values = np.empty((table.num_rows, n_columns - n_labels))
    for position, column in enumerate(columns[n_labels:]):
        values[:, position] = column.to_numpy()
    return labels, values


def _parse_carefully(
    file: LandingFile,
    raw: bytes,
    header: list[str],
    n_labels: int,
    limits: LandingLimits,
    problems: ProblemCollector,
) -> _Parsed | None:
    """Labels and values by a slow pass that names every cell that is no number; None where there are any."""
    labels: list[list[str]] = [[] for _ in range(n_labels)]
    values: list[list[float]] = []
    before = problems.total
    for row, record in _rows(file, raw, len(header), limits.max_wells, problems):
        for label, cell in zip(labels, record, strict=False):
            label.append(cell)
        numbers = record[n_labels:]
        bad = [position for position, cell in enumerate(numbers) if not NUMBER.fullmatch(cell)]
        for position in bad:
            _report_cell(file, row, position + n_labels, header, numbers[position], problems)
        if problems.total == before:
            values.append([float(cell) for cell in numbers])
    return None if problems.total > before else (labels, np.array(values, dtype=np.float64))


def _report_cell(
    file: LandingFile, row: int, column: int, header: list[str], cell: str, problems: ProblemCollector
) -> None:
    place = cell_place(row, column + 1, header[column])
    if NON_FINITE.fullmatch(cell):
        found = f"holds {quoted(cell)}, which is not finite"
        problems.add("non-finite cells", file.name, place, found, FILL_CELL)
    else:
        found = f"holds {quoted(cell)}, which is not a number" if cell.strip() else "is empty"
        problems.add("non-numeric cells", file.name, place, found, "Write a number with a decimal point")
