"""Signatures: how far every gene moves under every condition against DMSO, by a moderated t over plates as blocks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells

# Genes fitted at once: 256 columns of 30 000 wells are 60 MB in float64.
GENES_AT_ONCE = 256

# limma lifts a variance below 1e-5 of the median one to that: the logarithm of an exact zero would rule the prior.
SMALLEST_SHARE_OF_MEDIAN_VARIANCE = 1e-5


@dataclass(frozen=True)
class VariancePrior:
    """The scaled inverse-χ² that the genes' variances are drawn from (Smyth 2004, section 6.2).

    Attributes:
        degrees_of_freedom: d₀, infinite where the variances differ no more than chance lets them.
        variance: s₀².
    """

    degrees_of_freedom: float
    variance: float


@dataclass(frozen=True, eq=False)
class Signatures:
    """Every condition's signature.

    Attributes:
        conditions: `condition, n_wells, n_dmso, standard_error_factor, degrees_of_freedom`: the standard error of a
            gene's effect is the factor times the gene's moderated standard deviation, NaN where plates cannot be told
            from the condition or there is no DMSO to compare it with; the degrees of freedom are the moderated t's.
        genes: Columns of the matrices.
        effect: (conditions, genes), in the unit of the expression (log2 of VST): condition − DMSO, plates as blocks.
        moderated_t: (conditions, genes).
        priors: What the variances are shrunk towards, by context.
    """

    conditions: pd.DataFrame
    genes: tuple[str, ...]
    effect: np.ndarray
    moderated_t: np.ndarray
    priors: dict[str, VariancePrior]

    def gene_scales(self) -> np.ndarray:
        """Moderated standard deviation of each gene between alike wells, (genes,); the median over contexts."""
        factor = self.conditions["standard_error_factor"].to_numpy()[:, None]
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # A gene without any effect has no t to take its scale from.
            warnings.simplefilter("ignore", RuntimeWarning)
            scales: np.ndarray = np.nanmedian(np.abs(self.effect / (factor * self.moderated_t)), axis=0)
        return scales

    def p_values(self, rows: slice = slice(None)) -> np.ndarray:
        """Two-sided p of the moderated t, (conditions, genes) of these rows."""
        t = np.abs(self.moderated_t[rows])
        free = self.conditions["degrees_of_freedom"].to_numpy()[rows, None]
        with_t: np.ndarray = 2.0 * special.stdtr(np.where(np.isfinite(free), free, 1.0), -t)
        return np.where(np.isinf(free), 2.0 * special.ndtr(-t), with_t)

    def tables(self, conditions_at_once: int = 200) -> Iterator[pd.DataFrame]:
        """Yield the signatures as long tables, a block of conditions at a time.

        Yields:
            `condition, gene, effect, t, p, q, n_wells`; q by Benjamini–Hochberg over the genes of a condition.
        """
        for start in range(0, len(self.conditions), conditions_at_once):
            rows = slice(start, start + conditions_at_once)
            block = self.conditions.iloc[rows]
            p = self.p_values(rows)
            yield pd.DataFrame(
                {
                    "condition": np.repeat(block["condition"].to_numpy(dtype=object), len(self.genes)),
                    "gene": np.tile(np.array(self.genes, dtype=object), len(block)),
                    "effect": self.effect[rows].ravel(),
                    "t": self.moderated_t[rows].ravel(),
                    "p": p.ravel(),
                    "q": benjamini_hochberg_rows(p).ravel(),
                    "n_wells": np.repeat(block["n_wells"].to_numpy(dtype=np.int32), len(self.genes)),
                }
            )


def fit_signatures(
    expression: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    condition: str = "metabolite",
    context: str | None = None,
    usable: pd.Series | None = None,
    is_moderated: bool = True,
) -> Signatures:
    """Fit the signature of every condition.

    The model of a gene is y = plate + condition, DMSO being the condition the others are compared with; least squares
    over all usable wells gives the effects, and the variance of what is left, pooled over all conditions, is shrunk
    towards the prior that the genes share: s̃² = (d₀s₀² + d·s²)/(d₀ + d), t = effect/(factor·s̃) with d₀ + d degrees of
    freedom (Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression, section 3).
    With two wells a condition the replicates and the DMSO wells of the whole screen carry the variance, so that
    neither everything nor nothing is found.

    Args:
        expression: Index `well_id`, one column a gene, variance-stabilised, adjusted for position as for hits.
        wells: `well_id, batch, plate, is_dmso` and the columns named by `condition` and `context`, of at least these
            wells.
        condition: Column that says what was done to a well; DMSO wells are one condition whatever stands there.
        context: Column that says which DMSO wells a well may be compared with (time, cell line, donor); a model of
            its own is fitted in each context. None: all wells share one.
        usable: Booleans indexed by `well_id`; wells marked False count nowhere.
        is_moderated: Whether variances are shrunk towards what the columns share; False for columns that are few or
            share nothing, and t is the ordinary one.

    Returns:
        Conditions sorted by name; DMSO itself has no row. A condition whose context has no usable DMSO well, or whose
        plates cannot be told from it, is NaN throughout.

    Raises:
        ValueError: There is no usable DMSO or treated well, a value is not finite, or nothing is left to estimate a
            variance from.
    """
    metadata = rows_for_wells(wells, expression.index.tolist(), "well metadata")
    allowed = usable_wells(usable, expression.index.tolist()).to_numpy()
    values = expression.to_numpy()
    if not allowed.all():
        metadata, values = metadata[allowed], values[allowed]
    is_dmso = metadata["is_dmso"].to_numpy(dtype=bool)
    if not is_dmso.any():
        raise ValueError("signatures: no usable DMSO well; they are what every condition is compared with")
    if is_dmso.all():
        raise ValueError("signatures: no usable treated well")
    genes = tuple(str(gene) for gene in expression.columns)
    contexts = (
        metadata[context].fillna("").to_numpy(dtype=str) if context else np.full(len(metadata), "", dtype=str)
    )
    names = np.unique(contexts)
    # A single context is all wells, and a copy of 20 000 wells × 10 000 genes takes .75 GiB.
    wells_of = {name: contexts == name if len(names) > 1 else slice(None) for name in names}
    parts = [
        _fit_context(name, metadata[own], values[own], condition, genes, is_moderated)
        for name, own in wells_of.items()
        if not is_dmso[own].all()
    ]
    if len(parts) == 1:
        # Sorted already, and each copy of 10 000 × 10 000 takes .75 GiB.
        return parts[0]
    table = pd.concat([part.conditions for part in parts], ignore_index=True)
    order = np.argsort(table["condition"].to_numpy(dtype=str), kind="stable")
    return Signatures(
        conditions=table.iloc[order].reset_index(drop=True),
        genes=genes,
        effect=np.vstack([part.effect for part in parts])[order],
        moderated_t=np.vstack([part.moderated_t for part in parts])[order],
        priors={name: prior for part in parts for name, prior in part.priors.items()},
    )


def _fit_context(
    context: str,
    metadata: pd.DataFrame,
    values: np.ndarray,
    condition: str,
    genes: tuple[str, ...],
    is_moderated: bool,
) -> Signatures:
    """Fit the wells that share their DMSO wells."""
    is_dmso = metadata["is_dmso"].to_numpy(dtype=bool)
    names, of_treated = np.unique(metadata.loc[~is_dmso, condition].to_numpy(dtype=str), return_inverse=True)
    conditions = pd.DataFrame(
        {
            "condition": names.astype(object),
            "n_wells": np.bincount(of_treated, minlength=len(names)).astype(np.int32),
            "n_dmso": np.int32(is_dmso.sum()),
        }
    )
    effect = np.full((len(names), len(genes)), np.nan)
    if not is_dmso.any():
        unknown = conditions.assign(standard_error_factor=np.nan, degrees_of_freedom=np.nan)
        return Signatures(unknown, genes, effect, effect.copy(), {})
    group = np.zeros(len(metadata), dtype=np.intp)
    group[~is_dmso] = of_treated + 1
    plate = pd.factorize(metadata["batch"].astype(str) + "_" + metadata["plate"].astype(str))[0]
    design = _BlockDesign(group, plate)
    free = design.residual_degrees_of_freedom
    if free < 1:
        raise ValueError(
            f"signatures: {len(metadata)} wells, {len(names)} conditions and {plate.max() + 1} plates"
            f"{f' of {context}' if context else ''} leave nothing to estimate a variance from; a condition or DMSO "
            "needs replicates on a plate"
        )
    variance = np.empty(len(genes))
    for start in range(0, len(genes), GENES_AT_ONCE):
        block = slice(start, start + GENES_AT_ONCE)
        of_block = values[:, block].astype(np.float64)
        finite = np.isfinite(of_block).all(axis=0)
        if not finite.all():
            faulty = np.array(genes[block], dtype=object)[~finite].tolist()
            raise ValueError(f"signatures: expression is not finite in {some_names(faulty)}")
        effect[:, block], variance[block] = design.fit(of_block)
    prior = fit_variance_prior(variance, free) if is_moderated else VariancePrior(0.0, 1.0)
    factor = design.standard_error_factor
    effect[np.isnan(factor)] = np.nan
    deviation = np.sqrt(moderated_variance(variance, free, prior))
    t = np.empty_like(effect)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(genes), GENES_AT_ONCE):
            block = slice(start, start + GENES_AT_ONCE)
            t[:, block] = effect[:, block] / (factor[:, None] * deviation[None, block])
    # As in limma, the prior lends no more than the genes hold together.
    moderated_free = min(free + prior.degrees_of_freedom, float(free) * len(genes))
    described = conditions.assign(standard_error_factor=factor, degrees_of_freedom=moderated_free)
    return Signatures(described, genes, effect, t, {context: prior})


class _BlockDesign:
    """Least squares of y = plate + condition by the plates that are left when conditions are taken out.

    By Frisch, Waugh and Lovell the plate effects are those of regressing y on the plate indicators, both with their
    condition means taken out; thousands of conditions cost a mean each and no column of a design matrix.
    """

    def __init__(self, group: np.ndarray, plate: np.ndarray) -> None:
        self._group, self._plate = group, plate
        self._n = np.bincount(group).astype(np.float64)
        n_plates = int(plate.max()) + 1
        # (conditions, plates): the share of a condition's wells on each plate.
        self._shares = np.zeros((len(self._n), n_plates))
        np.add.at(self._shares, (group, plate), 1.0)
        per_plate = np.diag(np.bincount(plate, minlength=n_plates).astype(np.float64))
        within = per_plate - self._shares.T @ (self._shares / self._n[:, None])
        self._shares /= self._n[:, None]
        self._inverse = np.linalg.pinv(within, rcond=1e-10, hermitian=True)
        rank = int(
            np.linalg.matrix_rank(within, tol=1e-10 * max(float(np.trace(within)), 1.0), hermitian=True)
        )
        self.residual_degrees_of_freedom = len(group) - len(self._n) - rank
        difference = self._shares[1:] - self._shares[0]
        # Estimable only where the difference in plates lies in the space that the within-condition contrasts span.
        projected = difference @ self._inverse @ within
        estimable = np.abs(projected - difference).max(axis=1) < 1e-6
        added = np.einsum("cp,pq,cq->c", difference, self._inverse, difference)
        self.standard_error_factor = np.where(
            estimable, np.sqrt(1.0 / self._n[1:] + 1.0 / self._n[0] + added), np.nan
        )

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Effects (conditions, genes) against group 0 and the residual variance (genes,) of (wells, genes)."""
        means = self._means(values, self._group, len(self._n))
        centred = values - means[self._group]
        n_plates = self._shares.shape[1]
        sums = (
            self._means(centred, self._plate, n_plates)
            * np.bincount(self._plate, minlength=n_plates)[:, None]
        )
        plates = self._inverse @ sums
        means -= self._shares @ plates
        residual_squares = np.einsum("wg,wg->g", centred, centred) - np.einsum("pg,pg->g", plates, sums)
        variance = np.maximum(residual_squares, 0.0) / self.residual_degrees_of_freedom
        return means[1:] - means[0], variance

    @staticmethod
    def _means(values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
        order = np.argsort(group, kind="stable")
        counts = np.bincount(group, minlength=n)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sums: np.ndarray = np.add.reduceat(values[order], starts, axis=0)
        return sums / counts[:, None]


def fit_variance_prior(variance: np.ndarray, degrees_of_freedom: float) -> VariancePrior:
    """Estimate d₀ and s₀² from the moments of log s² (Smyth 2004, section 6.2).

    Args:
        variance: (genes,) residual variances.
        degrees_of_freedom: Of each.

    Returns:
        The prior; with fewer than two genes, or variances no more scattered than chance, d₀ is infinite.
    """
    positive = variance[variance > 0]
    if not len(positive):
        return VariancePrior(np.inf, 1.0)
    lifted = np.maximum(variance, SMALLEST_SHARE_OF_MEDIAN_VARIANCE * np.median(positive))
    half = degrees_of_freedom / 2.0
    e = np.log(lifted) - special.digamma(half) + np.log(half)
    scatter = float(e.var(ddof=1)) - float(special.polygamma(1, half)) if len(e) > 1 else 0.0
    if scatter <= 0:
        return VariancePrior(np.inf, float(np.exp(e.mean())))
    prior_half = inverse_trigamma(scatter)
    return VariancePrior(
        2.0 * prior_half, float(np.exp(e.mean() + special.digamma(prior_half) - np.log(prior_half)))
    )


def moderated_variance(variance: np.ndarray, degrees_of_freedom: float, prior: VariancePrior) -> np.ndarray:
    """(d₀s₀² + d·s²)/(d₀ + d) of every gene."""
    if np.isinf(prior.degrees_of_freedom):
        return np.full_like(variance, prior.variance)
    total = prior.degrees_of_freedom + degrees_of_freedom
    return np.asarray((prior.degrees_of_freedom * prior.variance + degrees_of_freedom * variance) / total)


def inverse_trigamma(value: float) -> float:
    """The y with ψ′(y) = value > 0, by Newton's method on 1/ψ′ (Smyth 2004, appendix)."""
    if value > 1e7:
        return float(1.0 / np.sqrt(value))
    if value < 1e-6:
        return float(1.0 / value)
    y = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, y))
        step = trigamma * (1.0 - trigamma / value) / float(special.polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return float(y)


def benjamini_hochberg_rows(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg values of every row of a (conditions, genes) matrix; a row of NaN stays so."""
    known = ~np.isnan(p).any(axis=1)
    adjusted = np.full_like(p, np.nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known], axis=1)
    return adjusted


def strongest_genes(signatures: Signatures, condition: str, top: int = 20) -> pd.DataFrame:
    """The genes that moved most under a condition, by the moderated t and never by the fold change of silent genes.

    Returns:
        `gene, effect, t, p, q`, largest |t| first.

    Raises:
        KeyError: There is no such condition.
    """
    rows: Sequence[int] = np.flatnonzero(
        (signatures.conditions["condition"] == condition).to_numpy()
    ).tolist()
    if not rows:
        raise KeyError(f"no signature of {condition!r}")
    row = rows[0]
    p = signatures.p_values(slice(row, row + 1))
    table = pd.DataFrame(
        {
            "gene": signatures.genes,
            "effect": signatures.effect[row],
            "t": signatures.moderated_t[row],
            "p": p[0],
            "q": benjamini_hochberg_rows(p)[0],
        }
    )
    order = np.lexsort((table["gene"].to_numpy(dtype=str), -table["t"].abs().to_numpy()))
    return table.iloc[order[:top]].reset_index(drop=True)
