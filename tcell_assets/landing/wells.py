"""Names of wells, plates and batches: what is allowed, how they are read and their one canonical form.

A well is written ``E12``: row letter, column number without leading zeros. ``well_id`` is
``<batch>_<plate>_<well>``, e.g. ``tc1_A1_E12``. A batch name may itself contain ``_``, a plate name may not, so
the plate and the well are always the last two parts of a well_id.
"""

import re
from typing import Literal, NamedTuple

PlateFormat = Literal[96, 384, 1536]
PLATE_SHAPES: dict[PlateFormat, tuple[int, int]] = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}
"""Rows and columns of each plate format."""

ROW_LETTERS = (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD", "AE", "AF")
_ROW = "(?P<row>[A-Za-z]|[Aa][A-Fa-f])"
_COLUMN = "0{0,2}(?P<column>[1-9]|[1-3][0-9]|4[0-8])"
BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
WELL_NAME = re.compile(rf"{_ROW}[-_ ]?{_COLUMN}")
# P1_A5, P1-A5, P1:A5 or P1.A5; the plate may hold separators of its own.
PLATE_AND_WELL = re.compile(rf"(?P<plate>.+?)[-_.: ]+(?P<well>{WELL_NAME.pattern})")
# Windows refuses these as file names whatever the extension; a lake may be copied there.
RESERVED_NAMES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}
)


class WellPosition(NamedTuple):
    """A position on a plate: row letter and 1-based column."""

    row: str
    column: int

    @property
    def name(self) -> str:
        """The canonical well name, e.g. ``E12``."""
        return f"{self.row}{self.column}"


class WellId(NamedTuple):
    """The parts of a well_id; ``well`` is canonical."""

    batch: str
    plate: str
    well: str

    def __str__(self) -> str:
        return f"{self.batch}_{self.plate}_{self.well}"


def well_pattern(template: str) -> re.Pattern[str]:
    """The pattern for a screen's own way to write wells.

    Args:
        template: Literal text with ``{row}`` and ``{column}`` once each, e.g. ``Well {row}/{column}``. A template
            rather than a regular expression, because a careless expression can run for ever.

    Raises:
        ValueError: A placeholder is missing, doubled or unknown.
    """
    parts = re.split(r"(\{[^{}]*\})", template)
    if sorted(part for part in parts if part.startswith("{")) != ["{column}", "{row}"]:
        raise ValueError("must hold {row} and {column} once each and no other placeholder")
    groups = {"{row}": _ROW, "{column}": _COLUMN}
    return re.compile("".join(groups.get(part, re.escape(part)) for part in parts))


def parse_well(text: str, pattern: re.Pattern[str] = WELL_NAME) -> WellPosition:
    """Read a well name: ``E12``, ``e12``, ``E012`` and ``E-12`` are the same well; ``AA01`` lies on a 1 536-well plate.

    Args:
        text: The name; surrounding white space does not count.
        pattern: The usual spellings, or a `well_pattern`.

    Raises:
        ValueError: The name is no well of a plate of up to 1 536 wells (rows A–Z and AA–AF, columns 1–48).
    """
    match = pattern.fullmatch(text.strip()[:64])
    if match is None:
        raise ValueError("is not a well name such as E12 (rows A-Z and AA-AF, columns 1-48)")
    return WellPosition(match["row"].upper(), int(match["column"]))


def parse_plate_well(text: str) -> tuple[str, str]:
    """Read a plate and a well written as one: ``P1_A05``, ``Plate 1-A5`` → ``("P1", "A5")``, ``("Plate-1", "A5")``.

    Raises:
        ValueError: It is no plate and well with a separator between them.
    """
    match = PLATE_AND_WELL.fullmatch(text.strip()[:256])
    if match is None:
        raise ValueError("is not a plate and a well such as P1_A5")
    return canonical_plate(match["plate"]), parse_well(match["well"]).name


def parse_well_id(text: str, batch: str | None = None) -> WellId:
    """Read a well_id: ``tc1_A1_E12`` → batch ``tc1``, plate ``A1``, well ``E12``.

    Args:
        text: The well_id; surrounding white space does not count.
        batch: The batch it must belong to. With it, a plate name may be written with ``_`` or spaces, which
            become ``-`` (see `canonical_plate`); without it, plate and well are the last two parts.

    Raises:
        ValueError: It has not three parts, one of them is malformed, or it belongs to another batch.
    """
    text = text.strip()
    if batch is None:
        parts = text.rsplit("_", 2)
        if len(parts) != 3:
            raise ValueError("is not <batch>_<plate>_<well>, such as tc1_A1_E12")
        found_batch, plate, well = parts
        fault = batch_name_fault(found_batch)
        if fault:
            raise ValueError(f"has a batch name that {fault}")
    else:
        if not text.startswith(f"{batch}_") or text.count("_") < 2:
            raise ValueError(f"is not <batch>_<plate>_<well> of batch {batch}, such as {batch}_A1_E12")
        found_batch = batch
        plate, _, well = text[len(batch) + 1 :].rpartition("_")
    return WellId(found_batch, canonical_plate(plate), parse_well(well).name)


def canonical_plate(text: str) -> str:
    """The plate's name as it stands in a well_id: ``Plate 1`` and ``Plate_1`` become ``Plate-1``.

    Raises:
        ValueError: It is empty, too long, reserved or holds other characters than letters, digits, ``.``, ``-``.
    """
    name = re.sub(r"[ _]+", "-", text.strip()[:128])
    if PLATE_NAME.fullmatch(name) is None or _is_unsafe_file_name(name):
        raise ValueError("is not a plate name (letters, digits, '.' and '-', at most 64 characters)")
    return name


def batch_name_fault(name: str) -> str | None:
    """What is wrong with a batch name, as the end of the sentence "the name …", or None.

    A batch name is a folder, a partition key and part of file names in the lake: 1 to 64 letters, digits, ``_``,
    ``.`` or ``-``, a letter or digit first, no ``..``, no ``.`` at the end, no name that Windows reserves.
    """
    if BATCH_NAME.fullmatch(name) is None:
        return "is not 1 to 64 letters, digits, '_', '.' or '-' with a letter or digit first"
    if _is_unsafe_file_name(name):
        return "holds '..', ends with '.' or is reserved by Windows"
    return None


def plate_format_of(positions: list[WellPosition]) -> PlateFormat:
    """The smallest plate that holds all positions."""
    return next(
        (size for size in PLATE_SHAPES if all(is_on_plate(position, size) for position in positions)), 1536
    )


def is_on_plate(position: WellPosition, plate_format: PlateFormat) -> bool:
    """Whether the position exists on a plate of this format."""
    rows, columns = PLATE_SHAPES[plate_format]
    return position.row in ROW_LETTERS[:rows] and position.column <= columns


def is_edge(position: WellPosition, plate_format: PlateFormat) -> bool:
    """Whether the well lies in the outer row or column of its plate."""
    rows, columns = PLATE_SHAPES[plate_format]
    return position.row in (ROW_LETTERS[0], ROW_LETTERS[rows - 1]) or position.column in (1, columns)


def _is_unsafe_file_name(name: str) -> bool:
    return ".." in name or name.endswith(".") or name.split(".")[0].lower() in RESERVED_NAMES
