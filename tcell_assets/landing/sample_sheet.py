"""The wells of a whole screen without their expression: what a layout audit needs, before anything is sequenced."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tcell_assets.landing.files import list_files
from tcell_assets.landing.fingerprint import list_batches
from tcell_assets.landing.joining import LandedParts, check_wells, wells_frame
from tcell_assets.landing.plate_layout import read_plate_maps
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.published import is_published, read_published
from tcell_assets.landing.screen_file import settings_of


def read_sample_sheet(source: Path) -> pd.DataFrame:
    """Return the wells of a sample sheet with their targets.

    Args:
        source: A folder in the published layout, a batch folder with plate maps, or a folder of batch folders;
            expression is neither needed nor read.

    Returns:
        Columns of `joining.wells_frame`, every batch of the source.

    Raises:
        LandingError: With every problem found.
    """
    problems = ProblemCollector(source.name)
    if not source.is_dir():
        problems.add(
            "missing files", str(source), "", "is not a folder", "Name the folder of the sample sheet"
        )
    problems.raise_if_any()
    settings = settings_of(source, problems)
    files = list_files(source, source, settings.limits, problems)
    notes: list[str] = []
    if is_published(files):
        return _frame(
            read_published(files, None, settings, problems, notes, needs_expression=False), source, problems
        )
    if any(
        file.name.rpartition("/")[2].startswith("plate_map.") and file.name.count("/") == 0 for file in files
    ):
        return _frame(read_plate_maps(source.name, files, settings, problems, notes), source, problems)
    frames = []
    for batch in list_batches(source).batches:
        folder = source / batch
        own = list_files(folder, source, settings.limits, problems)
        if is_published(own):
            parts = read_published(own, batch, settings, problems, notes, needs_expression=False)
        else:
            parts = read_plate_maps(batch, own, settings_of(folder, problems), problems, notes)
        frames.append(_frame(parts, folder, problems))
    if not frames:
        problems.add(
            "missing files", str(source), "", "holds no sample sheet and no batch folder", "Add a plate map"
        )
    problems.raise_if_any()
    return pd.concat(frames, ignore_index=True)


def _frame(parts: LandedParts, folder: Path, problems: ProblemCollector) -> pd.DataFrame:
    problems.raise_if_any()
    settings = settings_of(folder, problems)
    frames = []
    for batch in sorted({entry.id.batch for entry in parts.entries}):
        entries = [entry for entry in parts.entries if entry.id.batch == batch]
        plate_format = check_wells(entries, settings, problems)
        problems.raise_if_any()
        frames.append(wells_frame(entries, parts.targets, plate_format, settings))
    return pd.concat(frames, ignore_index=True)
