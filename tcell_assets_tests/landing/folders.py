"""Small landing folders, written with the standard library so that they do not share a writer with the product."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets.landing.counts import CountMatrix
from tcell_assets.landing.problems import LandingError, Problem

REAL_SHEET = Path(__file__).parents[3] / "shared" / "real" / "tcell_screen_metadata"
REAL_PLATE = Path(__file__).parents[3] / "shared" / "real" / "macseq_plate"

WELLS = ("A1", "A2", "B1", "B2", "C3", "D4")
METABOLITES = ("DMSO", "NA", "α-Ketoglutarate", 'Inosine, "5\'"', "Glutamine", "DMSO")
GENES = ("IL2RA", "CD69", "SELL")
EXPRESSION = tuple((2.5 + well / 7, 3.125 * well + 0.1, 1.75 - well / 3) for well in range(6))
COUNTS = ((5, 0, 12), (0, 3, 7), (1, 1, 0), (9, 0, 0), (0, 2, 4), (6, 6, 1))


def write_rows(path: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    """A delimited file as a spreadsheet writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return path


def write_column(path: Path, values: Sequence[object]) -> Path:
    """A one-column file of the published set."""
    return write_rows(path, [["x"], *([value] for value in values)])


def published_folder(folder: Path) -> Path:
    """The published set of one batch of six wells on one plate; the folder's name is the batch."""
    write_rows(folder / "expr_mat.csv", [GENES, *EXPRESSION])
    scores = [(0.1 * well, 0.2 * well, 0.3 * well) for well in range(6)]
    write_rows(folder / "scores_3_z.csv", [("pseudotime_z", "cytoscore_z", "Tscore_z"), *scores])
    write_column(folder / "labels_cls.csv", [0, 1, 0, 1, 0, 1])
    write_column(folder / "meta_id.csv", METABOLITES)
    write_column(folder / "well_id.csv", [f"{folder.name}_P1_{well}" for well in WELLS])
    return folder


def plate_map_rows() -> list[list[object]]:
    """Header and six wells."""
    rows: list[list[object]] = [["P1", *pair] for pair in zip(WELLS, METABOLITES, strict=True)]
    return [["plate", "well", "metabolite"], *rows]


def expression_rows() -> list[list[object]]:
    """Header and six wells, without their names."""
    rows: list[list[object]] = [list(row) for row in EXPRESSION]
    return [list(GENES), *rows]


def mapped_folder(
    folder: Path, values: Sequence[Sequence[float]] = EXPRESSION, name: str = "expression.csv"
) -> Path:
    """Matrix and plate map of one batch of six wells on plate P1."""
    write_rows(folder / "plate_map.csv", plate_map_rows())
    rows = [[f"{folder.name}_P1_{well}", *row] for well, row in zip(WELLS, values, strict=True)]
    write_rows(folder / name, [["well_id", *GENES], *rows], delimiter="\t" if ".tsv" in name else ",")
    return folder


def edit(path: Path, old: str, new: str) -> Path:
    """Replace the first occurrence of a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def problems_of(folder: Path) -> tuple[Problem, ...]:
    """What keeps a folder from being read; at least one problem."""
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    return caught.value.problems


def only_problem_of(folder: Path) -> str:
    """The one problem of a folder, as a person reads it."""
    problems = problems_of(folder)
    assert len(problems) == 1, problems
    return str(problems[0])


def metabolite_of(batch: LandedBatch, well: str) -> str:
    """The metabolite in a well of a one-plate batch."""
    return str(batch.wells.set_index("well").loc[well, "metabolite"])


def expression_of(batch: LandedBatch) -> pd.DataFrame:
    """The VST of a batch that has it."""
    assert batch.expression is not None
    return batch.expression


def counts_of(batch: LandedBatch) -> CountMatrix:
    """The counts of a batch that has them."""
    assert batch.counts is not None
    return batch.counts
