"""Writes a batch as a landing folder, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tcell_assets.landing.counts import CountMatrix
from tcell_assets.landing.files import SETTINGS_FILE, list_files
from tcell_assets.landing.fingerprint import hash_files
from tcell_assets.landing.plate_layout import PLATE_MAP_FILE, TARGETS_FILE
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits
from tcell_assets.landing.unfinished import REPLACED_SUFFIX, remove_staging, staging_folder
from tcell_assets.landing.value_kinds import judge_values
from tcell_assets.landing.wells import batch_name_fault
from tcell_assets.system.files import storage_errors, synchronise_folder
from tcell_assets.targets import known_targets

PLATE_MAP_COLUMNS = ("plate", "well", "metabolite", "is_dmso", "cluster", "concentration", "sample_type")


@dataclass(frozen=True)
class BatchContent:
    """What is written of one batch.

    Attributes:
        wells: One row a well: ``well_id`` and any of `PLATE_MAP_COLUMNS` and the targets.
        expression: Wells × genes VST, index well_id in the order of ``wells``, any floating type.
        counts: UMI counts instead, in that order.
    """

    wells: pd.DataFrame
    expression: pd.DataFrame | None = None
    counts: CountMatrix | None = None

    def __post_init__(self) -> None:
        if (self.expression is None) == (self.counts is None):
            raise ValueError("give either expression or counts")
        rows = self.expression.index if self.expression is not None else self.counts.well_ids  # type: ignore[union-attr]
        if list(rows) != list(self.wells["well_id"]):
            raise ValueError("the matrix has other wells than the plate map, or another order")


def write_landing_batch(
    folder: Path,
    wells: pd.DataFrame,
    expression: pd.DataFrame | None = None,
    counts: CountMatrix | None = None,
    replace: bool = False,
) -> Path:
    """Write one batch; see `write_landing_batches` and `BatchContent`.

    Args:
        folder: ``data/<batch>``; its name is the batch.
        wells: Its wells and what is known of them.
        expression: VST.
        counts: UMI counts instead.
        replace: Overwrite a folder of other content.

    Returns:
        The folder.
    """
    write_landing_batches(folder.parent, {folder.name: BatchContent(wells, expression, counts)}, replace)
    return folder


def write_landing_batches(
    data_folder: Path, batches: Mapping[str, BatchContent], replace: bool = False
) -> None:
    """Write `plate_map.csv`, the matrix as Parquet and, where any target is known, `targets.csv` for each batch.

    All batches are written into a hidden folder first, and each then takes its name by renaming: a batch folder is
    never half there. Numbers keep every digit. A folder with the same content is left as it is.

    Args:
        data_folder: Holds one folder a batch; made where it is missing.
        batches: Contents by batch name.
        replace: Overwrite folders of other content.

    Raises:
        LandingError: A name is no batch name, or a folder holds other content and ``replace`` is not set; nothing
            was written then.
        StorageError: The disk is full or the folder cannot be written to; every batch is as it was before.
    """
    problems = ProblemCollector(", ".join(batches))
    for name in batches:
        fault = batch_name_fault(name)
        if fault:
            problems.add("batch names", name, "", f"the batch's name {fault}", "Rename the batch")
    problems.raise_if_any()
    with storage_errors(data_folder, "the batches could not be written"):
        staging = staging_folder(data_folder)
        try:
            fresh = []
            for name, content in batches.items():
                (staging / name).mkdir()
                _write_files(staging / name, content)
                if not (data_folder / name).exists() or _hash(staging / name) != _hash(data_folder / name):
                    fresh.append(name)
            for name in fresh:
                if not replace and (data_folder / name).exists():
                    mend = "Move the folder away, or ask for it to be replaced"
                    problems.add("existing batches", name, "", "holds other content already", mend)
            problems.raise_if_any()
            for name in fresh:
                if (data_folder / name).exists():
                    # After a kill between the two renames the sweep puts the old batch back.
                    (data_folder / name).rename(staging / f"{name}{REPLACED_SUFFIX}")
                (staging / name).rename(data_folder / name)
            synchronise_folder(data_folder)
        finally:
            remove_staging(staging)


def _write_files(folder: Path, content: BatchContent) -> None:
    wells = content.wells
    if "well_type" in wells and wells["well_type"].isin(("untreated", "empty")).any():
        # Names alone may say less in the map that is written than in the one that was read.
        wells = wells.assign(sample_type=wells["well_type"])
    columns = [name for name in PLATE_MAP_COLUMNS if name in wells and wells[name].notna().any()]
    _write_csv(folder / PLATE_MAP_FILE, wells[columns])
    known = [
        target for target in known_targets() if target.name in wells and wells[target.name].notna().any()
    ]
    targets = wells[["well_id", *(target.name for target in known)]]
    targets = targets.astype({target.name: "Int64" for target in known if target.is_binary})
    if targets.shape[1] > 1:
        _write_csv(folder / TARGETS_FILE, targets)
    if content.expression is not None:
        genes, name = tuple(map(str, content.expression.columns)), "expression.parquet"
        values = content.expression.to_numpy()
        if judge_values(values.astype(np.float64, copy=False)).kind != "vst":
            # VST of a toy screen may be whole numbers or centred; without a word they would be read as something else.
            _write_text(folder / SETTINGS_FILE, "value_kind: vst\n")
    else:
        assert content.counts is not None
        genes, name = content.counts.genes, "counts.parquet"
        values = content.counts.values.toarray()
    columns_of_values = (pa.array(np.ascontiguousarray(values[:, gene])) for gene in range(values.shape[1]))
    arrays = [pa.array(wells["well_id"], pa.string()), *columns_of_values]
    with (folder / name).open("wb") as stream:
        # Statistics of every column would double the size of a file of 40 000 genes.
        table = pa.table(arrays, names=["well_id", *genes])
        pq.write_table(table, stream, compression="zstd", write_statistics=False)
        stream.flush()
        os.fsync(stream.fileno())


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    _write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _hash(folder: Path) -> str:
    problems = ProblemCollector(folder.name)
    hashed = hash_files(list_files(folder, folder.parent, LandingLimits(), problems), problems)
    problems.raise_if_any()
    return hashed
