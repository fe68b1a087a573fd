"""A landed batch: everything a folder `data/<batch>/` says, checked and joined on well_id, or one error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tcell_assets.landing.counts import CountMatrix
from tcell_assets.landing.files import COMPOUNDS_FILE, settings_file, unfinished_copies
from tcell_assets.landing.fingerprint import batch_fingerprint, counted_files, hash_files
from tcell_assets.landing.identifiers import compound_identifiers
from tcell_assets.landing.joining import (
    LandedParts,
    check_joined,
    check_wells,
    note_on_plates,
    wells_frame,
    without_missing_wells,
)
from tcell_assets.landing.measurements import Measured
from tcell_assets.landing.plate_layout import read_plate_layout
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.published import is_published, read_published
from tcell_assets.landing.screen_file import settings_from
from tcell_assets.landing.screen_settings import LandingSettings, ValueKind
from tcell_assets.landing.spreadsheets import read_table
from tcell_assets.landing.understood import Understood, understand
from tcell_assets.landing.wells import PlateFormat, batch_name_fault
from tcell_assets.targets import DECLARATION, known_targets


@dataclass(frozen=True)
class LandedBatch:
    """A batch as it lies in the landing zone, checked.

    Attributes:
        name: The batch: the folder's name.
        wells: One row a well, columns of `joining.wells_frame`.
        identifiers: What identifies its compounds; see `identifiers.compound_identifiers`.
        expression: Wells × genes, float32 VST, index well_id in the order of ``wells``; None for counts.
        counts: UMI counts in the order of ``wells``; None for VST.
        value_kind: What was measured: ``vst`` or ``counts``.
        notes: What a reader of the data should know, such as columns that were dropped.
        content_hash: See `fingerprint.content_hash`.
        understood: What the files were read as, to be shown.
        counts_copies: Whether its wells count although another batch of the screen holds them too.
        measured: What was understood of the values and genes.
    """

    name: str
    wells: pd.DataFrame
    identifiers: pd.DataFrame
    expression: pd.DataFrame | None
    counts: CountMatrix | None
    value_kind: ValueKind
    notes: tuple[str, ...]
    content_hash: str
    understood: Understood
    counts_copies: bool = False
    measured: Measured | None = None


def read_batch(folder: Path, settings: LandingSettings | None = None) -> LandedBatch:
    """Read and check a batch folder.

    Args:
        folder: ``data/<batch>/`` with the published CSV set, or a matrix (``expression`` or ``counts`` as CSV, TSV,
            Parquet; ``.h5ad``; ``matrix.mtx`` with its tables) + ``plate_map.csv`` (+ ``targets.csv``), here or in
            one folder a plate.
        settings: How the screen is written down; None takes the batch's `screen.yaml`, else the data folder's, else
            the defaults.

    Raises:
        LandingError: With every problem of the batch; nothing is returned then.
    """
    problems, notes = ProblemCollector(folder.name), list[str]()
    fault = batch_name_fault(folder.name)
    if fault:
        problems.add("batch names", ".", "", f"the folder's name {fault}", "Rename the folder")
    if not folder.is_dir():
        problems.add("missing files", ".", "", "the folder does not exist", "Put the batch there")
    problems.raise_if_any()
    stated = settings_file(folder, problems)
    settings = settings or settings_from(stated, problems)
    before = batch_fingerprint(folder, settings.limits)
    # The screen.yaml that was read is the one that is hashed.
    counted = [
        stated if stated is not None and file.name == stated.name else file
        for file in counted_files(folder, settings.limits, problems)
    ]
    listed = (COMPOUNDS_FILE, f"../{COMPOUNDS_FILE}")
    listing = next((file for file in counted if file.name in listed), None)
    files = [file for file in counted if not file.name.startswith("../") and file is not listing]
    if is_published(files):
        parts = read_published(files, folder.name, settings, problems, notes)
    else:
        copies = unfinished_copies(folder)
        parts = read_plate_layout(folder.name, files, copies, settings, problems, notes)
    parts = without_missing_wells(parts, settings, notes)
    plate_format = check_wells(parts.entries, settings, problems)
    notes += note_on_plates(parts.entries, plate_format, settings)
    check_joined(parts, problems)
    compounds = read_table(listing, settings.limits, problems, notes) if listing is not None else None
    identifiers = compound_identifiers(parts.entries, compounds, settings, problems, notes)
    problems.raise_if_any(lambda: _understood(folder.name, parts, plate_format, notes).lines())
    assert parts.values is not None, "a reader that returns no values has noted why"
    hashed = hash_files(counted, problems)
    problems.raise_if_any()
    if batch_fingerprint(folder, settings.limits) != before:
        mend = "Wait until the copy has ended and read the batch again"
        problems.add("moving files", ".", "", "files changed while they were read", mend)
        problems.raise_if_any()
    wells = wells_frame(parts.entries, parts.targets, plate_format, settings)
    notes += [
        f"no well has {target.name}, which {DECLARATION} declares"
        for target in known_targets()
        if not target.is_published and wells[target.name].isna().all()
    ]
    expression, counts = _in_order_of(wells, parts)
    return LandedBatch(
        name=folder.name,
        wells=wells,
        identifiers=identifiers,
        expression=expression,
        counts=counts,
        value_kind="vst" if counts is None else "counts",
        notes=tuple(notes),
        content_hash=hashed,
        understood=_understood(folder.name, parts, plate_format, notes),
        counts_copies=settings.duplicates == "allow",
        measured=parts.measured,
    )


def _understood(batch: str, parts: LandedParts, plate_format: PlateFormat, notes: list[str]) -> Understood:
    targets = {str(name): int(count) for name, count in parts.targets.notna().sum().items() if count}
    genes = values = ""
    if parts.measured is not None:
        genes = parts.measured.genes
        kind = "VST" if parts.measured.value_kind == "vst" else "UMI counts"
        values = f"{kind} ({parts.measured.evidence})"
    return understand(batch, parts.entries, plate_format, targets, notes, genes, values)


def _in_order_of(wells: pd.DataFrame, parts: LandedParts) -> tuple[pd.DataFrame | None, CountMatrix | None]:
    """VST as a frame or counts as a matrix, rows in the order of ``wells``."""
    assert parts.values is not None
    row_of = {well: row for row, well in enumerate(parts.well_ids)}
    values = parts.values[[row_of[well] for well in wells["well_id"]]]
    if not isinstance(values, np.ndarray):
        return None, CountMatrix(values, tuple(wells["well_id"]), parts.genes)
    index = pd.Index(wells["well_id"], name="well_id")
    return pd.DataFrame(values.astype(np.float32), index=index, columns=list(parts.genes)), None
