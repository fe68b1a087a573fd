"""Does a well's position explain its values? The position audit, and the adjustment that takes position out."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse, stats

from tcell_assets.science.conditions import compounds
from tcell_assets.science.plates.plate_geometry import row_number
from tcell_assets.science.plates.settings import Adjustment, PositionThresholds
from tcell_assets.science.well_join import rows_for_wells, usable_wells

Verdict = Literal["ok", "watch", "confounded"]
VERDICTS: tuple[Verdict, ...] = ("ok", "watch", "confounded")
"""From harmless to disqualifying."""

SMOOTH_PENALTY = 1.0
"""Of the ridge, beside hundreds of wells: enough for terms that a layout cannot tell apart, too little to bend it."""
POLISH_ROUNDS = 2
FEWEST_WELLS_FOR_AN_EFFECT = 4
"""A row or column with fewer wells keeps its values: the median of 1 to 3 wells is mostly those wells' own signal."""


@dataclass(frozen=True)
class VariableAudit:
    """What position explains of one variable; see `position_audit` for the fields."""

    variable: str
    n_wells: int
    eta_squared_row: float
    eta_squared_column: float
    eta_squared_plate: float
    eta_squared_batch: float
    edge_effect: float
    edge_p: float
    morans_i: float
    morans_p: float
    r2: float
    auc: float
    verdict: Verdict
    finding: str
    fit: str | None


def position_audit(
    values: pd.DataFrame, wells: pd.DataFrame, thresholds: PositionThresholds | None = None
) -> pd.DataFrame:
    """Audit every variable for what position alone explains.

    The verdict rests on the better of two position-only predictors, both of metabolites they were not trained on: a
    random forest on plate, row and column, which finds rows and plates of their own, and a ridge on row, column, their
    squares and the edge, which finds gradients that a forest misses (at a true R² of .15 it called 8 of 8 screens ok).
    A pattern that neither predicts and that makes neighbours alike beyond chance (Moran's p) is to be watched. Effect
    sizes say which way the pattern runs. The order of wells and of variables changes nothing.

    Args:
        values: one column per variable (numbers, or booleans for a label), index `well_id`; missing values are left
            out, and so are wells that are not in the index.
        wells: `well_id, batch, plate, row, column, is_edge, metabolite` and, where known, `compound` of at least these
            wells.
        thresholds: `PositionThresholds()` by default.

    Returns:
        One row per variable: `variable, n_wells`; `eta_squared_row, eta_squared_column, eta_squared_plate,
        eta_squared_batch` (share of variance between groups); `edge_effect` (mean of edge wells minus interior, in
        standard deviations) and `edge_p` (Mann–Whitney, two-sided); `morans_i` (mean over plates, queen neighbours) and
        `morans_p` (two-sided); `r2` or, for a label, `auc` of the better predictor; `verdict`; `finding`, a sentence;
        `fit`, `forest` or `smooth`. A number that cannot be computed is missing and the sentence says so.

    Raises:
        ValueError: a well has no row in `wells`, or a variable is not numeric.
    """
    thresholds = thresholds or PositionThresholds()
    audits = []
    for variable in values.columns:
        series = values[variable].dropna().infer_objects().sort_index()
        if not pd.api.types.is_numeric_dtype(series) and not series.empty:
            raise ValueError(
                f"{variable} is not numeric; the position audit needs numbers or a true/false label."
            )
        layout = rows_for_wells(wells, series.index, "wells")
        is_label = pd.api.types.is_bool_dtype(series)
        audits.append(_audit_variable(str(variable), series.astype(float), is_label, layout, thresholds))
    return pd.DataFrame(
        [asdict(audit) for audit in audits], columns=[field.name for field in fields(VariableAudit)]
    )


def worst_verdict(audit: pd.DataFrame) -> Verdict:
    """Return the worst verdict of an audit's rows: the screen's."""
    return VERDICTS[max((VERDICTS.index(verdict) for verdict in audit["verdict"]), default=0)]


def morans_i_by_plate(
    values: pd.Series, wells: pd.DataFrame, permutations: int = 999, seed: int = 614
) -> pd.DataFrame:
    """Moran's I of one variable on every plate, neighbours as the queen moves in chess.

    ``I = n / S0 · zᵀWz / zᵀz`` (Moran 1950, Biometrika 37:17) with W the 0/1 neighbour matrix of the wells that are
    there, S0 its sum; p = (1 + number of permutations as far from their mean) / (1 + permutations).

    Args:
        values: index `well_id`, no missing values.
        wells: `well_id, batch, plate, row, column` of at least these wells.
        permutations: permutations of the wells of a plate.
        seed: their seed.

    Returns:
        `batch, plate, n_wells, morans_i, morans_p`; missing where a plate's values or neighbours do not suffice.
    """
    layout = rows_for_wells(wells, values.sort_index().index, "wells")
    return _morans_table(values.sort_index(), layout, permutations, seed)[0]


