"""A text file as a table before its cells are read: encoding, delimiter, decimal sign, comment lines and header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tcell_assets.landing.files import LandingFile, read_file_bytes
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
ROWS_LOOKED_AT = 20
MOST_COMMENT_LINES = 100
_COMMA_CELL = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class DelimitedText:
    """A table as text.

    Attributes:
        file: Name of the file.
        raw: UTF-8 without a byte-order mark and without blank rows at the end.
        delimiter: What separates its cells.
        header: Column names; ``""`` for one that R's ``write.table`` left out above its row names.
        first_row: The line of the first row below the header, counted from 1: what a person sees.
        has_decimal_comma: Whether numbers are written 1,5.
    """

    file: str
    raw: bytes
    delimiter: str
    header: list[str]
    first_row: int
    has_decimal_comma: bool

    def reader(self) -> Reader:
        """Read the records from the first line on."""
        return _reader(self.raw, self.delimiter)

    def peek(self, rows: int) -> list[list[str]]:
        """The first rows below the header, as far as they are readable."""
        return list(_records(self.raw, self.delimiter, self.first_row - 1, rows))

    def note_broken(self, row: int, error: csv.Error, problems: ProblemCollector) -> None:
        """Note that the text is no table."""
        _note_broken(self.file, row, error, problems)

    def has_ambiguous_commas(self) -> bool:
        """Whether commas in numbers may separate thousands: 1,234 beside 10, and never 1,5 or 0,500."""
        if not self.has_decimal_comma:
            return False
        between = re.escape(self.delimiter.encode())
        cells = rb"(?:(?<=" + between + rb")|(?<=\n))[+-]?"
        end = rb"(?=" + between + rb"|\r?\n|$)"
        if re.search(
            cells + rb"(?:0\d*,\d+|\d{4,},\d+|\d+,(?:\d{1,2}|\d{4,}))(?:[eE][+-]?\d+)?" + end, self.raw
        ):
            return False
        return re.search(cells + rb"\d+" + end, self.raw) is not None


def open_text(
    file: LandingFile, limits: LandingLimits, problems: ProblemCollector, notes: list[str] | None = None
) -> DelimitedText | None:
    """Read a text file as far as its header; None where a problem was noted.

    Args:
        file: Separated by commas, tabs or semicolons, whatever its name says.
        limits: Bytes are limited.
        problems: Receives what keeps the file from being a table.
        notes: Receives a delimiter that its name does not say, comment lines and a decimal comma.
    """
    raw = _read_utf8(file, limits, problems)
    return None if raw is None else parse_text(file.name, raw, problems, notes)


def parse_text(
    file: str, raw: bytes, problems: ProblemCollector, notes: list[str] | None = None
) -> DelimitedText | None:
    """See `open_text`; ``raw`` is UTF-8 text."""
    if not raw.strip():
        problems.add("empty files", file, "", "holds nothing but white space", "Copy the file again")
        return None
    notes = [] if notes is None else notes
    comments = _comment_lines(raw)
    if comments:
        notes.append(f"{file}: {comments} comment lines above the header were left out")
    usual = "\t" if ".tsv" in file else ","
    delimiter = _delimiter(raw, comments, usual)
    if delimiter != usual and not (delimiter == "\t" and ".txt" in file):
        notes.append(f"{file}: separated by {DELIMITERS[delimiter]}")
    raw = _without_blank_end(raw, delimiter)
    reader = _reader(raw, delimiter)
    try:
        for _ in range(comments):
            next(reader)
        header = [name.strip() for name in next(reader, [])]
        header_lines = reader.line_num - comments
        first = next(
            (row for row in islice(reader, ROWS_LOOKED_AT) if any(cell.strip() for cell in row)), None
        )
    except csv.Error as error:
        _note_broken(file, reader.line_num, error, problems)
        return None
    place = f"row {comments + 1}"
    if not any(header):
        problems.add("headers", file, place, "names no column", "Write the column names in the first row")
        return None
    if header_lines > 1:
        found = "is a header with a line break inside a name"
        problems.add("headers", file, place, found, "Write the column names on one line")
        return None
    if first is None:
        problems.add("files without rows", file, "", "has a header but no row", "Add one row a well")
        return None
    # One field more is R's row name, unless the rows merely end with a delimiter.
    if len(first) == len(header) + 1 and first[-1].strip():
        header = ["", *header]
    raw, header = _without_blank_columns(raw, delimiter, header, comments)
    has_comma = delimiter != "," and any(
        _COMMA_CELL.fullmatch(cell)
        for record in _records(raw, delimiter, comments + 1, ROWS_LOOKED_AT)
        for cell in record
    )
    if has_comma:
        notes.append(f"{file}: numbers have a decimal comma")
    return DelimitedText(file, raw, delimiter, header, comments + 2, has_comma)


def _read_utf8(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> bytes | None:
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
    return raw


def _comment_lines(raw: bytes) -> int:
    """Lines above the header that featureCounts and others begin with ``#`` and a blank."""
    lines = 0
    start = 0
    while raw.startswith(b"# ", start) and lines < MOST_COMMENT_LINES:
        end = raw.find(b"\n", start)
        if end < 0:
            break
        start, lines = end + 1, lines + 1
    return lines


