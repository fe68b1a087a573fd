"""A landed batch: everything a folder `data/<batch>/` says, checked and joined on well_id, or one error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tcell_assets.landing.counts import CountMatrix, detect_value_kind
from tcell_assets.landing.files import list_files, unfinished_copies
from tcell_assets.landing.fingerprint import batch_fingerprint, content_hash
from tcell_assets.landing.joining import check_joined, check_wells, wells_frame
from tcell_assets.landing.plate_layout import read_plate_layout
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.published import is_published, read_published
from tcell_assets.landing.screen_settings import LandingSettings, ValueKind
from tcell_assets.landing.wells import batch_name_fault


@dataclass(frozen=True)
class LandedBatch:
    """A batch as it lies in the landing zone, checked.

    Attributes:
        name: The batch: the folder's name.
        wells: One row a well, columns `joining.WELL_COLUMNS`.
        expression: Wells × genes, float32 VST, index well_id in the order of ``wells``; None for counts.
        counts: UMI counts in the order of ``wells``; None for VST.
        value_kind: What was measured: ``vst`` or ``counts``.
        notes: What a reader of the data should know, such as columns that were dropped.
        content_hash: See `fingerprint.content_hash`.
    """

    name: str
    wells: pd.DataFrame
    expression: pd.DataFrame | None
    counts: CountMatrix | None
    value_kind: ValueKind
    notes: tuple[str, ...]
    content_hash: str


def read_batch(folder: Path, settings: LandingSettings | None = None) -> LandedBatch:
    """Read and check a batch folder.

    Args:
        folder: ``data/<batch>/`` with the published CSV set, or ``expression.{csv,csv.gz,parquet}`` +
            ``plate_map.csv`` (+ ``targets.csv``), here or in one folder a plate.
        settings: How the screen is written down.

    Raises:
        LandingError: With every problem of the batch; nothing is returned then.
    """
    settings = settings or LandingSettings()
    problems, notes = ProblemCollector(folder.name), list[str]()
    fault = batch_name_fault(folder.name)
    if fault:
        problems.add("batch names", ".", "", f"the folder's name {fault}", "Rename the folder")
    if not folder.is_dir():
        problems.add("missing files", ".", "", "the folder does not exist", "Put the batch there")
    problems.raise_if_any()
    before = batch_fingerprint(folder, settings.limits)
    files = list_files(folder, folder.parent, settings.limits, problems)
    if is_published(files):
        parts = read_published(files, folder.name, settings, problems, notes)
    else:
        copies = unfinished_copies(folder)
        parts = read_plate_layout(folder.name, files, copies, settings, problems, notes)
    problems.raise_if_any()
    assert parts is not None, "a reader that returns nothing has noted why"
    plate_format = check_wells(parts.entries, settings, problems)
    check_joined(parts, problems)
    problems.raise_if_any()
    wells = wells_frame(parts.entries, parts.targets, plate_format, settings)
    frame = pd.DataFrame(parts.values.astype(np.float32), index=parts.well_ids, columns=parts.genes)
    frame.index.name = "well_id"
    hashed = content_hash(folder, settings.limits)
    if batch_fingerprint(folder, settings.limits) != before:
        mend = "Wait until the copy has ended and read the batch again"
        problems.add("moving files", ".", "", "files changed while they were read", mend)
        problems.raise_if_any()
    return LandedBatch(
        name=folder.name,
        wells=wells,
        expression=frame.loc[wells["well_id"]],
        counts=None,
        value_kind=settings.value_kind or detect_value_kind(parts.values),
        notes=tuple(notes),
        content_hash=hashed,
    )
