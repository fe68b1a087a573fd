"""The plate map: which metabolite is in which well, from a table with any of the usual column names."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import UNKNOWN, TextTable, parse_number
from tcell_assets.landing.wells import (
    WELL_NAME,
    WellId,
    WellPosition,
    canonical_plate,
    parse_well,
    parse_well_id,
)

VEHICLE_CONTROL = "vehicle_control"
POSITIVE_CONTROL = "positive_control"
SAMPLE = "sample"

COLUMN_SPELLINGS: dict[str, tuple[str, ...]] = {
    "well_id": ("wellid",),
    "batch": ("batch", "batchid", "screeningbatch"),
    "plate": ("plate", "plateid", "platename", "platebarcode"),
    "well": ("well", "wellname", "wellposition", "position"),
    "row": ("row", "wellrow"),
    "column": ("column", "col", "wellcolumn"),
    "metabolite": (
        "metabolite",
        "metabolitename",
        "metaid",
        "compound",
        "compoundname",
        "treatment",
        "treatment1",
        "drug",
        "drugname",
    ),
    "concentration": ("concentration", "concentration1", "conc", "dose"),
    "concentration_unit": ("concentrationunit", "unit1", "doseunit"),
    "sample_type": ("sampletype", "welltype"),
    "barcode": ("barcode", "wellbarcode", "cellbarcode"),
    "is_dmso": ("isdmso",),
    "cluster": ("cluster", "clusterid"),
}
"""What a column holds by its spelling, letters and digits only, lower case; the first spelling found is taken."""

SAMPLE_TYPES = {
    "vehiclecontrol": VEHICLE_CONTROL,
    "vehicle": VEHICLE_CONTROL,
    "negativecontrol": VEHICLE_CONTROL,
    "positivecontrol": POSITIVE_CONTROL,
    "sample": SAMPLE,
    "treatment": SAMPLE,
}
"""Sample types by spelling; others stay as written."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class WellEntry:
    """One well as the plate map lists it.

    Attributes:
        file: The file it stands in.
        file_row: Its row there, the header being row 1.
        id: Batch, plate and canonical well.
        position: Row letter and column.
        metabolite: As written, without surrounding white space; empty where none is given.
        is_dmso: Where the map says so itself, else None.
        cluster: Or None.
        concentration: Or None.
        concentration_unit: Or empty.
        sample_type: ``vehicle_control``, ``positive_control``, ``sample``, another word, or None.
        barcode: Well barcode, or None.
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


def with_concentration_in_name(
    entries: list[WellEntry], stated: bool | None, notes: list[str]
) -> list[WellEntry]:
    """The wells with their concentration in the metabolite's name: ``Staurosporine 10 uM``.

    Wells of one treatment at different doses are no replicates of each other, and everything later takes wells
    with the same metabolite for replicates.

    Args:
        entries: The wells of a batch; wells without a concentration, or with 0, keep their name.
        stated: Whether to do so; None does so where any treatment has several concentrations.
        notes: Receives that it was done.
    """
    doses: dict[str, set[float]] = {}
    for entry in entries:
        if entry.concentration:
            doses.setdefault(entry.metabolite, set()).add(entry.concentration)
    if stated is False or not doses or (stated is None and max(map(len, doses.values())) == 1):
        return entries
    notes.append("metabolites are named with their concentration, as treatments come in several")
    return [
        replace(
            entry, metabolite=f"{entry.metabolite} {entry.concentration:g} {entry.concentration_unit}".strip()
        )
        if entry.concentration
        else entry
        for entry in entries
    ]


def spelling(name: str) -> str:
    """A column name reduced to its lower-case letters and digits: ``Plate_ID`` → ``plateid``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def recognise_columns(header: tuple[str, ...], stated: Mapping[str, str]) -> dict[str, str]:
    """Column names by what they hold.

    Args:
        header: Column names of the table.
        stated: Column names that the settings state; these come first.

    Returns:
        E.g. ``{"metabolite": "Treatment_1"}``; what is not there is left out.
    """
    found = {role: name for role, name in stated.items() if name in header}
    by_spelling = {spelling(name): name for name in reversed(header)}
    for role, spellings in COLUMN_SPELLINGS.items():
        names = [by_spelling[text] for text in spellings if text in by_spelling]
        if names and role not in found:
            found[role] = names[0]
    return found


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
            where ``plate`` is None, and any of the optional columns of `COLUMN_SPELLINGS`.
        batch: The batch it belongs to.
        plate: The plate whose folder it lies in; None for a map of the whole batch.
        settings: Stated column names and well pattern.
        problems: Receives missing columns, unreadable wells, numbers and names.
        notes: Receives which columns were not read.
    """
    columns = recognise_columns(table.header, settings.columns)
    for role, name in settings.columns.items():
        if name not in table.header:
            near = _nearest(name, table.header)
            found = f"has no column {quoted(name)}, which screen.yaml states for {role}{near}"
            problems.add(
                "missing columns", table.file, "row 1", found, "Correct the column name in screen.yaml"
            )
    if "metabolite" not in columns:
        found = f"has no metabolite column among {listed(list(table.header))}"
        problems.add("missing columns", table.file, "row 1", found, "Name one column 'metabolite'")
    twice = [name for name, count in Counter(table.header).items() if count > 1 and name in columns.values()]
    for name in twice:
        found = f"names the column {quoted(name)} more than once"
        problems.add("duplicate columns", table.file, "row 1", found, "Remove one of them")
    ids = read_row_wells(table, columns, batch, plate, settings, problems)
    if ids is None or "metabolite" not in columns or twice:
        return []
    unread = [name for name in table.header if name not in columns.values()]
    if unread:
        notes.append(f"{table.file}: columns not read: {', '.join(unread)}")
    cells = {role: table.column(name) for role, name in columns.items()}
    entries: list[WellEntry] = []
    for row, well in enumerate(ids):
        if well is None:
            continue
        text = {role: values[row].strip() for role, values in cells.items()}
        check_name("metabolite", text["metabolite"], table, row, columns["metabolite"], settings, problems)
        entries.append(
            WellEntry(
                file=table.file,
                file_row=row + table.first_row,
                id=well,
                position=parse_well(well.well),
                metabolite=text["metabolite"],
                is_dmso=_truth(text.get("is_dmso", ""), table, row, columns, problems),
                cluster=None if text.get("cluster", "") in UNKNOWN else text["cluster"],
                concentration=_concentration(text.get("concentration", ""), table, row, columns, problems),
                concentration_unit=text.get("concentration_unit", ""),
                sample_type=_sample_type(text.get("sample_type", "")),
                barcode=text.get("barcode") or None,
            )
        )
    return entries


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
        problems.add("missing columns", table.file, "row 1", found, "Name one column 'plate'")
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
            full = parse_well_id(full_ids[row], batch) if full_ids else None
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
            problems.add("contradictions", table.file, table.row_place(row), found, "Correct one of the two")
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

    ``Well_ID`` may hold either; it holds wells where every cell reads as one.
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
    elif full_ids is None and wells is None and "row" in columns and "column" in columns:
        pairs = zip(table.column(columns["row"]), table.column(columns["column"]), strict=True)
        wells = [f"{row.strip()}{column.strip()}" for row, column in pairs]
    return full_ids, wells


def _sample_type(text: str) -> str | None:
    return None if text in UNKNOWN else SAMPLE_TYPES.get(spelling(text), text)


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


def _concentration(
    text: str, table: TextTable, row: int, columns: Mapping[str, str], problems: ProblemCollector
) -> float | None:
    if text in UNKNOWN:
        return None
    number = parse_number(text)
    if number is None:
        place = table.place(row, columns["concentration"])
        found = f"holds {quoted(text)}, which is not a number"
        problems.add(
            "unreadable concentrations", table.file, place, found, "Write a number; put the unit elsewhere"
        )
    return number


def _nearest(name: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (the nearest is {quoted(near[0])})" if near else ""
