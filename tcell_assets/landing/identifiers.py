"""What identifies each compound of a batch: columns of its plate map, and of one `compounds.csv` beside the batches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from tcell_assets.landing.columns import IDENTIFIERS, recognise_columns
from tcell_assets.landing.names import folded
from tcell_assets.landing.plate_map import NO_DOSE, WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import TextTable
from tcell_assets.landing.well_types import POSITIVE_CONTROL, SAMPLE

# How each is written where a link can be made of it; others are kept as they are and not linked.
WRITTEN_AS = {
    "pubchem_cid": re.compile(r"(?:CID[:\s]*)?0*(?P<kept>[1-9]\d{0,9})(?:\.0+)?", re.IGNORECASE),
    "chebi": re.compile(r"(?:CHEBI[:_\s]*)?(?P<kept>[1-9]\d{0,6})(?:\.0+)?", re.IGNORECASE),
    "hmdb": re.compile(r"(?P<kept>HMDB\d{5,7})", re.IGNORECASE),
    "inchikey": re.compile(r"(?:InChIKey=)?(?P<kept>[A-Z]{14}-[A-Z]{10}-[A-Z])"),
}


def compound_identifiers(
    entries: Sequence[WellEntry],
    listing: TextTable | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> pd.DataFrame:
    """The identifiers of a batch's compounds.

    Args:
        entries: Its settled wells. Of a well with several compounds nothing is taken: its columns are of the first.
        listing: `compounds.csv`, a row a compound of any batch, or None.
        settings: Stated column names, and names that mean another.
        problems: Receives compounds of which two things are said, and a listing without a compound column.
        notes: Receives identifiers that are written as none, which are kept and not linked.

    Returns:
        `compound` and `columns.IDENTIFIERS`, a row a compound of which any is known, sorted; None where one is not.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for entry in entries:
        if entry.well_type in (SAMPLE, POSITIVE_CONTROL) and not entry.partners:
            place = f"{entry.file} row {entry.file_row}"
            for kind, value in entry.identifiers.items():
                _say(found, entry.compound, kind, value, place, problems, entry.columns.get(kind, kind))
    if listing is not None:
        _read_listing(listing, {entry.compound for entry in entries}, found, settings, problems)
    unusual = sorted(
        f"{kind} {quoted(value)} of {compound}"
        for compound, said in found.items()
        for kind, (value, _) in said.items()
        if kind in WRITTEN_AS and not is_linked(kind, value)
    )
    if unusual:
        notes.append(f"kept as written and not linked: {listed(unusual)}")
    rows = [
        {"compound": compound, **{kind: said.get(kind, (None, ""))[0] for kind in IDENTIFIERS}}
        for compound, said in sorted(found.items())
    ]
    return pd.DataFrame(rows, columns=["compound", *IDENTIFIERS], dtype=object)


def is_linked(kind: str, value: str) -> bool:
    """Whether a value is written as identifiers of its kind are."""
    return kind in WRITTEN_AS and WRITTEN_AS[kind].fullmatch(value) is not None


def _read_listing(
    table: TextTable,
    compounds: set[str],
    found: dict[str, dict[str, tuple[str, str]]],
    settings: LandingSettings,
    problems: ProblemCollector,
) -> None:
    columns = recognise_columns(table.header, settings.columns)
    if "metabolite" not in columns:
        says = f"has no compound column among {listed(list(table.header))}"
        problems.add("missing columns", table.file, "row 1", says, "Name one column 'compound'")
        return
    names = table.column(columns["metabolite"])
    cells = {kind: table.column(columns[kind]) for kind in IDENTIFIERS if kind in columns}
    for row, written in enumerate(names):
        name = folded(written.strip())
        name = settings.names.get(name, name)
        if name in compounds:
            for kind, values in cells.items():
                value = folded(values[row].strip())
                if value not in NO_DOSE:
                    place = f"{table.file} {table.row_place(row)}"
                    _say(found, name, kind, value, place, problems, columns[kind])


def _say(
    found: dict[str, dict[str, tuple[str, str]]],
    compound: str,
    kind: str,
    written: str,
    place: str,
    problems: ProblemCollector,
    column: str,
) -> None:
    """Note what is said of a compound; two values of one identifier are a problem."""
    value = _canonical(kind, written)
    before, there = found.setdefault(compound, {}).setdefault(kind, (value, place))
    if before != value:
        says = f"says the {kind} of {quoted(compound)} is {quoted(value)}, and {there} that it is {quoted(before)}"
        mend = f"Correct one of the two, or say in screen.yaml: ignore_columns: [{column}]"
        file, _, row = place.rpartition(" row ")
        problems.add("contradictory identifiers", file, f"row {row}", says, mend)


def _canonical(kind: str, written: str) -> str:
    match = WRITTEN_AS[kind].fullmatch(written) if kind in WRITTEN_AS else None
    if match is None:
        return written
    kept = match["kept"].upper()
    return f"CHEBI:{kept}" if kind == "chebi" else kept


def addresses(identifiers: Mapping[str, str]) -> dict[str, str]:
    """The pages that know a compound, by the name of their site."""
    pages = {
        "pubchem_cid": ("PubChem", "https://pubchem.ncbi.nlm.nih.gov/compound/{}"),
        "chebi": ("ChEBI", "https://www.ebi.ac.uk/chebi/searchId.do?chebiId={}"),
        "hmdb": ("HMDB", "https://hmdb.ca/metabolites/{}"),
    }
    return {
        site: address.format(identifiers[kind])
        for kind, (site, address) in pages.items()
        if kind in identifiers and is_linked(kind, identifiers[kind])
    }
