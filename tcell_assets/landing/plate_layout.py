"""A batch as matrix + plate map (+ targets), for the whole batch or in one folder a plate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tcell_assets.landing.conditions import settle_wells
from tcell_assets.landing.files import SETTINGS_FILE, LandingFile
from tcell_assets.landing.formats import MatrixFormat, Source, matrix_formats
from tcell_assets.landing.joining import LandedParts
from tcell_assets.landing.matrices import WellLookup, WellMatrix, match_rows, orient
from tcell_assets.landing.measurements import (
    Measured,
    check_alike,
    check_genes,
    describe,
    leave_out_no_genes,
    settle_kind,
)
from tcell_assets.landing.plate_map import WellEntry, read_plate_map
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.spreadsheets import read_table
from tcell_assets.landing.targets import read_targets
from tcell_assets.landing.wells import canonical_plate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PLATE_MAP_FILE = "plate_map.csv"
TARGETS_FILE = "targets.csv"
SHOWN_FILES = 8
# What HTSeq, STAR and Salmon write, a file a sample.
ONE_SAMPLE = re.compile(
    r".*(?:ReadsPerGene\.out\.tab|\.counts?(?:\.txt|\.tsv)?|htseq[^/]*|quant\.(?:genes\.)?sf)(?:\.gz)?",
    re.IGNORECASE,
)
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
PLATE_MAP_FILES = tuple(f"plate_map{suffix}" for suffix in TABLE_SUFFIXES)
TARGETS_FILES = tuple(f"targets{suffix}" for suffix in TABLE_SUFFIXES)


@dataclass
class _Place:
    """What lies in the batch folder itself or in one plate's folder.

    Attributes:
        folder: Empty for the batch folder.
        plate: Canonical; None for the batch folder.
        maps: Plate maps.
        targets: Tables of targets.
        matrices: The format and files of each matrix, by the matrix's name.
    """

    folder: str
    plate: str | None
    maps: list[LandingFile] = field(default_factory=list)
    targets: list[LandingFile] = field(default_factory=list)
    matrices: dict[str, tuple[MatrixFormat, dict[str, LandingFile]]] = field(default_factory=dict)

    @property
    def holds_wells(self) -> bool:
        """Whether a matrix here may say itself what is in each well."""
        return any(form.holds_wells for form, _ in self.matrices.values())


def read_plate_layout(
    batch: str,
    files: Sequence[LandingFile],
    copies: Sequence[str],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> LandedParts:
    """Read the matrices, plate maps and targets of a batch and match their wells.

    Args:
        batch: Name of the batch.
        files: What lies in its folder.
        copies: Names of copies that look unfinished, told where a file is missing.
        settings: How the screen is written down.
        problems: Receives everything that keeps the batch from being read.
        notes: Receives what was detected, dropped or not read.

    Returns:
        Every well, matrix row and target in file order; no values where they could not be read or matched.
    """
    places = _places(files, problems, notes)
    _check_presence(places, files, copies, problems, notes)
    matrices: list[WellMatrix] = []
    has_batch_map = bool(places[0].maps)
    before = problems.total
    entries, joined = _read_maps(places, batch, settings, problems, notes)
    for place in places:
        for name, (form, parts) in place.matrices.items():
            matrix = form.read(Source(name, parts, batch, place.plate), settings, problems, notes)
            if matrix is not None and matrix.observations is not None and not (has_batch_map or place.maps):
                matrix = _with_own_map(matrix, batch, entries, settings, problems, notes)
            matrices += [] if matrix is None else [matrix]
    entries = settle_wells(entries, settings, problems, notes)
    if not entries or not matrices or problems.total > before:
        # The values are judged all the same, so that all problems are told at once.
        for matrix in matrices:
            settle_kind(leave_out_no_genes(matrix, []), settings, problems, [])
        return LandedParts(tuple(entries), (), (), None, joined)
    lookup = WellLookup(batch, entries, settings)
    well_ids, genes, values, measured = _measured(matrices, lookup, settings, problems, notes)
    return LandedParts(tuple(entries), well_ids, genes, values, joined, measured)


def read_plate_maps(
    batch: str,
    files: Sequence[LandingFile],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> LandedParts:
    """Read the plate maps and targets of a batch alone, as a layout is judged before anything is sequenced.

    Args:
        batch: Name of the batch.
        files: What lies in its folder; matrices among them are not read.
        settings: How the screen is written down.
        problems: Receives what keeps the maps from being read.
        notes: Receives what was detected, dropped or not read.

    Returns:
        Wells and targets in file order, without values.
    """
    entries, targets = _read_maps(_places(files, problems, notes), batch, settings, problems, notes)
    if not entries:
        problems.add("missing files", PLATE_MAP_FILE, "", "no plate map names a well", "Add the plate map")
    entries = settle_wells(entries, settings, problems, notes)
    return LandedParts(tuple(entries), (), (), None, targets)


def _read_maps(
    places: Sequence[_Place],
    batch: str,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> tuple[list[WellEntry], pd.DataFrame]:
    entries: list[WellEntry] = []
    targets: list[pd.DataFrame] = []
    for place in places:
        for file in place.maps:
            table = read_table(file, settings.limits, problems, notes)
            if table is not None:
                entries += read_plate_map(table, batch, place.plate, settings, problems, notes)
        for file in place.targets:
            table = read_table(file, settings.limits, problems, notes)
            if table is not None:
                targets.append(read_targets(table, batch, place.plate, settings, problems))
    return entries, pd.concat(targets) if targets else pd.DataFrame()


def _places(files: Sequence[LandingFile], problems: ProblemCollector, notes: list[str]) -> list[_Place]:
    """The batch folder and the plates' folders that hold anything that is read."""
    places: dict[str, _Place] = {"": _Place("", None)}
    unread: list[str] = []
    refused: set[str] = set()
    for file in files:
        folder, _, name = file.name.rpartition("/")
        found = _matrix_of(file.name)
        plate_folder = found[1].plate_folder_of(found[0]) if found else folder
        is_read = found is not None or name in (*PLATE_MAP_FILES, *TARGETS_FILES)
        if not is_read or "/" in plate_folder or plate_folder in refused:
            unread += [] if name == SETTINGS_FILE and not folder else [file.name]
            continue
        if plate_folder not in places:
            try:
                places[plate_folder] = _Place(plate_folder, canonical_plate(plate_folder))
            except ValueError as error:
                fault = f"the folder's name {error}"
                problems.add("plate names", plate_folder, "", fault, "Rename it after its plate")
                refused.add(plate_folder)
                continue
        place = places[plate_folder]
        if found:
            place.matrices.setdefault(found[0], (found[1], {}))[1][file.name] = file
        else:
            (place.maps if name in PLATE_MAP_FILES else place.targets).append(file)
    if unread:
        notes.append(f"files not read: {_some(unread)}")
    return list(places.values())


