"""The plate map: what was done to which well, from a table with any of the usual column names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tcell_assets.landing.columns import IDENTIFIERS, PARTNERS, Columns, check_columns, columns_of
from tcell_assets.landing.names import folded
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import Quantity, dose_unit, read_quantity, time_unit
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import UNKNOWN, TextTable, parse_number
from tcell_assets.landing.well_types import (
    NEGATIVE,
    POSITIVE_CONTROL,
    SAMPLE,
    VEHICLE_CONTROL,
    WellType,
    type_word,
)
from tcell_assets.landing.wells import (
    PLATE_AND_WELL,
    ROW_LETTERS,
    WELL_NAME,
    WellId,
    WellPosition,
    canonical_plate,
    parse_plate_well,
    parse_well,
    parse_well_id,
)
from tcell_assets.targets import spelling

SAMPLE_TYPES = {
    VEHICLE_CONTROL: VEHICLE_CONTROL,
    NEGATIVE: VEHICLE_CONTROL,
    POSITIVE_CONTROL: POSITIVE_CONTROL,
    SAMPLE: SAMPLE,
}
"""The column ``sample_type`` by what a word means; others stay as written."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
# Day 3 and D3; 24 hpt, 24 h post treatment.
DAY = re.compile(r"(?:day|d)[ _-]?(?P<number>[0-9]+(?:\.[0-9]+)?)", re.IGNORECASE)
AFTER_TREATMENT = re.compile(
    r"(?<=[0-9 ])(?:h(?:(?:ou)?rs?)?[ _-]?(?:post|after)[ _-]?(?:treatment|stimulation|infection|addition))$",
    re.IGNORECASE,
)
# -666 is how LINCS writes that a cell does not apply.
NO_DOSE = UNKNOWN | {"-", "n/a", "N/A", "-666", "-666.0"}


@dataclass(frozen=True)
class WellEntry:
    """One well as the plate map lists it, and what `conditions.settle_wells` makes of it.

    Attributes:
        file: The file it stands in.
        file_row: Its row there, the header being row 1.
        id: Batch, plate and canonical well.
        position: Row letter and column.
        metabolite: The compound in its one spelling, empty where none is given; settled, with the concentration where
            treatments come in several.
        is_dmso: Where the map says so itself, else None.
        cluster: Or None.
        concentration: The number as written, or None.
        concentration_unit: As written, or empty.
        sample_type: ``vehicle_control``, ``positive_control``, ``sample``, another word, or None.
        barcode: Well barcode, or None.
        dose: Of the compound, or None.
        partners: Further compounds in the well, each with its dose.
        time: As a quantity, as text where it is no number, or None.
        cell_line: Or empty.
        donor: Or empty.
        factors: Further declared factors: column and value.
        solvent: Or empty.
        volume: Of the compound, or None.
        stated_type: What a column of sample or control types says: see `well_types.type_word`.
        identifiers: What the map says of the compound, by `columns.IDENTIFIERS`, those that are given.
        others: Cells of the columns that nobody read.
        columns: The columns of its file by what they hold.
        well_type: Settled.
        compound: Settled: what a dose series shares; ``A + B`` for two compounds.
        condition: Settled: everything that was done to the well; replicates are wells of one condition.
        context: Settled: the condition without compound and dose; a well and its controls share it.
    """

    file: str
    file_row: int
    id: WellId
    position: WellPosition
    metabolite: str
    is_dmso: bool | None = None
    cluster: str | None = None
    concentration: float | None = None
    concentration_unit: str = ""
    sample_type: str | None = None
    barcode: str | None = None
    dose: Quantity | None = None
    partners: tuple[tuple[str, Quantity | None], ...] = ()
    time: Quantity | str | None = None
    cell_line: str = ""
    donor: str = ""
    factors: tuple[tuple[str, str], ...] = ()
    solvent: str = ""
    volume: float | None = None
    stated_type: str | None = None
    identifiers: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    well_type: WellType = SAMPLE
    compound: str = ""
    condition: str = ""
    context: str = ""


