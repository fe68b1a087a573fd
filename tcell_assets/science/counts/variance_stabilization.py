"""UMI counts to variance-stabilised expression, by a frozen fit that treats every well on its own.

The closed form is that of DESeq2 (Anders & Huber 2010, Genome Biology 11:R106; Love et al. 2014, Genome
Biology 15:550) for the dispersion trend ``alpha(mu) = a0 + a1 / mu``. The size factor is a well's total over
the frozen genes divided by the reference depth: median-of-ratio factors need genes seen in every well, which
a sparse plate lacks.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import least_squares

from tcell_assets.science.well_join import some_names

Counts: TypeAlias = np.ndarray | sparse.spmatrix | sparse.sparray
"""UMI counts, wells × genes, dense or sparse."""

SMALLEST_ASYMPTOTIC_DISPERSION = 1e-3
"""Floor of a0, as the closed form divides by it; 1e-3 is a variation of 3 %, below that of any plate."""

FEWEST_GENES_FOR_A_TREND = 10
"""With fewer informative genes the trend's two coefficients are not determined and the fallback is used."""

FALLBACK_TREND = (0.1, 1.0)
"""a0 and a1 where a trend cannot be fitted; a0 = 0.1 is the dispersion DESeq2 starts its own trend from."""


@dataclass(frozen=True)
class GeneFilter:
    """Which genes enter the frozen gene list.

    Attributes:
        minimum_wells: a gene must be seen (count > 0) in at least this many fit wells.
        minimum_total: a gene must have at least this many UMI over all fit wells.
    """

    minimum_wells: int = 3
    minimum_total: int = 10


KEEP_ALL_GENES = GeneFilter(minimum_wells=0, minimum_total=0)


@dataclass(frozen=True)
class VarianceStabilization:
    """A frozen transformation of UMI counts, stored with the model it was fitted for.

    Attributes:
        genes: the frozen gene list; its total is a well's depth.
        modelled_genes: the genes that are transformed and returned, in this order; a subset of ``genes``.
        reference_depth: UMI per well that has size factor 1 (the median of the fit wells).
        a0: dispersion that remains at high expression.
        a1: coefficient of the part of the dispersion that falls with the mean.
        n_fit_wells: number of wells the fit saw.
        fit_wells_hash: SHA-256 over the sorted fit wells and their depths.
    """

    genes: tuple[str, ...]
    modelled_genes: tuple[str, ...]
    reference_depth: float
    a0: float
    a1: float
    n_fit_wells: int
    fit_wells_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary that `from_dict` turns back into an equal fit."""
        return asdict(self) | {"genes": list(self.genes), "modelled_genes": list(self.modelled_genes)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> VarianceStabilization:
        """Return the fit that `to_dict` wrote.

        Raises:
            ValueError: a field is missing or unknown.
        """
        expected = set(cls.__dataclass_fields__)
        if set(stored) != expected:
            raise ValueError(
                f"A stored variance stabilisation needs the fields {sorted(expected)}, "
                f"found {sorted(stored)}. Fit it again."
            )
        return cls(
            **{**stored, "genes": tuple(stored["genes"]), "modelled_genes": tuple(stored["modelled_genes"])}
        )

    def fit_hash(self) -> str:
        """Return the SHA-256 of the whole fit, equal for equal fits."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def closed_form(normalised_counts: np.ndarray, a0: float, a1: float) -> np.ndarray:
    """Variance-stabilise counts that are already divided by their size factor.

    ``log2((1 + a1 + 2·a0·n + 2·sqrt(a0·n·(1 + a1 + a0·n))) / (4·a0))``, see the module's sources.

    Args:
        normalised_counts: n, any shape, not negative.
        a0: asymptotic dispersion, > 0.
        a1: extra dispersion, ≥ 0.

    Returns:
        log2-scaled values of the same shape, float64.
    """
    scaled = a0 * np.asarray(normalised_counts, dtype=np.float64)
    result: np.ndarray = np.log2(
        (1.0 + a1 + 2.0 * scaled + 2.0 * np.sqrt(scaled * (1.0 + a1 + scaled))) / (4.0 * a0)
    )
    return result


def checked_counts(counts: Counts, genes: Sequence[str], well_ids: Sequence[str]) -> sparse.csr_matrix:
    """Return the counts as CSR in float64 after checking shape, names and values.

    Args:
        counts: wells × genes.
        genes: gene names of the columns.
        well_ids: wells of the rows.

    Raises:
        ValueError: the shape does not fit the names, a name stands twice, or a count is negative, fractional
            or not finite; the message names the first well and gene.
    """
    matrix = sparse.csr_matrix(counts, dtype=np.float64)
    if not matrix.has_canonical_format:
        # A place stored twice means the sum of both; the caller's matrix stays as it is.
        matrix = matrix.copy()
        matrix.sum_duplicates()
    if matrix.shape != (len(well_ids), len(genes)):
        raise ValueError(
            f"Counts have shape {matrix.shape[0]} × {matrix.shape[1]}, but {len(well_ids)} wells and "
            f"{len(genes)} genes are named. Give wells as rows and genes as columns."
        )
    for what, names in (("gene", genes), ("well", well_ids)):
        repeated = {name for name, times in Counter(names).items() if times > 1}
        if repeated:
            raise ValueError(
                f"{len(repeated)} {what} name(s) stand twice in the counts: {some_names(repeated)}. "
                "Keep each once."
            )
    wrong = ~np.isfinite(matrix.data) | (matrix.data < 0) | (matrix.data != np.floor(matrix.data))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        row = int(np.searchsorted(matrix.indptr, place, side="right")) - 1
        raise ValueError(
            f"{int(wrong.sum())} value(s) are no UMI counts, first {matrix.data[place]:g} in well "
            f"{well_ids[row]}, gene {genes[matrix.indices[place]]}. Counts are whole numbers ≥ 0; "
            "give transformed values as VST instead."
        )
    return matrix


