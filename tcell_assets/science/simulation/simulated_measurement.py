"""What is measured of simulated wells: counts of what their state expresses, and scores of what was counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

COUNT_DISPERSION = (0.05, 0.5)
"""a0 and a1 of the simulated counts' dispersion: a replicate variation of 22 % at high expression."""

ACTIVATED_SHARE = 0.63
"""Share of activated wells in the published screen (484 of 768)."""

PSEUDOTIME_LIMIT = 1.4
"""Pseudotime saturates at this many standard deviations on either side, as the published one does at ±1.34."""


def simulated_counts(
    wells: pd.DataFrame,
    well_truth: pd.DataFrame,
    metabolite_truth: pd.DataFrame,
    gene_truth: pd.DataFrame,
    base: np.ndarray,
    effects: dict[str, np.ndarray],
    generator: np.random.Generator,
) -> sparse.csr_matrix:
    """Gamma–Poisson counts, one plate at a time so that a large screen is never dense as a whole."""
    n_genes = len(base)
    weight = gene_truth["weight"].to_numpy()
    programme = gene_truth["programme"].to_numpy()
    activation_weight = weight * gene_truth["is_driver"].to_numpy()
    other = metabolite_truth[metabolite_truth["effect_class"] == "other"]
    other_programmes = ("interferon", "stress", "sterol")
    programme_of = {name: other_programmes[number % 3] for number, name in enumerate(other["metabolite"])}
    strength_of = dict(zip(other["metabolite"], other["effect_strength"], strict=True))
    batch_shift = {batch: generator.normal(0.0, 0.15, n_genes) for batch in wells["batch"].unique()}
    plates = []
    for (batch, _), on_plate in wells.groupby(["batch", "plate"], sort=False):
        truth = well_truth.loc[on_plate.index]
        log2_mean = base + batch_shift[batch] + generator.normal(0.0, 0.05, n_genes)
        log2_mean = log2_mean + truth["activation"].to_numpy()[:, None] * activation_weight
        for name in ("proliferation", *other_programmes):
            level = generator.normal(0.0, 0.5, len(on_plate))
            level += [
                strength_of[metabolite] if programme_of.get(metabolite) == name else 0.0
                for metabolite in on_plate["metabolite"]
            ]
            log2_mean += level[:, None] * (weight * (programme == name))
        for place, metabolite in enumerate(on_plate["metabolite"]):
            if metabolite in effects:
                log2_mean[place] += effects[metabolite]
        # What is left in a dead well is cell-free RNA, rich in mitochondrial transcripts.
        log2_mean += 2.0 * truth["is_dead"].to_numpy()[:, None] * (programme == "mitochondrial")
        plates.append(draw_counts(log2_mean, truth["depth"].to_numpy(), base, generator))
    return sparse.vstack(plates, format="csr")


def draw_counts(
    log2_mean: np.ndarray, depth: np.ndarray, base: np.ndarray, generator: np.random.Generator
) -> sparse.csr_matrix:
    """Gamma–Poisson counts (wells, genes) around means of so much log2 expression each, `depth` UMI a well."""
    mean = np.exp2(log2_mean)
    mean *= (depth / mean.sum(axis=1))[:, None]
    typical_mean = np.median(depth) * np.exp2(base) / np.exp2(base).sum()
    dispersion = COUNT_DISPERSION[0] + COUNT_DISPERSION[1] / typical_mean
    return sparse.csr_matrix(
        generator.poisson(generator.gamma(1.0 / dispersion, mean * dispersion)).astype(np.int32)
    )


def simulated_scores(
    vst: pd.DataFrame, counts: sparse.csr_matrix, gene_truth: pd.DataFrame, generator: np.random.Generator
) -> pd.DataFrame:
    """The targets, from expression as in a real screen."""
    n_wells = len(vst)
    values = vst.to_numpy()
    programme = gene_truth["programme"].to_numpy()
    signature = {
        name: values[:, programme == name].mean(axis=1, dtype=np.float64) for name in np.unique(programme)
    }
    tscore = _z_score(signature["activation"] - signature["resting"])
    pseudotime = _z_score(
        np.clip(tscore + 0.2 * generator.normal(size=n_wells), -PSEUDOTIME_LIMIT, PSEUDOTIME_LIMIT)
    )
    genes_seen = _z_score(counts.getnnz(axis=1).astype(np.float64))
    cytotrace = _z_score(
        0.65 * tscore
        + 0.4 * _z_score(signature["proliferation"])
        + 0.2 * genes_seen
        + 0.6 * generator.normal(size=n_wells)
    )
    return pd.DataFrame(
        {
            "tscore": tscore,
            "cytotrace": cytotrace,
            "pseudotime": pseudotime,
            "is_activated": pseudotime > np.quantile(pseudotime, 1.0 - ACTIVATED_SHARE),
            "activation_score": tscore + cytotrace + pseudotime,
        }
    )


def _z_score(values: np.ndarray) -> np.ndarray:
    # A tiny screen can hold the same number in every well, e.g. all of its genes seen everywhere.
    scaled: np.ndarray = (values - values.mean()) / max(values.std(), 1e-12)
    return scaled
