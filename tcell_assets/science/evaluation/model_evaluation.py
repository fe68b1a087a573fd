"""Honest evaluation: the same held-out wells for every model, intervals over metabolites, verdicts in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import compounds, is_treated
from tcell_assets.science.evaluation.evaluation_ladder import (
    FitPredict,
    FoldWells,
    without_targets,
)
from tcell_assets.science.evaluation.folds import (
    ALWAYS_TRAINING,
    assign_folds,
    replicate_leakage,
)
from tcell_assets.science.evaluation.prediction_metrics import (
    LABEL_METRICS,
    LOWER_IS_BETTER,
    SCORE_METRICS,
    Metric,
    bootstrap_weights,
    r_squared,
)
from tcell_assets.science.evaluation.settings import SCHEMES, Scheme
from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells
from tcell_assets.targets import Target, evaluated, known_targets

RESIDUAL_METRIC = "within_plate_residual_r2"

SCHEME_WORDS = {
    "random": "wells held out at random",
    "leave_metabolite_out": "metabolites held out",
    "leave_plate_out": "plates held out",
    "leave_batch_out": "batches held out",
}
MODEL_WORDS = {
    "mean": "the mean",
    "position_forest": "position alone",
    "depth_only": "depth alone",
    "pca_ridge": "PCA + ridge",
    "pca_forest": "PCA + forest",
    "nearest_neighbours": "nearest neighbours",
    "boosting": "boosting on genes",
    "kernel_ridge": "RBF kernel ridge",
    "small_network": "a small network",
    "transformer": "the Transformer",
}


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """What every model is evaluated on.

    Attributes:
        wells: Well metadata: `well_id, batch, plate, row, column, metabolite, is_dmso` and the targets.
        expression_fitted_on: Given the training wells of a fold, the expression of all wells (index `well_id`)
            with everything that is fitted, such as the dispersion trend, fitted on those wells. Where the
            values came transformed already, `lambda training_wells: expression`.
        depth: Total UMI indexed by `well_id`, None where unknown.
        targets: What the models learn, by default every target of the installation.
    """

    wells: pd.DataFrame
    expression_fitted_on: Callable[[Sequence[str]], pd.DataFrame]
    depth: pd.Series | None = None
    targets: tuple[Target, ...] = field(default_factory=known_targets)


def out_of_fold_predictions(
    data: EvaluationData,
    models: Mapping[str, FitPredict],
    schemes: Sequence[Scheme] = SCHEMES,
    *,
    usable: pd.Series | None = None,
    n_folds: int = 5,
    seed: int = 614,
    on_progress: Callable[[str, str, int], None] | None = None,
    kept: MutableMapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Predictions of every held-out well by models that have not seen it, in the same folds for all.

    Args:
        data: Wells, expression and depth.
        models: Rungs by name: `evaluation_ladder.baseline_ladder(…)` and, as `transformer`, any callable that fits on
            one `FoldWells` and predicts another.
        schemes: Schemes to run, see `folds.assign_folds`.
        usable: Booleans indexed by `well_id`; wells marked False are left out altogether.
        n_folds: Folds of the schemes that choose their own.
        seed: Of the folds.
        on_progress: Called with scheme, model and fold before each fit.
        kept: Predictions of fits that were finished before, by `<scheme>-<fold>-<model>`; these are not fitted again,
            and new ones are put there. It must hold fits on the same data by the same models alone.

    Returns:
        `scheme, model, fold, well_id` and the prediction of every evaluated target.

    Raises:
        ValueError: A scheme has too few groups, or a model does not predict every held-out well once.
    """
    keep = usable_wells(usable, data.wells["well_id"].tolist()).to_numpy()
    wells = data.wells[keep].reset_index(drop=True)
    predictions = [target.prediction for target in evaluated(data.targets)]
    tables = []
    for scheme in schemes:
        folds = assign_folds(wells, scheme, n_folds, seed)
        for fold in sorted(set(folds) - {ALWAYS_TRAINING}):
            held_out = (folds == fold).to_numpy()
            expression = data.expression_fitted_on(wells.loc[~held_out, "well_id"].tolist())
            training_side = _fold_wells(wells[~held_out], expression, data)
            held_out_side = without_targets(_fold_wells(wells[held_out], expression, data))
            for name, fit_predict in models.items():
                if on_progress is not None:
                    on_progress(scheme, name, int(fold))
                fit = f"{scheme}-{fold}-{name}"
                predicted = kept.get(fit) if kept is not None else None
                if predicted is None:
                    predicted = fit_predict(training_side, held_out_side)
                    if kept is not None:
                        kept[fit] = predicted
                if sorted(predicted.index) != sorted(held_out_side.wells.index):
                    missing = set(held_out_side.wells.index) ^ set(predicted.index)
                    raise ValueError(
                        f"{name}, {scheme}, fold {fold}: predictions and held-out wells differ: "
                        f"{some_names(missing) or 'a well twice'}"
                    )
                predicted = predicted.reindex(columns=predictions)
                tables.append(
                    predicted.rename_axis("well_id")
                    .reset_index()
                    .assign(scheme=scheme, model=name, fold=int(fold))
                )
    columns = ["scheme", "model", "fold", "well_id", *predictions]
    return pd.concat(tables, ignore_index=True)[columns]