def _some(files: Sequence[str]) -> str:
    """File names in one line: a folder may hold one file a well."""
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    return ", ".join(files[:SHOWN_FILES]) + more


def _matrix_of(file: str) -> tuple[str, MatrixFormat] | None:
    """The matrix that a file is part of, and its format."""
    for form in matrix_formats():
        name = form.matrix_of(file)
        if name is not None:
            return name, form
    return None


def _check_presence(
    places: Sequence[_Place],
    files: Sequence[LandingFile],
    copies: Sequence[str],
    problems: ProblemCollector,
    notes: Sequence[str],
) -> None:
    """Every well needs one matrix and one plate map, in its plate's folder or in the batch's."""
    whole, plates = places[0], places[1:]
    samples = any(ONE_SAMPLE.fullmatch(file.name) for file in files)
    hints = [note for note in notes if note.startswith("files not read")]
    if copies:
        hints.append(f"{listed(list(copies))} looks like a copy that has not ended")
    hint = f" ({'; '.join(hints)})" if hints else ""
    for place in plates or [whole]:
        holds_wells = place.holds_wells or whole.holds_wells
        if not place.matrices and not whole.matrices:
            mend = (
                "Merge the files of one sample each into counts.tsv: genes in rows, a column a well, called P1_A1"
                if samples
                else "Add expression or counts as .csv, .csv.gz, .tsv, .parquet or .h5ad, or matrix.mtx with its tables"
            )
            problems.add("missing files", place.folder or ".", "", f"holds no expression matrix{hint}", mend)
        if not place.maps and not whole.maps and not holds_wells:
            mend = "Add it with the columns plate, well and metabolite"
            problems.add("missing files", place.folder or ".", "", f"holds no {PLATE_MAP_FILE}{hint}", mend)
    for place in places:
        for what, names in (
            ("matrices", list(place.matrices)),
            ("plate maps", [file.name for file in place.maps]),
            ("tables of targets", [file.name for file in place.targets]),
        ):
            if len(names) > 1:
                found = f"holds {len(names)} {what} for the same wells: {listed(names)}"
                problems.add("ambiguous files", place.folder or ".", "", found, "Keep the one that is meant")
        if place is not whole and place.matrices and whole.matrices:
            found = (
                f"holds {next(iter(place.matrices))} beside the whole batch's {next(iter(whole.matrices))}"
            )
            problems.add("ambiguous files", place.folder, "", found, "Keep the one that is meant")


