"""A batch as matrix + plate map (+ targets), for the whole batch or in one folder a plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tcell_assets.landing.conditions import settle_wells
from tcell_assets.landing.files import SETTINGS_FILE, LandingFile
from tcell_assets.landing.h5ad import read_annotated_matrix
from tcell_assets.landing.joining import LandedParts
from tcell_assets.landing.matrices import (
    WellLookup,
    WellMatrix,
    check_genes,
    match_rows,
    orient,
    read_matrix,
)
from tcell_assets.landing.plate_map import WellEntry, read_plate_map
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import read_text_table
from tcell_assets.landing.targets import read_targets
from tcell_assets.landing.triples import (
    BARCODE_NAMES,
    FEATURE_NAMES,
    MATRIX_NAMES,
    TRIPLE_NAMES,
    Triple,
    plate_folder_of,
    read_triple,
)
from tcell_assets.landing.wells import canonical_plate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PLATE_MAP_FILE = "plate_map.csv"
TARGETS_FILE = "targets.csv"
PLATE_MAP_FILES = (PLATE_MAP_FILE, "plate_map.tsv")
TARGETS_FILES = (TARGETS_FILE, "targets.tsv")
TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MATRIX_FILES = tuple(f"{stem}{suffix}" for stem in ("expression", "counts") for suffix in TABLE_SUFFIXES)
ANNOTATED_SUFFIX = ".h5ad"


@dataclass
class _Place:
    """What lies in the batch folder itself or in one plate's folder.

    Attributes:
        folder: Empty for the batch folder.
        plate: Canonical; None for the batch folder.
        maps: Plate maps.
        targets: Tables of targets.
        matrices: Matrices as tables or AnnData.
        triples: Files of each 10x or STARsolo output, by folder.
    """

    folder: str
    plate: str | None
    maps: list[LandingFile] = field(default_factory=list)
    targets: list[LandingFile] = field(default_factory=list)
    matrices: list[LandingFile] = field(default_factory=list)
    triples: dict[str, dict[str, LandingFile]] = field(default_factory=dict)

    @property
    def matrix_names(self) -> list[str]:
        """Files and folders that hold a matrix."""
        return [file.name for file in self.matrices] + [f"{folder}/matrix.mtx" for folder in self.triples]


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
    _check_presence(places, copies, problems, notes)
    matrices: list[WellMatrix] = []
    has_batch_map = bool(places[0].maps)
    before = problems.total
    entries, joined = _read_maps(places, batch, settings, problems, notes)
    for place in places:
        for file in place.matrices:
            if file.name.endswith(ANNOTATED_SUFFIX):
                has_map = has_batch_map or bool(place.maps)
                matrix = _read_annotated(
                    file, batch, place.plate, has_map, entries, settings, problems, notes
                )
            else:
                matrix = read_matrix(file, batch, place.plate, settings, problems, notes)
            matrices += [] if matrix is None else [matrix]
        for folder, parts in place.triples.items():
            matrix = read_triple(_triple(folder, place.plate, parts), settings, problems, notes)
            matrices += [] if matrix is None else [matrix]
    entries = settle_wells(entries, settings, problems, notes)
    if not entries or not matrices or problems.total > before:
        return LandedParts(tuple(entries), (), (), None, joined)
    lookup = WellLookup(batch, entries, settings)
    oriented = [orient(matrix, lookup) for matrix in matrices]
    well_ids, genes, values = _match(oriented, lookup, settings, problems, notes)
    return LandedParts(tuple(entries), well_ids, genes, values, joined)


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
            table = read_text_table(file, settings.limits, problems)
            if table is not None:
                entries += read_plate_map(table, batch, place.plate, settings, problems, notes)
        for file in place.targets:
            table = read_text_table(file, settings.limits, problems)
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
        is_matrix = name in MATRIX_FILES or name.endswith(ANNOTATED_SUFFIX)
        plate_folder = plate_folder_of(folder) if name in TRIPLE_NAMES else folder
        is_read = is_matrix or name in (*PLATE_MAP_FILES, *TARGETS_FILES) or name in TRIPLE_NAMES
        if not is_read or "/" in plate_folder or plate_folder in refused:
            unread += [] if name == SETTINGS_FILE and not folder else [file.name]
            continue
        if plate_folder not in places:
            try:
                places[plate_folder] = _Place(plate_folder, canonical_plate(plate_folder))
            except ValueError as error:
                found = f"the folder's name {error}"
                problems.add("plate names", plate_folder, "", found, "Rename it after its plate")
                refused.add(plate_folder)
                continue
        place = places[plate_folder]
        if name in TRIPLE_NAMES:
            place.triples.setdefault(folder, {})[name] = file
        else:
            kind = (
                place.maps
                if name in PLATE_MAP_FILES
                else place.targets
                if name in TARGETS_FILES
                else place.matrices
            )
            kind.append(file)
    if unread:
        notes.append(f"files not read: {', '.join(unread)}")
    return list(places.values())


def _check_presence(
    places: Sequence[_Place], copies: Sequence[str], problems: ProblemCollector, notes: Sequence[str]
) -> None:
    """Every well needs one matrix and one plate map, in its plate's folder or in the batch's."""
    whole, plates = places[0], places[1:]
    hints = [note for note in notes if note.startswith("files not read")]
    if copies:
        hints.append(f"{listed(list(copies))} looks like a copy that has not ended")
    hint = f" ({'; '.join(hints)})" if hints else ""
    for place in plates or [whole]:
        annotated = any(file.name.endswith(ANNOTATED_SUFFIX) for file in (*place.matrices, *whole.matrices))
        if not place.matrix_names and not whole.matrix_names:
            mend = "Add expression or counts as .csv, .csv.gz, .tsv, .parquet or .h5ad, or matrix.mtx with its tables"
            problems.add("missing files", place.folder or ".", "", f"holds no expression matrix{hint}", mend)
        if not place.maps and not whole.maps and not annotated:
            mend = "Add it with the columns plate, well and metabolite"
            problems.add("missing files", place.folder or ".", "", f"holds no {PLATE_MAP_FILE}{hint}", mend)
    for place in places:
        for what, names in (
            ("matrices", place.matrix_names),
            ("plate maps", [file.name for file in place.maps]),
            ("tables of targets", [file.name for file in place.targets]),
        ):
            if len(names) > 1:
                found = f"holds {len(names)} {what} for the same wells: {listed(names)}"
                problems.add("ambiguous files", place.folder or ".", "", found, "Keep the one that is meant")
        if place is not whole and place.matrix_names and whole.matrix_names:
            found = f"holds {place.matrix_names[0]} beside the whole batch's {whole.matrix_names[0]}"
            problems.add("ambiguous files", place.folder, "", found, "Keep the one that is meant")


def _triple(folder: str, plate: str | None, parts: dict[str, LandingFile]) -> Triple:
    def first(names: Sequence[str]) -> LandingFile | None:
        return next((parts[name] for name in names if name in parts), None)

    return Triple(folder, plate, first(MATRIX_NAMES), first(BARCODE_NAMES), first(FEATURE_NAMES))


def _read_annotated(
    file: LandingFile,
    batch: str,
    plate: str | None,
    has_map: bool,
    entries: list[WellEntry],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> WellMatrix | None:
    """The matrix of an AnnData file; without a plate map its observations are one and join ``entries``."""
    annotated = read_annotated_matrix(file, settings, problems, notes)
    if annotated is None:
        return None
    names = annotated.names
    if not has_map:
        observed = read_plate_map(annotated.observations, batch, plate, settings, problems, notes)
        if len(observed) < len(names):
            return None
        entries += observed
        names = [str(entry.id) for entry in observed]
    return WellMatrix(file.name, plate, names, annotated.genes, annotated.values, first_row=1)


def _match(
    matrices: Sequence[WellMatrix],
    lookup: WellLookup,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> tuple[tuple[str, ...], tuple[str, ...], npt.NDArray[np.float64] | csr_matrix | None]:
    """The well of each row, the genes and the values of all matrices below each other; no values on a problem."""
    before = problems.total
    first = matrices[0]
    well_ids: list[str] = []
    parts: list[npt.NDArray[np.float64] | csr_matrix] = []
    for matrix in matrices:
        _check_orientation(matrix, problems, notes)
        check_genes(matrix.file, matrix.genes, settings.limits, problems)
        _check_alike(matrix, first, problems)
        wells = match_rows(matrix, lookup, settings.unmapped_wells, problems, notes)
        rows = [row for row, well in enumerate(wells) if well is not None]
        well_ids += [well for well in wells if well is not None]
        if problems.total == before:
            values = matrix.values if len(rows) == len(wells) else matrix.values[rows]
            places = {gene: column for column, gene in enumerate(matrix.genes)}
            is_in_order = matrix.genes == first.genes
            parts.append(values if is_in_order else values[:, [places[gene] for gene in first.genes]])
    if problems.total > before:
        return tuple(well_ids), tuple(first.genes), None
    if first.value_kind == "vst":
        return tuple(well_ids), tuple(first.genes), np.concatenate(parts)
    from scipy.sparse import vstack

    return tuple(well_ids), tuple(first.genes), vstack(parts, format="csr")


def _check_orientation(matrix: WellMatrix, problems: ProblemCollector, notes: list[str]) -> None:
    if not matrix.is_transposed:
        return
    if matrix.value_kind == "counts":
        notes.append(f"{matrix.file}: genes stand in rows, so the matrix was turned")
        return
    found = "is transposed: genes stand in rows and wells in columns"
    problems.add("transposed matrices", matrix.file, "", found, "Write one row a well and one column a gene")


def _check_alike(matrix: WellMatrix, first: WellMatrix, problems: ProblemCollector) -> None:
    """Plates of one batch have the same genes and the same kind of values."""
    lacking, extra = set(first.genes) - set(matrix.genes), set(matrix.genes) - set(first.genes)
    for genes, has, has_not in ((lacking, first.file, matrix.file), (extra, matrix.file, first.file)):
        if genes:
            found = f"{has} has {len(genes)} genes that {has_not} has not: {listed(sorted(genes))}"
            problems.add("unequal genes", matrix.file, "", found, "Write the same genes for every plate")
    if matrix.value_kind != first.value_kind:
        found = f"holds {matrix.value_kind}, but {first.file} holds {first.value_kind}"
        problems.add(
            "unequal kinds", matrix.file, "", found, "Write one kind, or state value_kind in screen.yaml"
        )