def ladder_metrics(
    predictions: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 614,
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """Every metric of every model and scheme with its confidence interval.

    Scores: R², mean absolute error, Spearman, and the R² left within plates (`within_plate_residual_r2`): of
    target and prediction after both lost their plate × row, plate × column and batch × position means. Labels:
    AUROC, AUPRC, Brier score, expected calibration error. Intervals: bootstrap over metabolites, because the
    wells of a metabolite are not independent. DMSO wells are not scored.

    Args:
        predictions: As `out_of_fold_predictions` returns.
        wells: Well metadata with targets.
        draws: Bootstrap draws.
        level: Of the intervals.
        seed: Of the bootstrap.
        targets: The targets predicted, by default every one of the installation.

    Returns:
        `scheme, model, target, metric, value, low, high, n_wells, replicate_leakage`; the last is the share of
        scored wells whose metabolite was also in training, 1 or near it for `random`.
    """
    rows = []
    for scheme, target, metric, names, values, n_wells, leakage in _metric_draws(
        predictions, wells, draws, seed, targets
    ):
        low, high = _interval(values[:, 1:], level)
        rows += [
            {
                "scheme": scheme,
                "model": name,
                "target": target,
                "metric": metric,
                "value": values[index, 0],
                "low": low[index],
                "high": high[index],
                "n_wells": n_wells,
                "replicate_leakage": leakage,
            }
            for index, name in enumerate(names)
        ]
    return pd.DataFrame(rows)


def paired_differences(
    predictions: pd.DataFrame,
    wells: pd.DataFrame,
    model: str = "transformer",
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 614,
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """How far one model lies above every other on the same wells and the same bootstrap draws.

    Returns:
        `scheme, model, other, target, metric, value, other_value, difference, low, high, verdict`. The
        difference is counted so that above 0 favours `model` (for errors, other − model); the verdict is `better`
        or `worse` only where the interval excludes 0, otherwise `not distinguishable`.

    Raises:
        ValueError: The model is not among the predictions.
    """
    if model not in set(predictions["model"]):
        raise ValueError(f"no predictions of {model!r}; found {some_names(set(predictions['model']))}")
    rows = []
    for scheme, target, metric, names, values, _, _ in _metric_draws(
        predictions, wells, draws, seed, targets
    ):
        own = values[names.index(model)]
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        for index, other in enumerate(names):
            if other == model:
                continue
            difference = sign * (own - values[index])
            low, high = _interval(difference[None, 1:], level)
            verdict = "better" if low[0] > 0 else "worse" if high[0] < 0 else "not distinguishable"
            rows.append(
                {
                    "scheme": scheme,
                    "model": model,
                    "other": other,
                    "target": target,
                    "metric": metric,
                    "value": own[0],
                    "other_value": values[index, 0],
                    "difference": difference[0],
                    "low": low[0],
                    "high": high[0],
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows)


def warnings_in_words(differences: pd.DataFrame, scheme: Scheme = "leave_metabolite_out") -> list[str]:
    """What a screening scientist must know before trusting the model: where it is not above a plainer one.

    Args:
        differences: As `paired_differences` returns.
        scheme: The scheme to judge by.

    Returns:
        For each headline metric (R² of a score, AUROC of the label) a sentence on the best plainer model where the
        model is not above it, by how much, and one on position alone where it is not above that; empty where it is
        above all of them everywhere.
    """
    judged = _headline_metrics(differences, scheme)
    best = _best_plainer(judged)
    position = judged[(judged["other"] == "position_forest") & ~judged.index.isin(best.index)]
    return [
        f"{_words(row['model'])} is {'below' if row['verdict'] == 'worse' else 'not above'} {_words(row['other'])}"
        f"{', the best,' if number < len(best) else ''} "
        f"for {row['target']} with {SCHEME_WORDS[scheme]}: {'R²' if row['metric'] == 'r2' else 'AUROC'} "
        f"{row['value']:.3f} against {row['other_value']:.3f} (difference {row['difference']:+.3f}, interval "
        f"{row['low']:+.3f} to {row['high']:+.3f})"
        for number, row in enumerate([*best.to_dict("records"), *position.to_dict("records")])
        if row["verdict"] != "better"
    ]


def best_in_words(differences: pd.DataFrame, scheme: Scheme = "leave_metabolite_out") -> list[str]:
    """Which model predicts each headline metric best, and how far it lies above the model or the next plainer one.

    Args:
        differences: As `paired_differences` returns.
        scheme: The scheme to judge by.
    """
    lines = []
    for plainer in _best_plainer(_headline_metrics(differences, scheme)).to_dict("records"):
        name = "R²" if plainer["metric"] == "r2" else "AUROC"
        ranked = [
            (float(plainer["value"]), plainer["model"]),
            (float(plainer["other_value"]), plainer["other"]),
        ]
        (first, best), (second, next_best) = sorted(ranked, key=lambda pair: -pair[0])
        lines.append(
            f"{plainer['target']}: {_words(best)} is best, {name} {first:.3f}, {first - second:.3f} above "
            f"{_words(next_best)}"
        )
    return lines


def _best_plainer(headline: pd.DataFrame) -> pd.DataFrame:
    """The row of each target's best other model."""
    return (
        headline.loc[headline.groupby("target", sort=False)["other_value"].idxmax()]
        if len(headline)
        else headline
    )


def _headline_metrics(differences: pd.DataFrame, scheme: Scheme) -> pd.DataFrame:
    """Differences of R² and AUROC under a scheme, where both are known."""
    chosen = (differences["scheme"] == scheme) & differences["metric"].isin(["r2", "auroc"])
    known = differences["other_value"].notna() & differences["value"].notna()
    return differences.loc[chosen & known]


def without_position(values: np.ndarray, wells: pd.DataFrame, rounds: int = 100) -> np.ndarray:
    """Values (wells, k) less all that plate × row, plate × column and batch × position means explain.

    The residual of the least-squares fit of these three sets of indicators, by alternating projections. Means
    over a position are taken only in batches of several plates; with one plate they would be the wells
    themselves. Missing values are not allowed.

    Args:
        values: One column a quantity.
        wells: `batch, plate, row, column` of the same wells, in the same order.
        rounds: Most rounds; ended early when nothing changes beyond 1e-10.
    """
    batch = wells["batch"].astype(str)
    plate = batch + " " + wells["plate"].astype(str)
    several = plate.groupby(batch).transform("nunique") > 1
    position = batch + " " + wells["row"].astype(str) + " " + wells["column"].astype(str)
    groupings = [
        pd.factorize(plate + " " + wells["row"].astype(str))[0],
        pd.factorize(plate + " " + wells["column"].astype(str))[0],
        pd.factorize(position.where(several, "single plate"))[0],
    ]
    skipped = ~several.to_numpy()
    residual = np.array(values, dtype=np.float64)
    for _ in range(rounds):
        before = residual.copy()
        for number, codes in enumerate(groupings):
            sums = np.zeros((codes.max() + 1, residual.shape[1]))
            np.add.at(sums, codes, residual)
            means = (sums / np.bincount(codes)[:, None])[codes]
            if number == 2:
                means[skipped] = 0.0
            residual -= means
        if np.abs(residual - before).max() < 1e-10:
            break
    return residual


def _fold_wells(wells: pd.DataFrame, expression: pd.DataFrame, data: EvaluationData) -> FoldWells:
    indexed = wells.set_index("well_id")
    missing = set(indexed.index) - set(expression.index)
    if missing:
        raise ValueError(f"expression: no row for {len(missing)} well(s): {some_names(missing)}")
    depth = None if data.depth is None else data.depth.loc[indexed.index]
    return FoldWells(indexed, expression.loc[indexed.index], depth, data.targets)


def _metric_draws(
    predictions: pd.DataFrame,
    wells: pd.DataFrame,
    draws: int,
    seed: int,
    targets: Sequence[Target] | None,
) -> list[tuple[str, str, str, list[str], np.ndarray, int, float]]:
    """Per scheme, target and metric: model names, values (models, 1 + draws), wells scored, replicate leakage."""
    results = []
    judged = evaluated(known_targets() if targets is None else targets)
    treated = wells.loc[is_treated(wells), "well_id"]
    for scheme, of_scheme in predictions.groupby("scheme", sort=False):
        names = list(dict.fromkeys(of_scheme["model"]))
        folds = of_scheme[of_scheme["model"] == names[0]].set_index("well_id")["fold"]
        in_scheme = wells[wells["well_id"].isin(set(folds.index))]
        leakage = replicate_leakage(in_scheme, folds)
        scored = [well_id for well_id in treated if well_id in folds.index]
        metadata = rows_for_wells(wells, scored, "well metadata")
        by_model = {
            name: rows_for_wells(of_scheme[of_scheme["model"] == name], scored, f"predictions of {name}")
            for name in names
        }
        for target in judged:
            observed = pd.to_numeric(metadata[target.name], errors="coerce").to_numpy(dtype=np.float64)
            column = target.prediction
            predicted = np.column_stack([by_model[name][column] for name in names]).astype(np.float64)
            finite = np.isfinite(predicted)
            if (finite.any(axis=1) != finite.all(axis=1)).any():
                silent = [name for name, own in zip(names, finite.T, strict=True) if not own.all()]
                raise ValueError(
                    f"{scheme}: {some_names(silent)} predicts no {target.name} where other models do; "
                    "no comparison is fair on different wells"
                )
            known = np.isfinite(observed) & finite.all(axis=1)
            if not known.any():
                continue
            weights = bootstrap_weights(compounds(metadata)[known].astype(str).to_numpy(), draws, seed)
            metrics = LABEL_METRICS if target.is_binary else SCORE_METRICS
            quantities = {
                metric: (function, observed[known], predicted[known]) for metric, function in metrics.items()
            }
            if not target.is_binary:
                residuals = without_position(
                    np.column_stack([observed[known], predicted[known]]), metadata[known]
                )
                quantities[RESIDUAL_METRIC] = (r_squared, residuals[:, 0], residuals[:, 1:])
            for metric, (function, truth, guesses) in quantities.items():
                values = _over_models(function, truth, guesses, weights)
                results.append((str(scheme), target.name, metric, names, values, int(known.sum()), leakage))
    return results


def _over_models(function: Metric, truth: np.ndarray, guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.stack([function(truth, guesses[:, model], weights) for model in range(guesses.shape[1])])


def _interval(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of each row; NaN where every draw is undefined."""
    low = np.full(len(draws), np.nan)
    high = np.full(len(draws), np.nan)
    for row, values in enumerate(draws):
        finite = values[np.isfinite(values)]
        if len(finite):
            low[row], high[row] = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def _words(model: str) -> str:
    return MODEL_WORDS.get(model, model)