def _delimiter(raw: bytes, comments: int, usual: str) -> str:
    """What gives the first rows one width, the widest of them; the usual one where none does or where all are alike."""
    best, width = usual, 1
    for delimiter in (usual, *(other for other in DELIMITERS if other != usual)):
        records = [
            record
            for record in _records(raw, delimiter, comments, ROWS_LOOKED_AT)
            if any(map(str.strip, record))
        ]
        columns = len(records[0]) if records else 0
        # R's row names make the rows one wider; blank cells may follow.
        fits = all(len(_filled(record)) <= columns + 1 and len(record) > 1 for record in records)
        if fits and columns > width:
            best, width = delimiter, columns
    if width > 1:
        return best
    header = next(iter(_records(raw, usual, comments, 1)), [])
    others = [other for other in DELIMITERS if len(header) == 1 and other != usual and other in header[0]]
    return others[0] if others else usual


def _filled(record: list[str]) -> list[str]:
    end = len(record)
    while end and not record[end - 1].strip():
        end -= 1
    return record[:end]


def _without_blank_end(raw: bytes, delimiter: str) -> bytes:
    """The text without rows at its end that hold nothing, as spreadsheets write them."""
    blank = b" \t\r\n" + delimiter.encode()
    end = len(raw)
    while end:
        start = raw.rfind(b"\n", 0, end - 1) + 1
        line = raw[start:end]
        if line.strip(blank) or start == 0:
            break
        end = start
    return raw[:end]


def _without_blank_columns(
    raw: bytes, delimiter: str, header: list[str], comments: int
) -> tuple[bytes, list[str]]:
    """The text without columns at its right that have neither name nor cell, as spreadsheets write them."""
    n_blank = len(header) - len(_filled(header))
    if not n_blank:
        return raw, header
    lines = raw.splitlines(keepends=True)
    tail = delimiter.encode() * n_blank
    kept: list[bytes] = []
    for number, line in enumerate(lines):
        body = line.rstrip(b"\r\n")
        if number < comments or not body.strip():
            kept.append(line)
        elif body.endswith(tail):
            kept.append(body[: len(body) - len(tail)] + line[len(body) :])
        else:
            # A cell stands there: the column is no blank one, and its missing name is told later.
            return raw, header
    return b"".join(kept), header[: len(header) - n_blank]


def _records(raw: bytes, delimiter: str, skipped: int, wanted: int) -> Iterator[list[str]]:
    reader = _reader(raw, delimiter)
    try:
        yield from islice(reader, skipped, skipped + wanted)
    except csv.Error:
        return


def _reader(raw: bytes, delimiter: str) -> Reader:
    lines = io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline="")
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _note_broken(file: str, row: int, error: csv.Error, problems: ProblemCollector) -> None:
    mend = "Look for a double quote that is opened and never closed"
    found = f"is not a delimited table ({error})"
    problems.add("damaged files", file, f"row {row}", found, mend)
