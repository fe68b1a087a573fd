"""Matrices as they stand in their files, and the wells their rows or columns stand for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.gene_names import GENE_ID_HEADERS, SYMBOL_HEADERS, names_of_genes, reason_no_gene
from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingSettings, ValueKind
from tcell_assets.landing.tables import TextTable
from tcell_assets.landing.wells import WELL_NAME, parse_plate_well, parse_well, parse_well_id
from tcell_assets.targets import spelling

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# What aligners and counters put around the name of a sample: /runs/3/P1_A5_Aligned.sortedByCoord.out.bam.
_SAMPLE_FILE = re.compile(
    r"[._-]*(Aligned\.|sorted|dedup|umi_|markdup|htseq|counts?\b|ReadsPerGene|bam|sam|cram|txt|tsv|csv).*$",
    re.IGNORECASE,
)
_SUFFIXED = re.compile(r"([ACGTN]{4,})-(\d{1,3})")
ENDS_IN_NUMBER = re.compile(r"\d+$")


@dataclass(frozen=True)
class WellMatrix:
    """A matrix whose rows are wells that are not yet matched with the plate map.

    Attributes:
        file: Name of its file.
        plate: The plate whose folder it lies in; None for a matrix of the whole batch.
        row_names: A well_id, well or barcode for each row.
        genes: Gene names.
        values: Wells × genes, finite: float64, or sparse of any number type.
        first_row: What a person counts as its first row (2 below a header).
        is_transposed: Whether ``row_names`` and ``genes`` have changed places with the file's.
        labels: Columns of text beside the values, by header; where genes stood in rows they name genes.
        stated: The value kind that the file's place or name states.
        left_out: What the reader took for no genes, by reason: names.
        observations: What the file itself says of its wells, where it may serve as plate map.
    """

    file: str
    plate: str | None
    row_names: list[str]
    genes: list[str]
    values: npt.NDArray[np.float64] | csr_matrix
    first_row: int = 2
    is_transposed: bool = False
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    stated: ValueKind | None = None
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    observations: TextTable | None = None


class WellLookup:
    """Finds the wells of a plate map by well_id, by well name or by barcode."""

    def __init__(self, batch: str, entries: Iterable[WellEntry], settings: LandingSettings) -> None:
        self._batch = batch
        self._pattern = settings.well_pattern or WELL_NAME
        self._entries = tuple(entries)

    def match(self, names: Sequence[str], plate: str | None) -> list[str | None]:
        """The well_id for each name, None where the plate map has no such well.

        Names are read in the one way (well_id, ``<plate>_<well>``, barcode or well) that finds most wells. A well
        name alone is enough where only one plate comes into question.
        """
        entries = [entry for entry in self._entries if plate is None or entry.id.plate == plate]
        known = {str(entry.id) for entry in entries}
        readings = self._readings(names, entries, known)
        best = max(readings, key=_found)
        if _found(best) == 0:
            # Only where nothing is found: what aligners put around a sample's name is cut off.
            plain = [_SAMPLE_FILE.sub("", name.rpartition("/")[2]) for name in names]
            if plain != list(names):
                best = max(self._readings(plain, entries, known), key=_found)
        return best

    def suffixes_by_plate(self, names: Sequence[str]) -> dict[str, str] | None:
        """The plate that each barcode suffix (``-1``, ``-2``) stands for, None where the names have no such suffixes.

        Suffix 2 is the plate whose name ends in 2. Empty where the plates' names do not say which is which.
        """
        matches = [_SUFFIXED.fullmatch(name) for name in names]
        suffixes = {match[2] for match in matches if match}
        if len(suffixes) < 2 or not all(matches):
            return None
        plates = {entry.id.plate for entry in self._entries}
        numbered: dict[str, list[str]] = {}
        for plate in plates:
            number = ENDS_IN_NUMBER.search(plate)
            if number:
                numbered.setdefault(str(int(number[0])), []).append(plate)
        if any(len(numbered.get(suffix, [])) != 1 for suffix in suffixes):
            return {}
        return {suffix: numbered[suffix][0] for suffix in sorted(suffixes)}

    def _readings(
        self, names: Sequence[str], entries: Sequence[WellEntry], known: set[str]
    ) -> list[list[str | None]]:
        plates = {entry.id.plate for entry in entries}
        times = Counter(entry.barcode for entry in entries)
        barcodes = {
            entry.barcode: str(entry.id) for entry in entries if entry.barcode and times[entry.barcode] == 1
        }
        readings = [
            [well if well in known else None for well in map(self._well_id, names)],
            [
                well if well in known else None
                for well in (self._well_id(f"{self._batch}_{name}") for name in names)
            ],
            # 10x appends the library to each barcode: AACAGG-1.
            [barcodes.get(name) or barcodes.get(name.removesuffix("-1")) for name in names],
        ]
        if len(plates) == 1:
            only = next(iter(plates))
            wells = (self._well(name, only) for name in names)
            readings.append([well if well in known else None for well in wells])
        if any(map(_found, readings)):
            return readings
        readings.append([self._plate_well(name, known) for name in names])
        by_suffix = self.suffixes_by_plate(names)
        if by_suffix:
            by_plate = {(entry.id.plate, entry.barcode): str(entry.id) for entry in entries if entry.barcode}
            pairs = (name.rpartition("-") for name in names)
            readings.append([by_plate.get((by_suffix[suffix], code)) for code, _, suffix in pairs])
        return readings

    def _well_id(self, name: str) -> str | None:
        try:
            return str(parse_well_id(name, self._batch))
        except ValueError:
            return None

    def _well(self, name: str, plate: str) -> str | None:
        try:
            return f"{self._batch}_{plate}_{parse_well(name, self._pattern).name}"
        except ValueError:
            return None

    def _plate_well(self, name: str, known: set[str]) -> str | None:
        """Of ``P1.A5``, ``P1-A5`` and what R makes of a name that starts with a digit (``X1_A5``)."""
        for text in (name, name.removeprefix("X"), name.removeprefix(f"{self._batch}.")):
            try:
                plate, well = parse_plate_well(text)
            except ValueError:
                continue
            if f"{self._batch}_{plate}_{well}" in known:
                return f"{self._batch}_{plate}_{well}"
        return None


def _found(wells: Sequence[str | None]) -> int:
    return len(wells) - wells.count(None)


def orient(matrix: WellMatrix, lookup: WellLookup, notes: list[str]) -> WellMatrix:
    """The matrix with wells in rows, named by the column of text that finds most wells.

    It is turned where more column names than row names are wells of the plate map; genes are then called by their
    symbol, or by their id where the symbol stands for several (a table may have both, as BRB-seqTools and 10x write).
    """
    candidates = {"": matrix.row_names, **matrix.labels}
    in_rows = {header: _found(lookup.match(names, matrix.plate)) for header, names in candidates.items()}
    best = max(in_rows, key=lambda header: in_rows[header])
    in_columns = _found(lookup.match(matrix.genes, matrix.plate))
    if in_columns <= in_rows[best]:
        return matrix if in_rows[best] == in_rows[""] else replace(matrix, row_names=candidates[best])
    turned = matrix.values.T if isinstance(matrix.values, np.ndarray) else matrix.values.T.tocsr()
    genes = _gene_names(matrix, notes)
    notes.append(f"{matrix.file}: genes stand in rows, so the matrix was turned")
    return replace(matrix, row_names=matrix.genes, genes=genes, values=turned, is_transposed=True)


def _gene_names(matrix: WellMatrix, notes: list[str]) -> list[str]:
    """Names of the rows of a matrix whose genes stand in rows."""
    by_spelling = {spelling(header): names for header, names in reversed(list(matrix.labels.items()))}
    ids = next((by_spelling[text] for text in by_spelling if text in GENE_ID_HEADERS), matrix.row_names)
    symbols = next((by_spelling[text] for text in by_spelling if text in SYMBOL_HEADERS), None)
    if symbols is None:
        return [name.strip() for name in matrix.row_names]
    genes, n_shared, n_mangled = names_of_genes(ids, symbols)
    if n_shared:
        notes.append(
            f"{matrix.file}: {n_shared} genes share their symbol with another and are called by their id"
        )
    if n_mangled:
        notes.append(
            f"{matrix.file}: {n_mangled} symbols that a spreadsheet turned into dates were replaced by their id"
        )
    return genes


def match_rows(
    matrix: WellMatrix,
    lookup: WellLookup,
    unmapped: Literal["refuse", "drop"],
    problems: ProblemCollector,
    notes: list[str],
) -> list[str | None]:
    """The well_id of each row, None where it is no well of the plate map.

    Args:
        matrix: Wells in rows.
        lookup: The plate map.
        unmapped: Whether rows that are no well of the plate map are a problem or a note.
        problems: Receives these and wells that stand twice.
        notes: Receives these, and which plate a suffix of barcodes was read as.
    """
    wells = lookup.match(matrix.row_names, matrix.plate)
    # Such as HTSeq's and STAR's reads of no gene where wells stood in columns, or Undetermined among barcodes.
    no_wells = [
        row for row, well in enumerate(wells) if well is None and reason_no_gene(matrix.row_names[row])
    ]
    if no_wells:
        names = listed([matrix.row_names[row] for row in no_wells])
        notes.append(f"{matrix.file}: {len(no_wells)} rows are no wells and were left out: {names}")
    left_out = set(no_wells)
    unmatched = [row for row, well in enumerate(wells) if well is None and row not in left_out]
    by_suffix = lookup.suffixes_by_plate(matrix.row_names)
    if by_suffix and len(unmatched) < len(wells):
        meant = ", ".join(f"-{suffix} is plate {plate}" for suffix, plate in by_suffix.items())
        notes.append(f"{matrix.file}: barcodes are told apart by their suffix: {meant}")
    names = listed([matrix.row_names[row] for row in unmatched])
    found = f"{len(unmatched)} of {len(wells)} wells (or barcodes) are not on the plate map: {names}"
    if unmatched and unmapped == "drop" and len(unmatched) < len(wells):
        notes.append(f"{matrix.file}: {found}; they were dropped")
    elif unmatched:
        mend = "Add them to the plate map, correct the names, or state unmapped_wells: drop in screen.yaml"
        if by_suffix == {}:
            mend = (
                "Write each barcode with its suffix in the plate map's barcode column, as no plate's name ends in "
                "the suffix's number"
            )
        problems.add("wells not on the plate map", matrix.file, _place(matrix, unmatched), found, mend)
    first: dict[str, int] = {}
    for row, well in enumerate(wells):
        if well is not None and well in first:
            rows = _place(matrix, [first[well], row])
            problems.add(
                "duplicate wells", matrix.file, rows, f"holds the well {well} twice", "Keep one of them"
            )
        elif well is not None:
            first[well] = row
    return wells


def _place(matrix: WellMatrix, rows: list[int]) -> str:
    what, first = ("column", 2) if matrix.is_transposed else ("row", matrix.first_row)
    numbers = ", ".join(str(row + first) for row in rows[:5])
    return f"{what}{'s' if len(rows) > 1 else ''} {numbers}{', …' if len(rows) > 5 else ''}"
