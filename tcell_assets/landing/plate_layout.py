"""A batch as matrix + plate map (+ targets), for the whole batch or in one folder a plate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.joining import LandedParts
from tcell_assets.landing.matrices import WellLookup, WellMatrix, check_genes, match_rows, orient, read_matrix
from tcell_assets.landing.plate_map import WellEntry, read_plate_map
from tcell_assets.landing.problems import ProblemCollector, listed
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import read_text_table
from tcell_assets.landing.targets import read_targets
from tcell_assets.landing.wells import canonical_plate

PLATE_MAP_FILE = "plate_map.csv"
TARGETS_FILE = "targets.csv"
MATRIX_FILES = ("expression.csv", "expression.csv.gz", "expression.parquet")
READ_FILES = frozenset({PLATE_MAP_FILE, TARGETS_FILE, *MATRIX_FILES})


def read_plate_layout(
    batch: str,
    files: Sequence[LandingFile],
    copies: Sequence[str],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> LandedParts | None:
    """Read the matrices, plate maps and targets of a batch and match their wells.

    Args:
        batch: Name of the batch.
        files: What lies in its folder.
        copies: Names of copies that look unfinished, told where a file is missing.
        settings: How the screen is written down.
        problems: Receives everything that keeps the batch from being read.
        notes: Receives what was not read.

    Returns:
        Every well, matrix row and target in file order, or None where a problem was noted.
    """
    places = _by_place(files, problems, notes)
    _check_presence(places, copies, problems)
    entries: list[WellEntry] = []
    matrices: list[WellMatrix] = []
    targets: list[pd.DataFrame] = []
    for place, here in places.items():
        plate = canonical_plate(place) if place else None
        for name, file in here.items():
            if name in MATRIX_FILES:
                matrix = read_matrix(file, batch, plate, settings.limits, problems)
                matrices += [] if matrix is None else [matrix]
                continue
            table = read_text_table(file, settings.limits, problems)
            if table is not None and name == PLATE_MAP_FILE:
                entries += read_plate_map(table, batch, plate, settings, problems, notes)
            elif table is not None:
                targets.append(read_targets(table, batch, plate, settings, problems))
    if not entries or not matrices:
        return None
    lookup = WellLookup(batch, entries, settings)
    return _match(
        entries, [orient(matrix, lookup) for matrix in matrices], targets, lookup, settings, problems
    )


def _by_place(
    files: Sequence[LandingFile], problems: ProblemCollector, notes: list[str]
) -> dict[str, dict[str, LandingFile]]:
    """Files that are read, by name within the batch folder (``""``) or a plate's folder."""
    places: dict[str, dict[str, LandingFile]] = {"": {}}
    unread: list[str] = []
    for file in files:
        place, _, name = file.name.rpartition("/")
        if name in READ_FILES and "/" not in place:
            places.setdefault(place, {})[name] = file
        else:
            unread.append(file.name)
    for place in [place for place in places if place]:
        try:
            canonical_plate(place)
        except ValueError as error:
            problems.add("plate names", place, "", f"the folder's name {error}", "Rename it after its plate")
            del places[place]
    if unread:
        notes.append(f"files not read: {', '.join(unread)}")
    return places


def _check_presence(
    places: dict[str, dict[str, LandingFile]], copies: Sequence[str], problems: ProblemCollector
) -> None:
    """Every well needs one matrix and one plate map, in its plate's folder or in the batch's."""
    hint = f" ({listed(list(copies))} looks like a copy that has not ended)" if copies else ""
    plates = [place for place in places if place]
    whole = places[""]
    matrices = {place: [name for name in MATRIX_FILES if name in here] for place, here in places.items()}
    for place in plates or [""]:
        if not matrices[place] and not matrices[""]:
            mend = f"Add one of {', '.join(MATRIX_FILES)}"
            problems.add("missing files", place or ".", "", f"holds no expression matrix{hint}", mend)
        if PLATE_MAP_FILE not in places[place] and PLATE_MAP_FILE not in whole:
            mend = "Add it with the columns plate, well and metabolite"
            problems.add("missing files", place or ".", "", f"holds no {PLATE_MAP_FILE}{hint}", mend)
    for place, names in matrices.items():
        if len(names) > 1:
            mend = "Keep the one that is meant"
            problems.add(
                "ambiguous files", place or ".", "", f"holds {listed(names)} for the same wells", mend
            )
        if place and names and matrices[""]:
            found = f"holds {names[0]} beside the whole batch's {matrices[''][0]}"
            problems.add("ambiguous files", place, "", found, "Keep the one that is meant")


def _match(
    entries: list[WellEntry],
    matrices: list[WellMatrix],
    targets: list[pd.DataFrame],
    lookup: WellLookup,
    settings: LandingSettings,
    problems: ProblemCollector,
) -> LandedParts | None:
    before = problems.total
    well_ids: list[str] = []
    genes = matrices[0].genes
    for matrix in matrices:
        if matrix.is_transposed:
            found = "has genes in rows and wells in columns: the matrix is transposed"
            mend = "Write it with one row a well and one column a gene"
            problems.add("transposed matrices", matrix.file, "", found, mend)
        check_genes(matrix.file, matrix.genes, settings.limits, problems)
        matched = match_rows(matrix, lookup, problems)
        well_ids += [well for well in matched if well is not None]
        _check_same_genes(matrix, matrices[0], problems)
    if problems.total > before:
        return None
    values = [
        matrix.values if matrix.genes == genes else pd.DataFrame(matrix.values, columns=matrix.genes)[genes]
        for matrix in matrices
    ]
    joined = pd.concat(targets) if targets else pd.DataFrame()
    return LandedParts(tuple(entries), tuple(well_ids), tuple(genes), np.concatenate(values), joined)


def _check_same_genes(matrix: WellMatrix, first: WellMatrix, problems: ProblemCollector) -> None:
    missing = sorted(set(first.genes) - set(matrix.genes))
    extra = sorted(set(matrix.genes) - set(first.genes))
    if missing:
        found = f"lacks {len(missing)} genes that {first.file} has: {listed(missing)}"
        problems.add("unequal genes", matrix.file, "", found, "Write the same genes for every plate")
    if extra:
        found = f"has {len(extra)} genes that {first.file} lacks: {listed(extra)}"
        problems.add("unequal genes", matrix.file, "", found, "Write the same genes for every plate")