def _with_own_map(
    matrix: WellMatrix,
    batch: str,
    entries: list[WellEntry],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> WellMatrix | None:
    """A matrix whose observations are the plate map: they join ``entries`` and name its rows."""
    assert matrix.observations is not None
    observed = read_plate_map(matrix.observations, batch, matrix.plate, settings, problems, notes)
    if len(observed) < len(matrix.row_names):
        return None
    entries += observed
    return replace(matrix, row_names=[str(entry.id) for entry in observed])


def _measured(
    matrices: Sequence[WellMatrix],
    lookup: WellLookup,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> tuple[tuple[str, ...], tuple[str, ...], npt.NDArray[np.float64] | csr_matrix | None, Measured | None]:
    """The well of each row, the genes and the values of all matrices below each other; no values on a problem."""
    before = problems.total
    first: WellMatrix | None = None
    measured: Measured | None = None
    well_ids: list[str] = []
    parts: list[npt.NDArray[np.float64] | csr_matrix] = []
    for raw in matrices:
        matrix = leave_out_no_genes(orient(raw, lookup, notes), notes)
        check_genes(matrix.file, matrix.genes, settings.limits, problems)
        wells = match_rows(matrix, lookup, settings.unmapped_wells, problems, notes)
        settled = settle_kind(matrix, settings, problems, notes)
        rows = [row for row, well in enumerate(wells) if well is not None]
        well_ids += [well for well in wells if well is not None]
        first = first or matrix
        columns = check_alike(matrix.file, matrix.genes, first.file, first.genes, problems)
        if settled is None or columns is None:
            continue
        values, judged = settled
        kind = describe(matrix, judged)
        measured = measured or kind
        if kind.value_kind != measured.value_kind:
            found = f"holds {kind.value_kind}, but {first.file} holds {measured.value_kind}"
            mend = "Write one kind, or state value_kind in screen.yaml"
            problems.add("unequal kinds", matrix.file, "", found, mend)
        if problems.total == before:
            values = values if len(rows) == len(wells) else values[rows]
            parts.append(values if matrix.genes == first.genes else values[:, columns])
    assert first is not None
    if problems.total > before or measured is None:
        return tuple(well_ids), tuple(first.genes), None, None
    notes.append(f"{measured.genes}; values are {measured.value_kind} ({measured.evidence})")
    if measured.value_kind == "vst":
        return tuple(well_ids), tuple(first.genes), np.concatenate(parts), measured
    from scipy.sparse import vstack

    return tuple(well_ids), tuple(first.genes), vstack(parts, format="csr"), measured
