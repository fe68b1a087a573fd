"""Prediction intervals of the scores by split conformal prediction on out-of-fold residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import is_treated
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import Target, known_targets, scores


def conformal_radius(residuals: np.ndarray, level: float = 0.9) -> float:
    """Half-width of the interval: the ⌈(n + 1)·level⌉-th smallest absolute residual (Lei et al. 2018).

    A new well exchangeable with the n wells lies within it with probability at least `level`.

    Args:
        residuals: (n,) target − prediction of wells the model has not trained on.
        level: Wanted coverage.

    Returns:
        The radius; infinite where n is too small for the level (9 wells for 0.9).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    ordered = np.sort(np.abs(residuals))
    place = int(np.ceil((len(ordered) + 1) * level))
    return float(ordered[place - 1]) if place <= len(ordered) else float("inf")


def conformal_radii(
    predictions: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    level: float = 0.9,
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """Radius of every model, scheme and score, with the coverage it really has.

    The coverage of a fold's wells is counted with the radius of the other folds' residuals, so it is what new
    wells of the scheme meet. DMSO wells are left out.

    Args:
        predictions: As `evaluation.out_of_fold_predictions` returns.
        wells: Well metadata with targets.
        level: Nominal coverage.
        targets: The targets predicted, by default every one of the installation.

    Returns:
        `scheme, model, target, level, radius, coverage, n_wells`; `radius` is that of all folds.
    """
    judged = scores(known_targets() if targets is None else targets)
    treated = set(wells.loc[is_treated(wells), "well_id"])
    rows = []
    for (scheme, model), own in predictions.groupby(["scheme", "model"], sort=False):
        own = own[own["well_id"].isin(treated)]
        observed = rows_for_wells(wells, own["well_id"].tolist(), "well metadata")
        for target in judged:
            residual = (
                pd.to_numeric(observed[target.name], errors="coerce").to_numpy(dtype=np.float64)
                - own[target.prediction].to_numpy(dtype=np.float64)
            )  # fmt: skip
            known = np.isfinite(residual)
            if not known.any():
                continue
            residual, fold = residual[known], own["fold"].to_numpy()[known]
            covered = np.zeros(len(residual), dtype=bool)
            for held_out in np.unique(fold):
                radius = conformal_radius(residual[fold != held_out], level)
                covered[fold == held_out] = np.abs(residual[fold == held_out]) <= radius
            rows.append(
                {
                    "scheme": scheme,
                    "model": model,
                    "target": target.name,
                    "level": level,
                    "radius": conformal_radius(residual, level),
                    "coverage": covered.mean(),
                    "n_wells": len(residual),
                }
            )
    return pd.DataFrame(rows)


def with_intervals(
    predictions: pd.DataFrame,
    radii: pd.DataFrame,
    model: str = "transformer",
    scheme: str = "leave_metabolite_out",
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """Predictions with `low_tscore, high_tscore, …` around every score.

    Args:
        predictions: `well_id` and the predictions.
        radii: As `conformal_radii` returns.
        model: Whose radii.
        scheme: Which kind of novelty the intervals allow for; by default metabolites never seen.
        targets: The targets predicted, by default every one of the installation.

    Raises:
        ValueError: No radius of that model and scheme.
    """
    chosen = radii[(radii["model"] == model) & (radii["scheme"] == scheme)].set_index("target")["radius"]
    if chosen.empty:
        raise ValueError(
            f"no conformal radius of {model} for {scheme}. Evaluate that model and scheme first."
        )
    extended = predictions.copy()
    for target in scores(known_targets() if targets is None else targets):
        if target.name in chosen.index and target.prediction in predictions:
            radius = chosen[target.name]
            extended[target.low] = predictions[target.prediction] - radius
            extended[target.high] = predictions[target.prediction] + radius
    return extended