def fit_variance_stabilization(
    counts: Counts,
    genes: Sequence[str],
    well_ids: Sequence[str],
    gene_filter: GeneFilter | None = None,
    n_genes: int | None = None,
    listed_genes: Sequence[str] | None = None,
) -> VarianceStabilization:
    """Fit size-factor reference, dispersion trend and the modelled genes on the training wells.

    Args:
        counts: UMI counts of the training wells, wells × genes.
        genes: gene names of the columns.
        well_ids: wells of the rows.
        gene_filter: which genes enter the frozen list; `GeneFilter()` by default.
        n_genes: model the n genes whose transformed values vary most; all of the frozen list by default.
        listed_genes: model exactly these genes instead, in this order.

    Raises:
        ValueError: malformed counts (see `checked_counts`), no gene passes the filter, every well is empty,
            or the choice of genes cannot be met.
    """
    matrix = checked_counts(counts, genes, well_ids)
    names = np.asarray(genes, dtype=object)
    keep = _passes_filter(matrix, gene_filter or GeneFilter())
    if listed_genes is not None:
        keep |= np.isin(names, list(listed_genes))
    if not keep.any():
        raise ValueError(
            f"None of {len(names)} genes passes {gene_filter or GeneFilter()} on {len(well_ids)} wells. "
            "Lower its thresholds, or check that wells are rows."
        )
    matrix, names = matrix[:, keep], names[keep]
    depth = np.asarray(matrix.sum(axis=1)).ravel()
    if not (depth > 0).any():
        raise ValueError(
            f"All {len(well_ids)} wells are empty over {len(names)} genes; there is nothing to fit."
        )
    reference_depth = float(np.median(depth[depth > 0]))
    a0, a1 = _dispersion_trend(matrix, depth, reference_depth)
    frozen = VarianceStabilization(
        genes=tuple(names),
        modelled_genes=tuple(names),
        reference_depth=reference_depth,
        a0=a0,
        a1=a1,
        n_fit_wells=len(well_ids),
        fit_wells_hash=_wells_hash(well_ids, depth),
    )
    modelled = select_genes(matrix, frozen, n_genes=n_genes, listed_genes=listed_genes)
    return replace(frozen, modelled_genes=modelled)


