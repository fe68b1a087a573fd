"""Matrices as delimited text: CSV, TSV, featureCounts, merged HTSeq and BRB-seqTools tables, either way round."""

from __future__ import annotations

from tcell_assets.landing.formats import MatrixFormat, Source, folder_of
from tcell_assets.landing.gene_names import is_no_gene
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingSettings, ValueKind
from tcell_assets.landing.tables import NumericTable, read_numeric_table
from tcell_assets.landing.wells import canonical_plate
from tcell_assets.targets import spelling

LABEL_HEADERS = frozenset({"well_id", "wellid", "plate", "plate_id", "well", "barcode"})
MATRIX_STEMS = ("expression", "counts")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
# What featureCounts and BRB-seqTools call their tables; that of reads is left unread beside that of UMI.
TOOL_NAMES = frozenset({"featurecounts.txt", "featurecounts.tsv", "output.dge.umis.txt", "gene_counts.txt"})


def matrix_of(name: str) -> str | None:
    """The file itself where it has the name of a matrix: ``counts.csv``, ``expression.tsv``, ``featureCounts.txt``."""
    base = name.rpartition("/")[2].removesuffix(".gz")
    stem, _, suffix = base.rpartition(".")
    is_ours = stem in MATRIX_STEMS and f".{suffix}" in TEXT_SUFFIXES
    return name if is_ours or base.lower() in TOOL_NAMES else None


def stated_kind(name: str) -> ValueKind | None:
    """Counts where the file's name says so."""
    base = name.rpartition("/")[2]
    return "counts" if base.startswith("counts.") or base.removesuffix(".gz").lower() in TOOL_NAMES else None


def read(
    source: Source, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read a table whose first column names rows; every other column of numbers is a gene or a well."""
    table = read_numeric_table(source.only, LABEL_HEADERS, settings.limits, problems, notes, is_no_gene)
    if table is None:
        return None
    return wells_of_table(table, source, stated_kind(source.name), table.first_row, problems)


def wells_of_table(
    table: NumericTable,
    source: Source,
    stated: ValueKind | None,
    first_row: int,
    problems: ProblemCollector,
) -> WellMatrix | None:
    """A table as a matrix; where nothing names its rows, a problem is noted and nothing returned."""
    row_names = _row_names(table, source.batch)
    if row_names is None:
        found = f"names no wells: its columns begin {listed(table.columns)}"
        problems.add("missing columns", table.file, "row 1", found, "Name the first column 'well_id'")
        return None
    return WellMatrix(
        table.file,
        source.plate,
        row_names,
        table.columns,
        table.values,
        first_row=first_row,
        labels=table.labels,
        stated=stated,
    )


def _row_names(table: NumericTable, batch: str) -> list[str] | None:
    """One name a row from the label columns."""
    by_spelling = {spelling(name): values for name, values in table.labels.items()}
    plates, wells = by_spelling.get("plate") or by_spelling.get("plateid"), by_spelling.get("well")
    if plates and wells:
        try:
            pairs = zip(plates, wells, strict=True)
            return [f"{batch}_{canonical_plate(plate)}_{well.strip()}" for plate, well in pairs]
        except ValueError:
            return [f"{plate}_{well}" for plate, well in zip(plates, wells, strict=True)]
    named = [by_spelling[text] for text in ("wellid", "well", "barcode") if text in by_spelling]
    names = named or list(table.labels.values())
    return [name.strip() for name in names[0]] if names else None


FORMAT = MatrixFormat("CSV, TSV or text table", matrix_of, folder_of, read)
