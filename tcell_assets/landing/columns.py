"""Which column of a plate map holds what, by its name and, where names leave a choice, by its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from tcell_assets.landing.names import folded
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import header_with_unit, is_dose_unit, time_unit
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import TextTable
from tcell_assets.landing.well_types import are_type_words
from tcell_assets.targets import spelling

COLUMN_SPELLINGS: dict[str, tuple[str, ...]] = {
    "well_id": ("wellid", "platewell", "plateandwell"),
    "batch": ("batch", "batchid", "screeningbatch"),
    "plate": ("plate", "plateid", "platename", "platebarcode", "rnaplate", "detplate"),
    "well": ("well", "wellname", "wellposition", "position", "rnawell", "detwell", "pertwell"),
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
        "treatmentname",
        "metabolite1",
        "compound1",
        "drug1",
        "treatmenta",
        "druga",
        "compounda",
        "pertiname",
        "pertmfcdesc",
        "perturbation",
        "perturbagen",
        "substance",
        "chemical",
        "compoundid",
        "broadsample",
        "pertid",
        "brdid",
    ),
    "concentration": (
        "concentration",
        "concentration1",
        "conc",
        "dose",
        "conc1",
        "dose1",
        "finalconcentration",
        "finalconc",
        "treatmentdose",
        "treatmentconcentration",
        "compoundconcentration",
        "compounddose",
        "compoundconc",
        "drugconcentration",
        "drugdose",
        "pertdose",
        "pertidose",
    ),
    "concentration_unit": (
        "concentrationunit",
        "unit1",
        "doseunit",
        "concunit",
        "concentrationunits",
        "doseunits",
        "concunits",
        "pertdoseunit",
    ),
    "time": (
        "time",
        "timepoint",
        "incubationtime",
        "treatmenttime",
        "exposuretime",
        "duration",
        "treatmentduration",
        "hours",
        "perttime",
        "pertitime",
        "timepoints",
    ),
    "time_unit": ("timeunit", "timepointunit", "perttimeunit", "timeunits"),
    "cell_line": ("cellline", "celllinename", "cells", "celltype", "cell", "cellid"),
    "donor": ("donor", "donorid", "patient", "patientid", "subject", "subjectid", "individual"),
    "sample_type": ("sampletype", "welltype"),
    "control_type": ("controltype", "wellrole", "perttype"),
    "solvent": ("solvent", "vehicle"),
    "volume": (
        "volume",
        "transfervolume",
        "compoundvolume",
        "dispensedvolume",
        "volumenl",
        "volumeul",
        "transfervolumenl",
    ),
    "barcode": ("barcode", "wellbarcode", "cellbarcode"),
    "is_dmso": ("isdmso",),
    "cluster": ("cluster", "clusterid"),
    "pubchem_cid": ("pubchemcid", "pubchem", "pubchemid", "cid"),
    "chebi": ("chebi", "chebiid"),
    "hmdb": ("hmdb", "hmdbid"),
    "inchikey": ("inchikey",),
    "smiles": ("smiles", "canonicalsmiles", "isomericsmiles"),
    "mechanism": ("mechanism", "mechanismofaction", "moa", "class", "compoundclass", "metaboliteclass"),
}
"""What a column holds by its spelling, letters and digits only, lower case; the first spelling found is taken."""

PARTNERS = (2, 3, 4)
"""A well may hold this many compounds: ``compound_2``, ``concentration_2`` and so on beside the first."""
_OF_PARTNER = {
    number: tuple(
        f"{word}{which}{dose}"
        for word in ("drug", "compound", "treatment")
        for which in (str(number), "abcd"[number - 1])
        for dose in ("conc", "concentration", "dose")
    )
    for number in (1, *PARTNERS)
}
# ``Drug A conc (nM)`` beside ``Drug A``.
COLUMN_SPELLINGS["concentration"] += _OF_PARTNER[1]
for _number in PARTNERS:
    _letter = "abcd"[_number - 1]
    COLUMN_SPELLINGS[f"compound_{_number}"] = tuple(
        f"{word}{end}"
        for word in ("treatment", "compound", "drug", "metabolite")
        for end in (f"{_number}", f"name{_number}", f"{_number}name", _letter)
    )
    COLUMN_SPELLINGS[f"concentration_{_number}"] = (
        tuple(f"{word}{end}" for word in ("concentration", "conc", "dose") for end in (f"{_number}", _letter))
        + _OF_PARTNER[_number]
    )
    COLUMN_SPELLINGS[f"concentration_unit_{_number}"] = tuple(
        spelling
        for word in ("concentration", "conc", "dose", "")
        for spelling in (f"{word}unit{_number}", f"{word}{_number}unit", f"{word}unit{'abcd'[_number - 1]}")
    )

IDENTIFIERS = ("pubchem_cid", "chebi", "hmdb", "inchikey", "smiles", "mechanism")
"""What identifies a compound or says what it is; one value a compound."""

ROLE_NAMES = {"compound": "metabolite", "dose": "concentration", "dose_unit": "concentration_unit"}
"""Other words for a role in `screen.yaml`."""

GENERIC_UNITS = ("unit", "units")

HARMLESS = frozenset(
    {
        "barcode", "index", "i5", "i7", "indexi5", "indexi7", "i5index", "i7index", "sampleindex", "comment",
        "comments", "note", "notes", "remark", "remarks", "description", "annotation", "annotations", "file",
        "filename", "path", "fastq", "fastq1", "fastq2", "r1", "r2", "image", "imagename", "lane", "lanes",
        "run", "runid", "sequencer", "sequencingrun", "library", "libraryid", "pool", "poolid", "replicate",
        "replicates", "rep", "replicateid", "replicatenumber", "biologicalreplicate", "technicalreplicate",
        "platereplicate", "biorep", "techrep", "date", "rundate", "operator", "experimenter", "uuid", "rowid",
        "wellindex", "wellnumber", "wellno", "wellnum", "sourceplate", "sourcewell", "sourceplatename",
        "sourcebarcode", "sourceplatebarcode", "sourceposition", "destinationplate", "destinationwell",
        "destplate", "destwell", "destinationplatebarcode", "quadrant", "assayplate", "assayplatebarcode",
        "platemapname", "platemap", "rowindex", "colindex", "columnindex", "rownumber", "colnumber",
        "columnnumber", "ncountrna", "nfeaturerna", "ncount", "nfeature", "percentmt", "percentribo",
        "percentmito", "pctmt", "totalumi", "totalcounts", "ncounts", "ngenes", "ngenesbycounts", "pctcountsmt",
        "numi", "ngene", "genesdetected", "umi", "reads", "nreads", "totalreads", "mappedreads", "rin",
        "cellcount", "viability", "confluence",
    }
)  # fmt: skip
"""Columns that differ between replicates and change nothing about them, by spelling: barcodes and sequencing, comments,
replicate numbers, dates and people, coordinates of sources and plates, and what was measured afterwards."""


@dataclass
class Columns:
    """The columns of a table by what they hold.

    Attributes:
        roles: Column name by role.
        units: Unit that a column's header names, by role.
        factors: Columns declared as further factors.
        ignored: Columns that `screen.yaml` says to ignore.
        unread: The others.
    """

    roles: dict[str, str]
    units: dict[str, str] = field(default_factory=dict)
    factors: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def recognise_columns(header: Sequence[str], stated: Mapping[str, str]) -> dict[str, str]:
    """Column names by what they hold, from the header alone.

    Args:
        header: Column names of the table.
        stated: Column names that the settings state; these come first.

    Returns:
        E.g. ``{"metabolite": "Treatment_1"}``; what is not there is left out.
    """
    found = {ROLE_NAMES.get(role, role): name for role, name in stated.items() if name in header}
    taken = set(found.values())
    by_spelling = {spelling(name): name for name in reversed(header) if name not in taken}
    for name in reversed(header):
        if name in taken:
            continue
        base, unit = header_with_unit(name)
        if unit and spelling(base) in ("", *COLUMN_SPELLINGS["concentration"]):
            by_spelling.setdefault(spelling(base) or "concentration", name)
        for number in PARTNERS:
            if unit and spelling(base) in COLUMN_SPELLINGS[f"concentration_{number}"]:
                by_spelling.setdefault(spelling(base), name)
        base, unit = header_with_unit(name, time_unit)
        if unit and spelling(base) in COLUMN_SPELLINGS["time"]:
            by_spelling.setdefault(spelling(base), name)
    for role, spellings in COLUMN_SPELLINGS.items():
        names = [by_spelling[text] for text in spellings if text in by_spelling]
        if names and role not in found:
            found[role] = names[0]
    return found


def columns_of(table: TextTable, settings: LandingSettings, problems: ProblemCollector) -> Columns:
    """The columns of a plate map by what they hold.

    Where several columns may be the compound's, a column of types (``vehicle``, ``compound``) is read as the type.

    Args:
        table: The plate map.
        settings: Stated columns, factors and columns to ignore.
        problems: Receives stated columns that are not there.
    """
    settings = _with_names_of(table.header, settings)
    stated = {ROLE_NAMES.get(role, role): name for role, name in settings.columns.items()}
    for role, name in settings.columns.items():
        if name not in table.header:
            near = _nearest(name, table.header)
            found = f"has no column {quoted(name)}, which screen.yaml states for {role}{near}"
            problems.add(
                "missing columns", table.file, "row 1", found, "Correct the column name in screen.yaml"
            )
    header = [name for name in table.header if name not in settings.ignore_columns]
    header = [name for name in header if name not in settings.factors or name in stated.values()]
    roles = recognise_columns(header, stated)
    while (
        "metabolite" in roles
        and "metabolite" not in stated
        and are_type_words(table.column(roles["metabolite"]))
    ):
        types = roles["metabolite"]
        others = recognise_columns([name for name in header if name != types], stated)
        if "metabolite" not in others:
            break
        header.remove(types)
        roles = {"control_type" if "sample_type" in others else "sample_type": types} | others
    # ``treatment_2`` without a first one, or a column named for a solvent that holds the names.
    for number in PARTNERS:
        if roles.get(f"compound_{number}") == roles.get("metabolite"):
            roles.pop(f"compound_{number}", None)
    _assign_generic_unit(table, header, roles)
    units: dict[str, str] = {}
    for role, name in roles.items():
        if role == "concentration" or role in {f"concentration_{number}" for number in PARTNERS}:
            units[role] = header_with_unit(name)[1] or settings.dose_unit
        elif role == "time":
            unit = "h" if spelling(name) == "hours" else header_with_unit(name, time_unit)[1]
            units[role] = unit or settings.time_unit
    read = set(roles.values())
    return Columns(
        roles=roles,
        units=units,
        factors=tuple(name for name in settings.factors if name in table.header and name not in read),
        ignored=tuple(name for name in table.header if name in settings.ignore_columns),
        unread=tuple(
            name
            for name in table.header
            if name not in read and name not in settings.ignore_columns and name not in settings.factors
        ),
    )


def _with_names_of(header: Sequence[str], settings: LandingSettings) -> LandingSettings:
    """The settings with the table's own spelling of the columns they name: ``Stim`` for ``stim``."""
    own = {spelling(name): name for name in reversed(header)}

    def found(name: str) -> str:
        return name if name in header else own.get(spelling(name), name)

    return replace(
        settings,
        columns={role: found(name) for role, name in settings.columns.items()},
        factors=tuple(map(found, settings.factors)),
        ignore_columns=tuple(map(found, settings.ignore_columns)),
    )


