"""Prediction intervals of the scores by conformal prediction on out-of-fold residuals, extreme scores by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import is_treated
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import Target, known_targets, scores

# The lowest and the highest tenth of a score are where hits are.
TAIL = 0.1
# An interval whose inner half-width fell below this share of the plain one would leave the prediction at its very end.
SMALLEST_INNER_SHARE = 0.3
# How far the coverage of all wells may lie above the level for the sake of the tails.
LARGEST_EXCESS = 0.01
# Levels tried for the tails, from the level itself down: below .4 nothing is gained over one radius for all.
LOWEST_TAIL_LEVEL = 0.4
TAIL_LEVEL_STEP = 0.02


@dataclass(frozen=True)
class Intervals:
    """Which scores are not ruled out by a prediction: those of a third whose distance to it is within its radius.

    Attributes:
        low_tail_below: Scores below it are the low tail, in the score's unit.
        high_tail_above: Scores above it are the high tail.
        low_tail_radius: Largest distance of a score of the low tail from its prediction.
        inner_radius: The same between the tails.
        high_tail_radius: The same in the high tail.
    """

    low_tail_below: float
    high_tail_above: float
    low_tail_radius: float
    inner_radius: float
    high_tail_radius: float

    def around(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the interval of each prediction: the hull of all scores not ruled out."""
        low, high = np.full(len(predicted), np.inf), np.full(len(predicted), -np.inf)
        for least, most, radius in (
            (-np.inf, self.low_tail_below, self.low_tail_radius),
            (self.low_tail_below, self.high_tail_above, self.inner_radius),
            (self.high_tail_above, np.inf, self.high_tail_radius),
        ):
            start, end = np.maximum(predicted - radius, least), np.minimum(predicted + radius, most)
            is_possible = start <= end
            low = np.where(is_possible, np.minimum(low, start), low)
            high = np.where(is_possible, np.maximum(high, end), high)
        return low, high

    def covers(self, observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Whether each score lies in the interval of its prediction."""
        low, high = self.around(predicted)
        return np.asarray((low <= observed) & (observed <= high))


FIELDS = tuple(field.name for field in fields(Intervals))


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


def fit_intervals(observed: np.ndarray, predicted: np.ndarray, level: float = 0.9) -> Intervals:
    """Intervals that cover extreme scores as often as all, where the model tells enough of them.

    One radius for all wells covers the mean and misses the extremes, whose predictions lie nearer the centre than
    they do. Each tenth at an end therefore has a radius of its own, the conformal one of its own wells (label-
    conditional conformal prediction, Vovk 2012), and the radius between them is the smallest with which `level` of all
    wells are covered. A model that tells little of the extremes would need intervals that cover everything: the level
    of the tails is then lowered until all wells together are covered to no more than a hundredth above `level`, at
    last to one radius for all.

    Args:
        observed: (n,) scores of wells the model has not trained on.
        predicted: (n,) its predictions.
        level: Wanted coverage.
    """
    residual = observed - predicted
    below, above = np.quantile(observed, [TAIL, 1.0 - TAIL])
    plain = conformal_radius(residual, level)
    wanted = np.ceil((len(residual) + 1) * level) / len(residual)
    candidates = np.sort(np.abs(residual))
    candidates = candidates[candidates >= SMALLEST_INNER_SHARE * plain]
    one_radius = Intervals(float(below), float(above), plain, plain, plain)
    if not np.isfinite(plain):
        return one_radius

    def intervals(inner: float, low: float, high: float) -> Intervals:
        return Intervals(float(below), float(above), max(low, inner), inner, max(high, inner))

    for tail_level in np.arange(level, LOWEST_TAIL_LEVEL, -TAIL_LEVEL_STEP):
        low = conformal_radius(residual[observed < below], tail_level)
        high = conformal_radius(residual[observed > above], tail_level)

        def covered(place: int, low: float = low, high: float = high) -> float:
            return float(intervals(float(candidates[place]), low, high).covers(observed, predicted).mean())

        if covered(0) > level + LARGEST_EXCESS:
            continue
        first, last = 0, len(candidates) - 1
        while first < last:
            middle = (first + last) // 2
            if covered(middle) >= wanted:
                last = middle
            else:
                first = middle + 1
        return intervals(float(candidates[first]), low, high)
    return one_radius


def conformal_radii(
    predictions: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    level: float = 0.9,
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """Intervals of every model, scheme and score, with the coverage they really have.

    The coverage of a fold's wells is counted with the intervals of the other folds, so it is what new wells of the
    scheme meet. DMSO wells are left out.

    Args:
        predictions: As `evaluation.out_of_fold_predictions` returns.
        wells: Well metadata with targets.
        level: Nominal coverage.
        targets: The targets predicted, by default every one of the installation.

    Returns:
        `scheme, model, target, level, radius, coverage, coverage_low_tail, coverage_high_tail, n_wells` and the fields
        of `Intervals` from all folds; `radius` is half the mean width, and the coverage of a tail that of the wells in
        the lowest or highest tenth of the observed scores.
    """
    judged = scores(known_targets() if targets is None else targets)
    treated = set(wells.loc[is_treated(wells), "well_id"])
    rows = []
    for (scheme, model), own in predictions.groupby(["scheme", "model"], sort=False):
        own = own[own["well_id"].isin(treated)]
        metadata = rows_for_wells(wells, own["well_id"].tolist(), "well metadata")
        for target in judged:
            observed = pd.to_numeric(metadata[target.name], errors="coerce").to_numpy(dtype=np.float64)
            predicted = own[target.prediction].to_numpy(dtype=np.float64)
            known = np.isfinite(observed - predicted)
            if not known.any():
                continue
            observed, predicted, fold = observed[known], predicted[known], own["fold"].to_numpy()[known]
            covered = np.zeros(len(observed), dtype=bool)
            for held_out in np.unique(fold):
                others, here = fold != held_out, fold == held_out
                found = fit_intervals(observed[others], predicted[others], level)
                covered[here] = found.covers(observed[here], predicted[here])
            fitted = fit_intervals(observed, predicted, level)
            low, high = fitted.around(predicted)
            rows.append(
                {
                    "scheme": scheme,
                    "model": model,
                    "target": target.name,
                    "level": level,
                    "radius": float(np.mean(high - low)) / 2.0,
                    "coverage": covered.mean(),
                    "coverage_low_tail": _share(covered[observed < fitted.low_tail_below]),
                    "coverage_high_tail": _share(covered[observed > fitted.high_tail_above]),
                    "n_wells": len(observed),
                    **asdict(fitted),
                }
            )
    return pd.DataFrame(rows)


def _share(covered: np.ndarray) -> float:
    return float(covered.mean()) if len(covered) else float("nan")


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
        model: Whose intervals.
        scheme: Which kind of novelty the intervals allow for; by default metabolites never seen.
        targets: The targets predicted, by default every one of the installation.

    Raises:
        ValueError: No intervals of that model and scheme.
    """
    chosen = radii[(radii["model"] == model) & (radii["scheme"] == scheme)].set_index("target")
    if chosen.empty:
        raise ValueError(
            f"no conformal radius of {model} for {scheme}. Evaluate that model and scheme first."
        )
    extended = predictions.copy()
    for target in scores(known_targets() if targets is None else targets):
        if target.name in chosen.index and target.prediction in predictions:
            # In the predictions' own precision, so that intervals of one radius stay bit-equal to what they were.
            low, high = _stored(chosen.loc[[target.name]].iloc[0]).around(
                predictions[target.prediction].to_numpy()
            )
            extended[target.low], extended[target.high] = low, high
    return extended


def _stored(row: pd.Series) -> Intervals:
    """Return the intervals of a row; one that was written before tails had radii of their own has one for all."""
    if not {*FIELDS} <= set(row.index) or pd.isna(row["inner_radius"]):
        radius = float(row["radius"])
        return Intervals(-np.inf, np.inf, radius, radius, radius)
    return Intervals(**{name: float(row[name]) for name in FIELDS})