def read_plate_map(
    table: TextTable,
    batch: str,
    plate: str | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> list[WellEntry]:
    """The wells of a plate map.

    Args:
        table: One row a well: a well (``well_id``, ``well``, or ``row`` and ``column``) and a metabolite, a plate
            where ``plate`` is None, and any of the optional columns of `columns.COLUMN_SPELLINGS`.
        batch: The batch it belongs to.
        plate: The plate whose folder it lies in; None for a map of the whole batch.
        settings: Stated column names and well pattern.
        problems: Receives missing columns, unreadable wells, numbers and names.
        notes: Receives which columns are ignored and which names were folded.

    Returns:
        The wells, to be settled by `conditions.settle_wells` with those of the batch's other maps.
    """
    columns = columns_of(table, settings, problems)
    is_complete = check_columns(table, columns, problems)
    ids = read_row_wells(table, columns.roles, batch, plate, settings, problems)
    if ids is None or not is_complete:
        return []
    if columns.ignored:
        notes.append(f"{table.file}: columns ignored, as screen.yaml says: {', '.join(columns.ignored)}")
    row_reader = _RowReader(table, columns, settings, problems)
    entries = [row_reader.entry(row, well) for row, well in enumerate(ids) if well is not None]
    if row_reader.folded:
        notes.append(
            f"{table.file}: {len(row_reader.folded)} spellings were folded (blanks, hyphens, invisible characters, "
            f"Unicode NFC) to {listed(sorted(set(row_reader.folded.values())))}"
        )
    known = set(map(spelling, table.header))
    notes += [
        f"{table.file}: has no column {quoted(name)}, which screen.yaml lists under factors"
        for name in settings.factors
        if spelling(name) not in known
    ]
    for column, words in row_reader.unknown_words.items():
        notes.append(
            f"{table.file}: words of the column {column} that say nothing of a well: {listed(words)}"
        )
    return entries


class _RowReader:
    """Reads the rows of one plate map."""

    def __init__(
        self, table: TextTable, columns: Columns, settings: LandingSettings, problems: ProblemCollector
    ) -> None:
        self.table, self.columns, self.settings, self.problems = table, columns, settings, problems
        self.folded: dict[str, str] = {}
        self._read = {**columns.roles, **{f"factor {name}": name for name in columns.factors}}
        self._cells = {role: table.column(name) for role, name in columns.roles.items()}
        self._factors = {name: table.column(name) for name in columns.factors}
        # The solvent and a volume may differ without meaning anything, or be the one thing that was varied.
        watched = [columns.roles[role] for role in ("solvent", "volume") if role in columns.roles]
        self.unknown_words = {
            columns.roles[role]: words
            for role in ("sample_type", "control_type")
            if (words := sorted({cell for cell in self._cells.get(role, ()) if not _is_type_or_blank(cell)}))
        }
        watched += list(self.unknown_words)
        self._others = {name: table.column(name) for name in (*columns.unread, *watched)}

    def entry(self, row: int, well: WellId) -> WellEntry:
        """The well of one row."""
        text = {role: values[row].strip() for role, values in self._cells.items()}
        name = self._name("metabolite", row)
        dose = self._dose("concentration", "concentration_unit", text, row)
        types = [type_word(text.get(role, "")) for role in ("control_type", "sample_type")]
        partners = []
        for number in PARTNERS:
            partner = self._name(f"compound_{number}", row)
            if partner and partner not in NO_DOSE:
                quantity = self._dose(f"concentration_{number}", f"concentration_unit_{number}", text, row)
                partners.append((partner, quantity))
        volume = read_quantity(text.get("volume", ""), "")
        return WellEntry(
            file=self.table.file,
            file_row=row + self.table.first_row,
            id=well,
            position=parse_well(well.well),
            metabolite=name,
            is_dmso=_truth(text.get("is_dmso", ""), self.table, row, self.columns.roles, self.problems),
            cluster=None if text.get("cluster", "") in UNKNOWN else text["cluster"],
            concentration=None if dose is None else dose.number,
            concentration_unit=text.get("concentration_unit") or (dose.written_unit if dose else ""),
            sample_type=_sample_type(text.get("sample_type", "") or text.get("control_type", "")),
            barcode=text.get("barcode") or None,
            dose=dose,
            partners=tuple(partners),
            time=self._time(text, row),
            cell_line=self._level(self._name("cell_line", row)),
            donor=self._level(self._name("donor", row)),
            factors=tuple((name, self._factor(cells[row])) for name, cells in self._factors.items()),
            solvent=folded(text.get("solvent", "")),
            volume=None if volume is None else volume.number,
            stated_type=next((word for word in types if word is not None), None),
            identifiers={
                role: value for role in IDENTIFIERS if (value := self._level(folded(text.get(role, ""))))
            },
            others={name: self._level(folded(cells[row])) for name, cells in self._others.items()},
            columns=self._read,
        )

    def _name(self, role: str, row: int) -> str:
        if role not in self._cells:
            return ""
        written = self._cells[role][row].strip()
        name = folded(written)
        if name != written:
            self.folded[written] = name
        check_name(role, name, self.table, row, self.columns.roles[role], self.settings, self.problems)
        return self.settings.names.get(name, name)

    def _level(self, text: str) -> str:
        """A level of a factor: blank where unknown, 1.0 and 1 the same."""
        if text in NO_DOSE:
            return ""
        number = parse_number(text)
        return text if number is None else f"{number:.15g}"

    def _factor(self, written: str) -> str:
        level = self._level(folded(written))
        return self.settings.names.get(level, level)

    def _dose(self, role: str, unit_role: str, text: dict[str, str], row: int) -> Quantity | None:
        cell = text.get(role, "")
        if cell in NO_DOSE:
            return None
        column_unit = text.get(unit_role, "")
        unit = "" if column_unit in NO_DOSE else column_unit
        unit = unit or self.columns.units.get(role, "")
        dose = read_quantity(cell, unit)
        place = self.table.place(row, self.columns.roles[role])
        if dose is None:
            found = f"holds {quoted(cell)}, which is not a number, with or without a unit"
            mend = "Write a number of 0 or more with a decimal point, and its unit in the column's name"
            self.problems.add("unreadable concentrations", self.table.file, place, found, mend)
        elif unit and dose_unit(dose.written_unit) != dose_unit(unit):
            found = f"holds {quoted(cell)} in a column of {quoted(unit)}"
            self.problems.add(
                "contradictory units", self.table.file, place, found, "Keep one of the two units"
            )
        return dose

    def _time(self, text: dict[str, str], row: int) -> Quantity | str | None:
        cell = folded(text.get("time", ""))
        if cell in NO_DOSE:
            return None
        unit = text.get("time_unit", "") or self.columns.units.get("time", "")
        day = DAY.fullmatch(cell)
        written = f"{day['number']} d" if day else AFTER_TREATMENT.sub("h", cell)
        return read_quantity(written, unit if time_unit(unit) else "", time_unit) or cell


def _full_id(text: str, batch: str) -> WellId:
    """A well_id, or plate and well as one (``P1_A5``), which only the batch's folder makes whole."""
    try:
        return parse_well_id(text, batch)
    except ValueError:
        try:
            return WellId(batch, *parse_plate_well(text))
        except ValueError:
            pass
        raise


def read_row_wells(
    table: TextTable,
    columns: Mapping[str, str],
    batch: str,
    plate: str | None,
    settings: LandingSettings,
    problems: ProblemCollector,
) -> list[WellId | None] | None:
    """Which well each row of a table is about.

    Args:
        table: Any table with a ``well_id``, or a ``well`` (or ``row`` and ``column``) and a ``plate``.
        columns: Its columns by what they hold.
        batch: The batch every well must belong to.
        plate: The plate of its folder; a ``plate`` column must then agree.
        settings: Well pattern.
        problems: Receives rows whose well cannot be read.

    Returns:
        One a row, None where a problem was noted; None as a whole where the columns do not say.
    """
    pattern = settings.well_pattern or WELL_NAME
    full_ids, wells = _well_columns(table, columns, pattern)
    plates = table.column(columns["plate"]) if "plate" in columns else None
    batches = table.column(columns["batch"]) if "batch" in columns else None
    if full_ids is None and wells is None:
        found = f"has no well column among {listed(list(table.header))}"
        problems.add("missing columns", table.file, "row 1", found, "Name one column 'well' (such as E12)")
        return None
    if full_ids is None and plates is None and plate is None:
        found = f"has no plate column among {listed(list(table.header))}"
        mend = (
            "Name one column 'plate', or put map and matrix of a plate into a folder that is named after it"
        )
        problems.add("missing columns", table.file, "row 1", found, mend)
        return None
    ids: list[WellId | None] = []
    for row in range(len(table.rows)):
        ids.append(None)
        part = "well"
        try:
            position = parse_well(wells[row], pattern).name if wells else None
            part = "plate"
            stated_plate = canonical_plate(plates[row]) if plates else plate
            part = "well_id"
            full = _full_id(full_ids[row], batch) if full_ids else None
        except ValueError as error:
            column = columns.get(part) or columns.get("well_id") or columns["row"]
            cell = table.rows[row][table.header.index(column)]
            found = f"holds {quoted(cell)}, which {error}"
            problems.add("unreadable wells", table.file, table.place(row, column), found, "Correct the name")
            continue
        well = full or WellId(batch, stated_plate or "", position or "")
        stated = {"batch": batches[row].strip() if batches else None, "plate": stated_plate, "well": position}
        conflicts = [
            part for part, name in stated.items() if name is not None and name != getattr(well, part)
        ]
        for part in conflicts:
            found = f"says {part} {quoted(str(stated[part]))} of the well {well}"
            mend = "Correct one of the two"
            if part == "batch":
                mend += (
                    f", or say in screen.yaml that the folder counts: ignore_columns: [{columns['batch']}]"
                )
            problems.add("contradictions", table.file, table.row_place(row), found, mend)
        if plate is not None and well.plate != plate:
            found = f"is of plate {quoted(well.plate)}, but lies in the folder of plate {quoted(plate)}"
            problems.add(
                "contradictions", table.file, table.row_place(row), found, "Move it to its plate's folder"
            )
        elif not conflicts:
            ids[row] = well
    return ids


def check_name(
    what: str,
    name: str,
    table: TextTable,
    row: int,
    column: str,
    settings: LandingSettings,
    problems: ProblemCollector,
) -> None:
    """Note names too long to be one or with control characters; every other character is allowed."""
    fault = name_fault(name, settings.limits.max_name_length)
    if fault:
        found = f"holds the {what} {quoted(name)}, which {fault}"
        problems.add("unusable names", table.file, table.place(row, column), found, "Correct the name")


def name_fault(name: str, max_length: int) -> str | None:
    """What keeps a text from being the name of a metabolite or gene ("which …"), or None."""
    if len(name) > max_length:
        return f"is longer than {max_length} characters"
    if CONTROL_CHARACTER.search(name):
        return "holds a control character"
    return None


def _well_columns(
    table: TextTable, columns: Mapping[str, str], pattern: re.Pattern[str]
) -> tuple[list[str] | None, list[str] | None]:
    """The column of whole well_ids and the column of plain well names, each None where there is none.

    ``Well_ID`` may hold either; it holds wells where every cell reads as one. ``well`` may hold plate and well as one
    (``P1_A5``) where no column names the plate.
    """
    full_ids = wells = None
    if "well_id" in columns:
        cells = table.column(columns["well_id"])
        if all(pattern.fullmatch(cell.strip()[:64]) for cell in cells):
            wells = cells
        else:
            full_ids = cells
    if "well" in columns:
        wells = table.column(columns["well"])
        if "plate" not in columns and all(PLATE_AND_WELL.fullmatch(cell.strip()[:256]) for cell in wells):
            full_ids, wells = wells, None
    elif full_ids is None and wells is None and "row" in columns and "column" in columns:
        pairs = zip(_row_letters(table.column(columns["row"])), table.column(columns["column"]), strict=True)
        wells = [f"{row.strip()}{column.strip()}" for row, column in pairs]
    return full_ids, wells


def _row_letters(rows: list[str]) -> list[str]:
    """Rows by letter, also where they are numbered from 1; with a 0 among them it is not known where they begin."""
    numbers = [int(row) if row.strip().isdecimal() else 0 for row in rows]
    if not numbers or min(numbers) < 1 or max(numbers) > len(ROW_LETTERS):
        return rows
    return [ROW_LETTERS[number - 1] for number in numbers]


def _sample_type(text: str) -> str | None:
    return None if text in UNKNOWN else SAMPLE_TYPES.get(type_word(text) or "", text)


def _is_type_or_blank(cell: str) -> bool:
    return folded(cell) in NO_DOSE or type_word(cell) is not None


def _truth(
    text: str, table: TextTable, row: int, columns: Mapping[str, str], problems: ProblemCollector
) -> bool | None:
    if text in UNKNOWN:
        return None
    if text.lower() not in TRUTH:
        place = table.place(row, columns["is_dmso"])
        problems.add(
            "unreadable truth values", table.file, place, f"holds {quoted(text)}", "Write TRUE or FALSE"
        )
    return TRUTH.get(text.lower())