def resolve_adjustment(adjustment: Adjustment, verdict: Verdict | None) -> Adjustment:
    """Return what `auto` means under the audit's verdict; any other choice as it is.

    Raises:
        ValueError: `auto` without a verdict, or an unknown adjustment.
    """
    if adjustment not in ("none", "plate_median", "median_polish", "auto"):
        raise ValueError(
            f"Unknown position adjustment {adjustment!r}; choose none, plate_median, median_polish or auto."
        )
    if adjustment != "auto":
        return adjustment
    if verdict is None:
        raise ValueError("Position adjustment auto needs the position audit's verdict; run the audit first.")
    return "median_polish" if verdict == "confounded" else "plate_median"


def adjust_for_position(
    values: pd.DataFrame,
    wells: pd.DataFrame,
    adjustment: Adjustment,
    verdict: Verdict | None = None,
    usable: pd.Series | None = None,
) -> pd.DataFrame:
    """Take the plate's median, and with `median_polish` row and column medians too, out of every feature.

    Median polish (Tukey 1977, Exploratory Data Analysis) per plate and feature: subtract the plate median, then twice
    the median of every row and of every column.

    Args:
        values: wells × features, index `well_id`, columns of numbers.
        wells: `well_id, batch, plate, row, column` of at least these wells.
        adjustment: what to take out; `auto` polishes where `verdict` is confounded and takes the plate median
            elsewhere.
        verdict: the position audit's verdict, needed by `auto`.
        usable: booleans by `well_id`; the other wells are adjusted too but enter no median.

    Returns:
        Float64 frame of the same index and columns. A missing value stays missing.

    Raises:
        ValueError: see `resolve_adjustment`; or a well is missing from `wells` or from `usable`.
    """
    method = resolve_adjustment(adjustment, verdict)
    adjusted = values.astype(np.float64)
    if method == "none":
        return adjusted
    layout = rows_for_wells(wells, values.index, "wells")
    counted = usable_wells(usable, values.index).to_numpy()
    result = adjusted.to_numpy(copy=True)
    row, column = layout["row"].map(row_number).to_numpy() - 1, layout["column"].to_numpy() - 1
    plate_code = layout.groupby(["batch", "plate"], sort=False).ngroup().to_numpy()
    for code in range(plate_code.max() + 1):
        on_plate = np.flatnonzero(plate_code == code)
        counts_here = counted[on_plate]
        grid = np.full((row[on_plate].max() + 1, column[on_plate].max() + 1, result.shape[1]), np.nan)
        grid[row[on_plate][counts_here], column[on_plate][counts_here]] = result[on_plate[counts_here]]
        taken_out = _plate_effects(grid, polish=method == "median_polish")
        result[on_plate] -= taken_out[row[on_plate], column[on_plate]]
    return pd.DataFrame(result, index=values.index, columns=values.columns)


def _plate_effects(grid: np.ndarray, polish: bool) -> np.ndarray:
    """What to subtract at every position: rows × columns × features, from a grid that is NaN where no well counts."""
    effects = np.zeros_like(grid)
    whole_plate, along_columns, along_rows = (0, 1), (1,), (0,)
    for axes in [whole_plate, *[along_columns, along_rows] * (POLISH_ROUNDS if polish else 0)]:
        remaining = grid - effects
        fewest = 1 if axes == whole_plate else FEWEST_WELLS_FOR_AN_EFFECT
        enough = np.isfinite(remaining).sum(axis=axes, keepdims=True) >= fewest
        with warnings.catch_warnings():
            # A row without any well has no median; it is the NaN that `enough` then replaces.
            warnings.simplefilter("ignore", RuntimeWarning)
            median = np.nanmedian(remaining, axis=axes, keepdims=True)
        effects = effects + np.where(enough, median, 0.0)
    return effects