def select_genes(
    counts: sparse.csr_matrix,
    fit: VarianceStabilization,
    n_genes: int | None = None,
    listed_genes: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Choose the modelled genes among the frozen ones.

    Args:
        counts: training wells × ``fit.genes``.
        fit: the frozen fit whose transformed values are ranked.
        n_genes: take the n most variable genes, the most variable first, equal ones by name.
        listed_genes: take exactly these.

    Raises:
        ValueError: both choices are given, a listed gene is unknown or stands twice, or n is out of range.
    """
    if n_genes is not None and listed_genes is not None:
        raise ValueError("Give either n_genes or listed_genes, not both.")
    if listed_genes is not None:
        unknown = set(listed_genes) - set(fit.genes)
        if unknown:
            raise ValueError(f"{len(unknown)} listed gene(s) are not in the counts: {some_names(unknown)}.")
        if len(set(listed_genes)) < len(listed_genes):
            raise ValueError("A listed gene stands twice; keep each once.")
        return tuple(listed_genes)
    if n_genes is None:
        return fit.genes
    if not 1 <= n_genes <= len(fit.genes):
        raise ValueError(
            f"n_genes is {n_genes}; choose between 1 and the {len(fit.genes)} genes that passed the filter."
        )
    # Rounded so that the order of summation, hence the order of the wells, cannot swap two equal genes.
    variance = _transformed_variance(counts, fit).round(10)
    order = sorted(range(len(fit.genes)), key=lambda gene: (-variance[gene], fit.genes[gene]))
    return tuple(fit.genes[gene] for gene in order[:n_genes])


def transform(
    counts: Counts, genes: Sequence[str], well_ids: Sequence[str], fit: VarianceStabilization
) -> pd.DataFrame:
    """Transform wells with a frozen fit; each well depends on itself and the fit alone.

    Only counts > 0 are computed, because a count of 0 has the same value at every depth. A well without a
    single UMI therefore gets finite values too; quality control fails it.

    Args:
        counts: UMI counts, wells × genes, in any gene order, with any further genes.
        genes: gene names of the columns.
        well_ids: wells of the rows.
        fit: the frozen fit.

    Returns:
        Expression: index ``well_id``, one float32 column per ``fit.modelled_genes``, in that order.

    Raises:
        ValueError: malformed counts (see `checked_counts`), or a gene of ``fit.genes`` is missing.
    """
    matrix = checked_counts(counts, genes, well_ids)
    column_of = {gene: column for column, gene in enumerate(genes)}
    missing = set(fit.genes) - set(column_of)
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(fit.genes)} genes of the fit are missing: {some_names(missing)}. "
            "Add them (a gene never seen is a column of 0), or fit again on the genes that all batches share."
        )
    depth = np.asarray(matrix[:, [column_of[gene] for gene in fit.genes]].sum(axis=1)).ravel()
    modelled = matrix[:, [column_of[gene] for gene in fit.modelled_genes]]
    values = np.full(modelled.shape, closed_form(np.zeros(1), fit.a0, fit.a1)[0], dtype=np.float32)
    well = np.repeat(np.arange(modelled.shape[0]), np.diff(modelled.indptr))
    values[well, modelled.indices] = closed_form(
        modelled.data * (fit.reference_depth / depth[well]), fit.a0, fit.a1
    )
    return pd.DataFrame(
        values, index=pd.Index(well_ids, name="well_id"), columns=pd.Index(fit.modelled_genes), copy=False
    )


def _passes_filter(matrix: sparse.csr_matrix, gene_filter: GeneFilter) -> np.ndarray:
    seen_in = np.asarray((matrix > 0).sum(axis=0)).ravel()
    total = np.asarray(matrix.sum(axis=0)).ravel()
    passes: np.ndarray = (seen_in >= gene_filter.minimum_wells) & (total >= gene_filter.minimum_total)
    return passes


def _dispersion_trend(
    matrix: sparse.csr_matrix, depth: np.ndarray, reference_depth: float
) -> tuple[float, float]:
    """Fit a0 and a1 by robust regression of each gene's variance on its mean.

    Of Gamma–Poisson counts divided by their size factors s, the variance is
    ``mean(1/s)·mu + alpha(mu)·mu²``, hence ``(mean(1/s) + a1)·mu + a0·mu²`` with the trend put in. The
    logarithms are compared under a soft-L1 loss, so a gene that responds to treatment (variance far above the
    trend) pulls little, and a gene that varies less than Poisson still counts; estimating alpha per gene
    first would have to drop it and so bias the trend upwards.
    """
    used = depth > 0
    size_factor = depth[used] / reference_depth
    normalised = sparse.diags_array(1.0 / size_factor) @ matrix[used]
    mean = np.asarray(normalised.mean(axis=0)).ravel()
    mean_of_squares = np.asarray(normalised.multiply(normalised).mean(axis=0)).ravel()
    n_wells = int(used.sum())
    if n_wells < 2:
        return FALLBACK_TREND
    variance = (mean_of_squares - mean**2) * n_wells / (n_wells - 1)
    seen_in = np.asarray((matrix[used] > 0).sum(axis=0)).ravel()
    informative = (seen_in >= 3) & (variance > 0)
    if informative.sum() < FEWEST_GENES_FOR_A_TREND:
        return FALLBACK_TREND
    mean, log_variance = mean[informative], np.log(variance[informative])
    poisson = float(np.mean(1.0 / size_factor))

    def residuals(log_a0_and_a1: np.ndarray) -> np.ndarray:
        a0, a1 = np.exp(log_a0_and_a1[0]), log_a0_and_a1[1]
        difference: np.ndarray = log_variance - np.log((poisson + a1) * mean + a0 * mean**2)
        return difference

    fitted = least_squares(
        residuals,
        x0=[np.log(FALLBACK_TREND[0]), FALLBACK_TREND[1]],
        bounds=([np.log(SMALLEST_ASYMPTOTIC_DISPERSION), 0.0], [np.log(100.0), 1000.0]),
        loss="soft_l1",
        f_scale=0.3,
    )
    return float(np.exp(fitted.x[0])), float(fitted.x[1])


def _transformed_variance(counts: sparse.csr_matrix, fit: VarianceStabilization) -> np.ndarray:
    """Variance per gene of the transformed values, from the counts > 0 alone: nothing becomes dense."""
    depth = np.asarray(counts.sum(axis=1)).ravel()
    well = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    value_at_zero = closed_form(np.zeros(1), fit.a0, fit.a1)[0]
    excess = counts.copy()
    excess.data = (
        closed_form(counts.data * (fit.reference_depth / depth[well]), fit.a0, fit.a1) - value_at_zero
    )
    mean = np.asarray(excess.mean(axis=0)).ravel()
    mean_of_squares = np.asarray(excess.multiply(excess).mean(axis=0)).ravel()
    variance: np.ndarray = mean_of_squares - mean**2
    return variance


def _wells_hash(well_ids: Sequence[str], depth: np.ndarray) -> str:
    lines = sorted(f"{well_id}\t{total:.0f}" for well_id, total in zip(well_ids, depth, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