def check_columns(table: TextTable, columns: Columns, problems: ProblemCollector) -> bool:
    """Whether the columns suffice to read a plate map; what is missing or doubled is a problem."""
    before = problems.total
    if "metabolite" not in columns.roles:
        found = f"has no metabolite column among {listed(list(table.header))}"
        mend = "Name one column 'metabolite', or say in screen.yaml which it is: columns: {metabolite: …}"
        problems.add("missing columns", table.file, "row 1", found, mend)
    used = {*columns.roles.values(), *columns.factors}
    for name in sorted(used):
        if table.header.count(name) > 1:
            found = f"names the column {quoted(name)} more than once"
            problems.add("duplicate columns", table.file, "row 1", found, "Remove one of them")
    return problems.total == before


def _assign_generic_unit(table: TextTable, header: Sequence[str], roles: dict[str, str]) -> None:
    """A column that is just called ``unit`` belongs to the dose or to the time, as its cells say."""
    for name in header:
        if name in roles.values() or spelling(name) not in GENERIC_UNITS:
            continue
        cells = {folded(cell) for cell in table.column(name)} - {""}
        if cells and all(time_unit(cell) for cell in cells):
            roles.setdefault("time_unit", name)
        elif cells and all(is_dose_unit(cell) for cell in cells):
            roles.setdefault("concentration_unit", name)


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (the nearest is {quoted(near[0])})" if near else ""