def _audit_variable(
    variable: str, values: pd.Series, is_label: bool, layout: pd.DataFrame, thresholds: PositionThresholds
) -> VariableAudit:
    plate = layout["batch"] + "_" + layout["plate"]
    groups = {"row": layout["row"], "column": layout["column"], "plate": plate, "batch": layout["batch"]}
    eta_squared = {name: _eta_squared(values, group) for name, group in groups.items()}
    edge, edge_p = edge_effect(values, layout["is_edge"])
    morans_i, morans_p = _morans_table(values, layout, thresholds.permutations, thresholds.seed)[1]
    explained_by = {
        fit: _explained(values.to_numpy(), predicted, is_label)
        for fit, predicted in _predicted_from_position(values, layout, plate, thresholds).items()
    }
    fit = max(explained_by, key=lambda name: explained_by[name], default=None)
    explained = explained_by[fit] if fit is not None else np.nan
    verdict = _verdict(explained, is_label, values.nunique() > 1, morans_p, thresholds)
    return VariableAudit(
        variable=variable,
        n_wells=len(values),
        eta_squared_row=eta_squared["row"],
        eta_squared_column=eta_squared["column"],
        eta_squared_plate=eta_squared["plate"],
        eta_squared_batch=eta_squared["batch"],
        edge_effect=edge,
        edge_p=edge_p,
        morans_i=morans_i,
        morans_p=morans_p,
        r2=np.nan if is_label else explained,
        auc=explained if is_label else np.nan,
        verdict=verdict,
        finding=_finding(
            variable, values, explained, is_label, eta_squared, (morans_i, morans_p), verdict, thresholds
        ),
        fit=fit,
    )


def _eta_squared(values: pd.Series, groups: pd.Series) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    if not total > 0:
        return np.nan
    means = values.groupby(groups.to_numpy()).transform("mean")
    return float(((means - values.mean()) ** 2).sum()) / total


def edge_effect(values: pd.Series, is_edge: pd.Series) -> tuple[float, float]:
    """Mean of edge wells minus mean of interior wells in standard deviations, and its Mann–Whitney p (two-sided).

    Args:
        values: one number per well.
        is_edge: whether each well lies on the rim, same index.

    Returns:
        Effect and p, both NaN where one side has no well or nothing varies.
    """
    edge, interior = values[is_edge.to_numpy(dtype=bool)], values[~is_edge.to_numpy(dtype=bool)]
    if edge.empty or interior.empty or values.nunique() < 2:
        return np.nan, np.nan
    p = float(stats.mannwhitneyu(edge, interior, alternative="two-sided").pvalue)
    return float((edge.mean() - interior.mean()) / values.std(ddof=0)), p


def _morans_table(
    values: pd.Series, layout: pd.DataFrame, permutations: int, seed: int
) -> tuple[pd.DataFrame, tuple[float, float]]:
    """Moran's I per plate, and the mean over plates with its p from the same permutations."""
    generator = np.random.default_rng(seed)
    rows = []
    permuted_sum, observed, n_plates = np.zeros(permutations), 0.0, 0
    for (batch, plate), on_plate in layout.groupby(["batch", "plate"]):
        z = values.loc[on_plate.index].to_numpy(dtype=float)
        z = z - z.mean()
        row, column = on_plate["row"].map(row_number).to_numpy(), on_plate["column"].to_numpy()
        near = (np.abs(row[:, None] - row) <= 1) & (np.abs(column[:, None] - column) <= 1)
        np.fill_diagonal(near, False)
        morans_i = morans_p = np.nan
        if near.any() and z.std() > 1e-12 * max(1.0, np.abs(values).max()):
            neighbours = sparse.csr_matrix(near.astype(float))
            scale = len(z) / neighbours.sum() / (z @ z)
            shuffled = generator.permuted(np.tile(z, (permutations, 1)), axis=1).T
            under_null = scale * (shuffled * (neighbours @ shuffled)).sum(axis=0)
            morans_i = scale * float(z @ (neighbours @ z))
            morans_p = _permutation_p(morans_i, under_null)
            permuted_sum += under_null
            observed += morans_i
            n_plates += 1
        rows.append((batch, plate, len(z), morans_i, morans_p))
    table = pd.DataFrame(rows, columns=["batch", "plate", "n_wells", "morans_i", "morans_p"])
    if not n_plates:
        return table, (np.nan, np.nan)
    return table, (observed / n_plates, _permutation_p(observed, permuted_sum))


def _permutation_p(observed: float, under_null: np.ndarray) -> float:
    """Two-sided: interleaved dispensing makes neighbouring rows differ, which is a pattern as much as a gradient is."""
    centre = under_null.mean()
    # A tie counts against the finding; 1e-12 keeps rounding from deciding it.
    as_far = np.abs(under_null - centre) >= abs(observed - centre) - 1e-12
    return float((1 + as_far.sum()) / (1 + len(under_null)))


