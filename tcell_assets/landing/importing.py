"""Splits a published-layout folder that holds several batches into one landing folder a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tcell_assets.landing.counts import CountMatrix
from tcell_assets.landing.files import list_files
from tcell_assets.landing.joining import LandedParts, check_wells, wells_frame
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.published import read_published
from tcell_assets.landing.screen_file import settings_of
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.writing import BatchContent, write_landing_batches


@dataclass(frozen=True)
class ImportedScreen:
    """What was imported.

    Attributes:
        batches: Names of the batches written, sorted.
        well_ids: Every well in the order of the source, so that outputs can follow it.
        notes: What was dropped or not read.
    """

    batches: tuple[str, ...]
    well_ids: tuple[str, ...]
    notes: tuple[str, ...]


def import_published_folder(
    source: Path, data_folder: Path, replace: bool = False, settings: LandingSettings | None = None
) -> ImportedScreen:
    """Write one landing folder a batch from the published CSV set.

    Args:
        source: Holds the published files; wells are named ``<batch>_<plate>_<well>``, which says the batch.
        data_folder: Receives ``<batch>/`` with `expression.parquet`, `plate_map.csv` and `targets.csv`; numbers keep
            every digit.
        replace: Overwrite batches of other content; the same content is left as it is.
        settings: Control names and limits; None takes the source's `screen.yaml`, else the defaults.

    Raises:
        LandingError: With every problem of all batches; nothing was written then.
    """
    problems, notes = ProblemCollector(source.name), list[str]()
    if not source.is_dir():
        problems.add(
            "missing files", ".", "", "the folder does not exist", "Name the folder with the CSV files"
        )
    problems.raise_if_any()
    settings = settings or settings_of(source, problems)
    files = list_files(source, source, settings.limits, problems)
    published = read_published(files, None, settings, problems, notes)
    contents: dict[str, BatchContent] = {}
    for batch in sorted({entry.id.batch for entry in published.entries}):
        entries = [entry for entry in published.entries if entry.id.batch == batch]
        plate_format = check_wells(entries, settings, problems)
        if problems.total == 0:
            wells = wells_frame(entries, published.targets, plate_format, settings)
            contents[batch] = _content(published, wells)
    problems.raise_if_any()
    write_landing_batches(data_folder, contents, replace)
    return ImportedScreen(tuple(contents), published.well_ids, tuple(notes))


def _content(published: LandedParts, wells: pd.DataFrame) -> BatchContent:
    assert published.values is not None, "a reader that returns no values has noted why"
    row_of = {well: row for row, well in enumerate(published.well_ids)}
    values = published.values[[row_of[well] for well in wells["well_id"]]]
    if isinstance(values, np.ndarray):
        return BatchContent(
            wells, pd.DataFrame(values, index=list(wells["well_id"]), columns=list(published.genes))
        )
    return BatchContent(wells, counts=CountMatrix(values, tuple(wells["well_id"]), published.genes))
