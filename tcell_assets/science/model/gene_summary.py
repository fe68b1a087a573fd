"""What a set of wells looks like gene by gene, and how far a new batch lies from the training wells."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from upath import UPath

from tcell_assets.system.files import write_atomically

REFERENCE = "reference.parquet"

# VST is on the log2 scale: 2⁴⁰ molecules of one gene in one well do not exist, so larger values are counts.
LARGEST_VST = 40.0
WELLS_AT_ONCE = 256


@dataclass(frozen=True)
class Drift:
    """How far a batch lies from the training wells, in the training wells' standard deviations.

    Attributes:
        gene_means: Median over genes of |mean over the batch − mean over the training wells|.
        dmso_means: Likewise for the DMSO wells of both; NaN where one side has none.
        furthest_gene: The gene whose mean lies furthest away.
        furthest: How far that is.
    """

    gene_means: float
    dmso_means: float
    furthest_gene: str
    furthest: float

    @property
    def largest(self) -> float:
        """The larger of the two medians."""
        return float(np.nanmax([self.gene_means, self.dmso_means]))


def summarize_genes(
    expression: np.ndarray, genes: Sequence[str], is_dmso: np.ndarray, rows: np.ndarray | None = None
) -> pd.DataFrame:
    """Summarize each gene over wells, in float64 and without a second copy of the matrix.

    Args:
        expression: (wells, genes).
        genes: Names of the columns.
        is_dmso: (wells,) whether the well is a DMSO well.
        rows: Positions of the wells to summarize; all by default.

    Returns:
        `gene, mean, standard_deviation` (population), `dmso_mean` (NaN without DMSO wells), `minimum, maximum,
        is_whole` (every value is a whole number ≥ 0), one row a gene in the given order.

    Raises:
        ValueError: There is no well.
    """
    rows = np.arange(len(expression)) if rows is None else rows
    if not len(rows):
        raise ValueError("no wells to summarize")
    pieces = [rows[start : start + WELLS_AT_ONCE] for start in range(0, len(rows), WELLS_AT_ONCE)]
    mean = _sum(expression, pieces) / len(rows)
    squares = np.zeros(len(genes))
    minimum, maximum = np.full(len(genes), np.inf), np.full(len(genes), -np.inf)
    is_whole = np.full(len(genes), True)
    for piece in pieces:
        values = expression[piece].astype(np.float64)
        squares += np.square(values - mean).sum(axis=0)
        minimum, maximum = np.minimum(minimum, values.min(axis=0)), np.maximum(maximum, values.max(axis=0))
        is_whole &= ((values >= 0) & (values == np.floor(values))).all(axis=0)
    dmso = rows[np.asarray(is_dmso, dtype=bool)[rows]]
    return pd.DataFrame(
        {
            "gene": list(genes),
            "mean": mean,
            "standard_deviation": np.sqrt(squares / len(rows)),
            "dmso_mean": _sum(expression, [dmso]) / len(dmso) if len(dmso) else np.nan,
            "minimum": minimum,
            "maximum": maximum,
            "is_whole": is_whole,
        }
    )


def save_reference(summary: pd.DataFrame, folder: Path | UPath) -> None:
    """Keep the summary of the training wells beside a model, for later batches to be compared with."""
    folder = UPath(folder)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    summary.to_parquet(buffer, index=False)
    write_atomically(folder / REFERENCE, buffer.getvalue())


def load_reference(folder: Path | UPath) -> pd.DataFrame | None:
    """Return the summary beside a model, or None for a model that was saved without one."""
    path = UPath(folder) / REFERENCE
    return pd.read_parquet(io.BytesIO(path.read_bytes())) if path.exists() else None


def looks_like(summary: pd.DataFrame) -> Literal["counts", "vst"]:
    """Tell counts (whole numbers, or values no VST reaches) from VST by a table of `summarize_genes`."""
    if summary["minimum"].min() < 0:
        return "vst"
    return "counts" if summary["is_whole"].all() or summary["maximum"].max() > LARGEST_VST else "vst"


def drift_from(training: pd.DataFrame, batch: pd.DataFrame) -> Drift:
    """Measure how far the means of a batch lie from those of the training wells.

    Each gene's difference of means is divided by its standard deviation over the training wells; the median over genes
    is the drift, so that neither a few responding genes nor the number of genes moves it. Genes constant in
    training have no scale and are left out.

    Args:
        training: `summarize_genes` of the training wells.
        batch: `summarize_genes` of the batch, with at least the genes of `training`.

    Raises:
        ValueError: No gene varies in training.
    """
    aligned = batch.set_index("gene").loc[training["gene"]].reset_index()
    varies = (training["standard_deviation"] > 0).to_numpy()
    if not varies.any():
        raise ValueError("no gene varies over the training wells, so nothing can be measured against them")
    scale = training["standard_deviation"].to_numpy()[varies]

    def distance(column: str) -> np.ndarray:
        distances: np.ndarray = np.abs((aligned[column] - training[column]).to_numpy()[varies]) / scale
        return distances

    means, dmso = distance("mean"), distance("dmso_mean")
    furthest = int(means.argmax())
    return Drift(
        gene_means=float(np.median(means)),
        dmso_means=float(np.median(dmso)),
        furthest_gene=str(training["gene"].to_numpy()[varies][furthest]),
        furthest=float(means[furthest]),
    )


def _sum(expression: np.ndarray, pieces: Sequence[np.ndarray]) -> np.ndarray:
    total: np.ndarray = np.sum([expression[piece].sum(axis=0, dtype=np.float64) for piece in pieces], axis=0)
    return total