def _predicted_from_position(
    values: pd.Series, layout: pd.DataFrame, plate: pd.Series, thresholds: PositionThresholds
) -> dict[str, np.ndarray]:
    """Out-of-fold predictions from position by fit, none where there is nothing to learn or to hold out."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    compound = compounds(layout)
    folds = min(thresholds.folds, compound.nunique())
    if folds < 2 or values.nunique() < 2:
        return {}
    plates = pd.get_dummies(plate).to_numpy(float)
    position = np.column_stack([plates, layout["row"].map(row_number), layout["column"]])
    smooth = np.column_stack([plates, _smooth_terms(layout)])
    target = values.to_numpy()
    predicted = {fit: np.empty(len(target)) for fit in ("forest", "smooth")}
    for train, held_out in GroupKFold(folds).split(position, target, compound):
        # Leaves of 2 wells and half of the columns at a split: on the published screen within 0.01 of full trees.
        forest = RandomForestRegressor(
            thresholds.trees, min_samples_leaf=2, max_features=0.5, n_jobs=1, random_state=thresholds.seed
        )
        predicted["forest"][held_out] = forest.fit(position[train], target[train]).predict(position[held_out])
        ridge = Ridge(alpha=SMOOTH_PENALTY).fit(smooth[train], target[train])
        predicted["smooth"][held_out] = ridge.predict(smooth[held_out])
    return predicted


def _smooth_terms(layout: pd.DataFrame) -> np.ndarray:
    """Row, column, their squares and the edge, (wells, 5), each of mean 0 and standard deviation 1."""
    row, column = layout["row"].map(row_number).to_numpy(float), layout["column"].to_numpy(float)
    row, column = row - row.mean(), column - column.mean()
    terms = np.column_stack([row, column, row**2, column**2, layout["is_edge"].to_numpy(float)])
    terms -= terms.mean(axis=0)
    spread = terms.std(axis=0)
    return np.asarray(terms / np.where(spread > 0, spread, 1.0))


def _area_under_curve(is_positive: np.ndarray, predicted: np.ndarray) -> float:
    """Mann–Whitney form of the area under the receiver operating characteristic."""
    n_positive = int(is_positive.sum())
    rank_sum = stats.rankdata(predicted)[is_positive].sum()
    return float(
        (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (len(predicted) - n_positive))
    )


def _explained(values: np.ndarray, predicted: np.ndarray, is_label: bool) -> float:
    """R² of the out-of-fold predictions, or their AUC for a label."""
    if is_label:
        return _area_under_curve(values > 0.5, predicted)
    return float(1.0 - ((values - predicted) ** 2).mean() / values.var())


def _verdict(
    explained: float, is_label: bool, varies: bool, morans_p: float, thresholds: PositionThresholds
) -> Verdict:
    if np.isnan(explained):
        return "watch" if varies else "ok"
    watch = thresholds.watch_auc if is_label else thresholds.watch_r2
    confounded = thresholds.confounded_auc if is_label else thresholds.confounded_r2
    if explained > confounded:
        return "confounded"
    return "watch" if explained > watch or morans_p <= thresholds.watch_morans_p else "ok"


# What a verdict means for the reader, at the end of each finding.
CONSEQUENCES: dict[str, str] = {
    "ok": "Position is no rival explanation here.",
    "watch": "Judge hits by the position-adjusted values beside the raw ones.",
    "confounded": "A high value may show where a well lies and not what it holds: replicates that agree at one "
    "position prove nothing, and hits need the position-adjusted values.",
}


def _finding(
    variable: str,
    values: pd.Series,
    explained: float,
    is_label: bool,
    eta_squared: dict[str, float],
    morans: tuple[float, float],
    verdict: Verdict,
    thresholds: PositionThresholds,
) -> str:
    if values.nunique() < 2:
        return f"{variable} is the same in all {len(values)} wells; there is nothing to explain."
    if np.isnan(explained):
        return f"{variable} cannot be judged: the test needs wells of at least 2 treatments."
    measure = (
        f"tell the two classes apart with AUC {explained:.3f} (0.5 is chance)"
        if is_label
        else f"predict {max(explained, 0.0):.0%} of the variation (R² {explained:.2f})"
    )
    strongest = max(eta_squared, key=lambda name: eta_squared[name])
    alike = (
        f" Neighbouring wells are {'alike' if morans[0] > 0 else 'unlike'} beyond chance (Moran's I {morans[0]:.2f}, p "
        f"{morans[1]:.3g})."
        if morans[1] <= thresholds.watch_morans_p
        else ""
    )
    return (
        f"{variable}: plate, row and column alone {measure}, for metabolites never seen before. The strongest "
        f"single factor is the {strongest} ({eta_squared[strongest]:.0%}).{alike} {CONSEQUENCES[verdict]}"
    )
