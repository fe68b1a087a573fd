"""A whole screen as an audit reads it: with the ingest's reader where a matrix lies, else the plate maps alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets.landing.checking import batch_folders
from tcell_assets.landing.files import list_files
from tcell_assets.landing.joining import LandedParts, check_joined, check_wells, note_on_plates, wells_frame
from tcell_assets.landing.plate_layout import read_plate_maps
from tcell_assets.landing.problems import LandingError, ProblemCollector
from tcell_assets.landing.published import EXPRESSION_FILE, is_published, read_published
from tcell_assets.landing.screen_file import settings_of
from tcell_assets.landing.understood import Understood, understand

NO_MATRIX = "missing files"


def read_screen(source: Path) -> tuple[pd.DataFrame, list[LandedBatch], list[Understood]]:
    """Return the wells of a screen with their targets, the batches that hold a matrix, and what all were read as.

    Args:
        source: A folder in the published layout, a batch folder, or a folder of batch folders.

    Returns:
        Columns of `joining.wells_frame`, every batch of the source; the batches read whole; what `tcell check` shows.

    Raises:
        LandingError: With every problem found, as an ingest would name it; a missing matrix is none.
    """
    problems = ProblemCollector(source.name)
    if not source.is_dir():
        problems.add(
            "missing files", str(source), "", "is not a folder", "Name the folder of the sample sheet"
        )
    problems.raise_if_any()
    source = source.resolve()
    frames: list[pd.DataFrame] = []
    landed: list[LandedBatch] = []
    understood: list[Understood] = []
    for folder in batch_folders(source):
        try:
            batch = read_batch(folder)
        except LandingError as error:
            if not _lacks_a_matrix_alone(error) and not _holds_several_batches(folder):
                raise
            wells, read_as = read_sample_sheet(folder)
            frames.append(wells)
            understood += read_as
        else:
            landed.append(batch)
            understood.append(batch.understood)
            frames.append(batch.wells)
    if not frames:
        problems.add(
            "missing files", str(source), "", "holds no sample sheet and no batch folder", "Add a plate map"
        )
    problems.raise_if_any()
    return pd.concat(frames, ignore_index=True), landed, understood


def read_sample_sheet(folder: Path) -> tuple[pd.DataFrame, list[Understood]]:
    """Return the wells of one folder with their targets, without its matrix, and what its batches were read as.

    Args:
        folder: In the published layout, of any number of batches, or a batch folder with plate maps.

    Returns:
        Columns of `joining.wells_frame`, and what each of its batches was read as.

    Raises:
        LandingError: With every problem found.
    """
    problems, notes = ProblemCollector(folder.name), list[str]()
    settings = settings_of(folder, problems)
    files = list_files(folder, folder.parent, settings.limits, problems)
    if is_published(files):
        parts = read_published(files, None, settings, problems, notes, needs_expression=False)
    else:
        parts = read_plate_maps(folder.name, files, settings, problems, notes)
    return _frame(parts, folder, problems, notes)


def _lacks_a_matrix_alone(error: LandingError) -> bool:
    return all(
        problem.kind == NO_MATRIX
        and (problem.file == EXPRESSION_FILE or "no expression matrix" in problem.found)
        for problem in error.problems
    )


def _holds_several_batches(folder: Path) -> bool:
    problems, settings = ProblemCollector(folder.name), settings_of(folder, ProblemCollector(folder.name))
    return is_published(list_files(folder, folder.parent, settings.limits, problems))


def _frame(
    parts: LandedParts, folder: Path, problems: ProblemCollector, notes: list[str]
) -> tuple[pd.DataFrame, list[Understood]]:
    problems.raise_if_any()
    settings = settings_of(folder, problems)
    check_joined(parts, problems)
    frames, understood = [], []
    for batch in sorted({entry.id.batch for entry in parts.entries}):
        entries = [entry for entry in parts.entries if entry.id.batch == batch]
        plate_format = check_wells(entries, settings, problems)
        problems.raise_if_any()
        frames.append(wells_frame(entries, parts.targets, plate_format, settings))
        known = parts.targets[parts.targets.index.isin({str(entry.id) for entry in entries})].notna().sum()
        targets = {str(name): int(count) for name, count in known.items() if count}
        noted = [*notes, *note_on_plates(entries, plate_format, settings)]
        understood.append(understand(batch, entries, plate_format, targets, noted))
    return pd.concat(frames, ignore_index=True), understood
