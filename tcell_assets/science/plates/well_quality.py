"""Which wells and plates can be trusted: technical quality per well, controls and patterns per plate."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.science.conditions import is_empty
from tcell_assets.science.counts.variance_stabilization import Counts
from tcell_assets.science.plates.position import edge_effect, morans_i_by_plate
from tcell_assets.science.plates.settings import PlateQualityThresholds, WellQualityThresholds
from tcell_assets.science.well_join import rows_for_wells, some_names

MITOCHONDRIAL_PATTERN = r"(?i)^MT-"
RIBOSOMAL_PATTERN = r"(?i)^RP(?:[SL]\d|LP\d|SA$)"

EMPTY_BY_PLATE_MAP = "empty by the plate map"
WELL_QC_COLUMNS = (
    "well_id",
    "total_umi",
    "genes_seen",
    "mitochondrial_share",
    "ribosomal_share",
    "top20_share",
    "dmso_correlation",
    "rle_median",
    "rle_iqr",
    "outlier_score",
    "qc_pass",
    "qc_reason",
)

FEWEST_DMSO_FOR_A_PROFILE = 3
"""With fewer DMSO wells on a plate, correlation to them is the correlation to one or two wells' noise."""


def well_qc(
    wells: pd.DataFrame,
    vst: pd.DataFrame,
    counts: Counts | None = None,
    genes: Sequence[str] | None = None,
    thresholds: WellQualityThresholds | None = None,
) -> pd.DataFrame:
    """Judge every well against its own plate.

    Args:
        wells: `well_id, batch, plate, is_dmso`.
        vst: variance-stabilised expression, index `well_id`, of the same wells.
        counts: UMI counts, one row per row of `wells`, one column per entry of `genes`; without them the measures that
            need counts are missing and cannot fail a well.
        genes: gene names of the counts' columns.
        thresholds: `WellQualityThresholds()` by default.

    Returns:
        One row per well in the order of `wells`: `well_id, total_umi, genes_seen`; `mitochondrial_share,
        ribosomal_share, top20_share` of the UMI (the last for the 20 genes with most UMI in the well);
        `dmso_correlation` (Pearson, to the gene-wise mean of the plate's technically sound DMSO wells, a DMSO
        well left out of its own; missing with fewer than 3); `rle_median, rle_iqr` of the relative log expression
        (VST minus the gene's median over the plate); `outlier_score` (largest absolute robust z among ln UMI,
        ln genes seen, mitochondrial and top-20 share, within the plate); `qc_pass`; `qc_reason`, empty for a
        well that passes. A well that is empty by the plate map (`well_type`) fails and enters no plate median.

    Raises:
        ValueError: counts, genes and wells do not fit each other, or a well has no expression.
    """
    thresholds = thresholds or WellQualityThresholds()
    missing = set(wells["well_id"]) - set(vst.index)
    if missing:
        raise ValueError(
            f"{len(missing)} well(s) have no expression: {some_names(missing)}. Give the same wells."
        )
    empty = is_empty(wells)
    if empty.any():
        return _with_empty_wells(wells, empty, vst, counts, genes, thresholds)
    table = pd.DataFrame({"well_id": wells["well_id"].to_numpy()})
    plate = (wells["batch"] + "_" + wells["plate"]).to_numpy()
    measures = ["total_umi", "genes_seen", "mitochondrial_share", "ribosomal_share", "top20_share"]
    table[measures] = np.nan if counts is None else _count_measures(counts, genes, wells)
    expression = vst.loc[wells["well_id"]].to_numpy()
    table["outlier_score"] = _outlier_score(table, plate)
    reasons = _technical_reasons(table, plate, thresholds)
    is_dmso = wells["is_dmso"].to_numpy(dtype=bool)
    is_sound = np.array([not reason for reason in reasons])
    table[["dmso_correlation", "rle_median", "rle_iqr"]] = np.nan
    for name in np.unique(plate):
        on_plate = np.flatnonzero(plate == name)
        profile = expression[on_plate].astype(np.float64)
        relative = profile - np.median(profile, axis=0)
        low, middle, high = np.quantile(relative, [0.25, 0.5, 0.75], axis=1)
        table.loc[on_plate, "rle_median"] = middle
        table.loc[on_plate, "rle_iqr"] = high - low
        table.loc[on_plate, "dmso_correlation"] = _dmso_correlation(profile, (is_dmso & is_sound)[on_plate])
    among_dmso = table["dmso_correlation"].where(is_dmso & is_sound)
    drop = among_dmso.groupby(plate).transform("median") - among_dmso
    for well in np.flatnonzero(drop > thresholds.maximum_dmso_correlation_drop):
        reasons[well].append(
            f"DMSO well unlike the plate's other DMSO wells (correlation {among_dmso[well]:.2f}, "
            f"{drop[well]:.2f} below their median)"
        )
    table["qc_pass"] = [not reason for reason in reasons]
    table["qc_reason"] = ["; ".join(reason) for reason in reasons]
    return table[list(WELL_QC_COLUMNS)]


def _with_empty_wells(
    wells: pd.DataFrame,
    empty: np.ndarray,
    vst: pd.DataFrame,
    counts: Counts | None,
    genes: Sequence[str] | None,
    thresholds: WellQualityThresholds,
) -> pd.DataFrame:
    """Quality where some wells hold nothing: they fail, and the others are judged as if they were not there."""
    matrix = None if counts is None else sparse.csr_matrix(counts)
    table = pd.DataFrame({"well_id": wells["well_id"].to_numpy()})
    for name in WELL_QC_COLUMNS[1:]:
        table[name] = np.nan
    measures = ["total_umi", "genes_seen", "mitochondrial_share", "ribosomal_share", "top20_share"]
    if matrix is not None:
        table[measures] = _count_measures(matrix, genes, wells)
    table["qc_pass"], table["qc_reason"] = False, EMPTY_BY_PLATE_MAP
    table = table[list(WELL_QC_COLUMNS)]
    if empty.all():
        return table
    others = np.flatnonzero(~empty)
    kept = None if matrix is None else matrix[others]
    judged = well_qc(wells.iloc[others].reset_index(drop=True), vst, kept, genes, thresholds)
    return (
        pd.concat([judged, table.iloc[np.flatnonzero(empty)]])
        .set_index("well_id")
        .loc[wells["well_id"]]
        .reset_index()
    )


def plate_qc(
    wells: pd.DataFrame,
    quality: pd.DataFrame,
    readout: pd.Series | None = None,
    positive_controls: Collection[str] = (),
    thresholds: PlateQualityThresholds | None = None,
) -> pd.DataFrame:
    """Judge every plate by its wells, its controls and the pattern of its depth; empty wells do not count.

    ``Z′ = 1 − 3(σp + σn) / |μp − μn|`` (Zhang et al. 1999, J Biomol Screen 4:67) and
    ``SSMD = (μp − μn) / sqrt(σp² + σn²)`` (Zhang 2007, Genomics 89:552), p the positive control, n DMSO, σ with n − 1.

    Args:
        wells: `well_id, batch, plate, row, column, is_edge, metabolite, is_dmso`.
        quality: what `well_qc` returned for these wells.
        readout: value that separates the controls, index `well_id`; by default the correlation to DMSO.
        positive_controls: treatments that serve as positive control.
        thresholds: `PlateQualityThresholds()` by default.

    Returns:
        One row per plate: `batch, plate, n_wells, n_failed, n_dmso, n_positive_controls` (the last two passing wells);
        `median_umi, dmso_correlation` (medians, the latter over DMSO wells); `z_prime, ssmd` and `controls_reason`, why
        they are missing, else empty; `morans_i, morans_p, edge_effect, edge_p` of ln UMI of passing wells (of
        `rle_median` where there are no counts); `flag` (ok, watch, fail) and `flag_reason`.

    Raises:
        ValueError: a well has no quality, or more than one.
    """
    thresholds = thresholds or PlateQualityThresholds()
    wells = wells[~is_empty(wells)]
    by_well = rows_for_wells(quality, wells["well_id"], "well_qc")
    readout = by_well["dmso_correlation"] if readout is None else readout
    rows = []
    for (batch, plate), on_plate in wells.groupby(["batch", "plate"], sort=True):
        judged = by_well.loc[on_plate["well_id"]]
        passing = on_plate[judged["qc_pass"].to_numpy(dtype=bool)]
        dmso = passing.loc[passing["is_dmso"], "well_id"]
        positive = passing.loc[passing["metabolite"].isin(list(positive_controls)), "well_id"]
        z_prime, ssmd, controls_reason = _control_separation(
            readout.reindex(positive).dropna(), readout.reindex(dmso).dropna(), thresholds.fewest_controls
        )
        depth = judged.loc[passing["well_id"], "total_umi"]
        pattern = (
            np.log(depth.clip(lower=1.0)) if depth.notna().all() else judged.loc[depth.index, "rle_median"]
        )
        # One plate gives one row, or none where no well passes: the mean is that row or missing.
        morans = morans_i_by_plate(pattern, passing, thresholds.permutations, thresholds.seed)
        edge, edge_p = edge_effect(pattern, passing["is_edge"])
        rows.append(
            {
                "batch": batch,
                "plate": plate,
                "n_wells": len(on_plate),
                "n_failed": len(on_plate) - len(passing),
                "n_dmso": len(dmso),
                "n_positive_controls": len(positive),
                "median_umi": _known_median(judged["total_umi"]),
                "dmso_correlation": _known_median(judged.loc[dmso, "dmso_correlation"]),
                "z_prime": z_prime,
                "ssmd": ssmd,
                "controls_reason": controls_reason,
                "morans_i": morans["morans_i"].mean(),
                "morans_p": morans["morans_p"].mean(),
                "edge_effect": edge,
                "edge_p": edge_p,
            }
        )
    table = pd.DataFrame(rows)
    typical_umi = table.groupby("batch")["median_umi"].transform("median")
    judgements = [
        _plate_flag(plate, float(typical), thresholds)
        for plate, typical in zip(table.to_dict("records"), typical_umi, strict=True)
    ]
    table["flag"] = [flag for flag, _ in judgements]
    table["flag_reason"] = [reason for _, reason in judgements]
    return table


def _count_measures(counts: Counts, genes: Sequence[str] | None, wells: pd.DataFrame) -> np.ndarray:
    """Total, genes seen and the shares: wells × 5. A share of an empty well is missing."""
    matrix = sparse.csr_matrix(counts)
    if genes is None or matrix.shape != (len(wells), len(genes)):
        raise ValueError(
            f"Counts have shape {matrix.shape[0]} × {matrix.shape[1]}, but {len(wells)} wells and "
            f"{0 if genes is None else len(genes)} genes are named. Give wells as rows and genes as columns."
        )
    names = pd.Series(list(genes), dtype=str)
    total = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    of_total = np.divide(1.0, total, out=np.full(len(total), np.nan), where=total > 0)
    mitochondrial, ribosomal = (
        np.asarray(matrix[:, names.str.contains(pattern).to_numpy()].sum(axis=1)).ravel()
        for pattern in (MITOCHONDRIAL_PATTERN, RIBOSOMAL_PATTERN)
    )
    top20 = np.array(
        [
            np.sort(matrix.data[start:stop])[-20:].sum()
            for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
        ]
    )
    seen = np.add.reduceat(np.append(matrix.data > 0, False), matrix.indptr[:-1]) * (
        np.diff(matrix.indptr) > 0
    )
    return np.column_stack([total, seen, mitochondrial * of_total, ribosomal * of_total, top20 * of_total])


def _dmso_correlation(profile: np.ndarray, is_dmso: np.ndarray) -> np.ndarray:
    """Pearson correlation of every well of a plate to its DMSO mean, a DMSO well left out of its own."""
    n_dmso = int(is_dmso.sum())
    if n_dmso < FEWEST_DMSO_FOR_A_PROFILE:
        return np.full(len(profile), np.nan)
    total = profile[is_dmso].sum(axis=0)
    reference = np.where(is_dmso[:, None], (total - profile) / (n_dmso - 1), total / n_dmso)
    well = profile - profile.mean(axis=1, keepdims=True)
    reference = reference - reference.mean(axis=1, keepdims=True)
    scale = np.sqrt((well**2).sum(axis=1) * (reference**2).sum(axis=1))
    correlation: np.ndarray = np.divide(
        (well * reference).sum(axis=1), scale, out=np.full(len(profile), np.nan), where=scale > 0
    )
    return correlation


def _robust_z(values: pd.Series, plate: np.ndarray, smallest_scale: float) -> pd.Series:
    """Distance from the plate's median in robust standard deviations (1.4826 × median absolute deviation)."""
    deviation = values - values.groupby(plate).transform("median")
    scale = 1.4826 * deviation.abs().groupby(plate).transform("median")
    return deviation / scale.clip(lower=smallest_scale)


def _outlier_score(table: pd.DataFrame, plate: np.ndarray) -> pd.Series:
    # The floors are what a strong effect alone reached on simulated plates: composition follows biology too, and
    # only a well far outside that is a technical failure.
    scores = pd.DataFrame(
        {
            "umi": _robust_z(np.log(table["total_umi"].clip(lower=1.0)), plate, 0.1),
            "genes": _robust_z(np.log(table["genes_seen"].clip(lower=1.0)), plate, 0.1),
            "mitochondrial": _robust_z(table["mitochondrial_share"], plate, 0.02),
            "top20": _robust_z(table["top20_share"], plate, 0.05),
        }
    )
    return scores.abs().max(axis=1)


def _technical_reasons(
    table: pd.DataFrame, plate: np.ndarray, thresholds: WellQualityThresholds
) -> list[list[str]]:
    umi_share = table["total_umi"] / table["total_umi"].groupby(plate).transform("median")
    genes_share = table["genes_seen"] / table["genes_seen"].groupby(plate).transform("median")
    reasons: list[list[str]] = [[] for _ in range(len(table))]

    def fail(wells: pd.Series, message: str, shown: pd.Series) -> None:
        for well in np.flatnonzero(wells.to_numpy(dtype=bool)):
            reasons[well].append(message.format(shown.iloc[well]))

    fail(
        table["total_umi"] < thresholds.minimum_total_umi,
        f"{{:.0f}} UMI, fewer than {thresholds.minimum_total_umi}",
        table["total_umi"],
    )
    fail(
        umi_share < thresholds.minimum_umi_share,
        f"UMI only {{:.1%}} of the plate's median, less than {thresholds.minimum_umi_share:.0%}",
        umi_share,
    )
    fail(
        genes_share < thresholds.minimum_genes_share,
        f"genes seen only {{:.1%}} of the plate's median, less than {thresholds.minimum_genes_share:.0%}",
        genes_share,
    )
    fail(
        table["mitochondrial_share"] > thresholds.maximum_mitochondrial_share,
        f"{{:.0%}} mitochondrial UMI, more than {thresholds.maximum_mitochondrial_share:.0%}",
        table["mitochondrial_share"],
    )
    fail(
        table["outlier_score"] > thresholds.maximum_outlier_score,
        f"technical outlier, {{:.1f}} robust standard deviations from its plate, more than "
        f"{thresholds.maximum_outlier_score:g}",
        table["outlier_score"],
    )
    return reasons


def _control_separation(positive: pd.Series, negative: pd.Series, fewest: int) -> tuple[float, float, str]:
    if positive.empty:
        return np.nan, np.nan, "no positive control on this plate"
    if len(positive) < fewest or len(negative) < fewest:
        return (
            np.nan,
            np.nan,
            f"{len(positive)} positive control and {len(negative)} DMSO wells pass with a readout; each needs {fewest}",
        )
    difference = float(positive.mean() - negative.mean())
    spread = float(positive.std()), float(negative.std())
    if difference == 0 or not sum(spread) > 0:
        return np.nan, np.nan, "the controls do not differ, or do not vary"
    z_prime = 1.0 - 3.0 * sum(spread) / abs(difference)
    return z_prime, difference / float(np.hypot(*spread)), ""


def _plate_flag(
    plate: dict[Hashable, Any], typical_umi: float, thresholds: PlateQualityThresholds
) -> tuple[str, str]:
    fails, watches = [], []
    if plate["n_failed"] > thresholds.maximum_failed_share * plate["n_wells"]:
        fails.append(f"{plate['n_failed']} of {plate['n_wells']} wells fail")
    if plate["median_umi"] < thresholds.minimum_plate_umi_share * typical_umi:
        fails.append(
            f"median {plate['median_umi']:.0f} UMI, less than {thresholds.minimum_plate_umi_share:.0%} of the batch's "
            "plates"
        )
    if plate["n_dmso"] < thresholds.fewest_dmso:
        watches.append(f"{plate['n_dmso']} passing DMSO wells, too few for a centre of its own")
    if abs(plate["morans_i"]) > thresholds.watch_morans_i and plate["morans_p"] < 0.01:
        pattern = "alike" if plate["morans_i"] > 0 else "unlike each other"
        watches.append(f"neighbouring wells are {pattern} in depth (Moran's I {plate['morans_i']:.2f})")
    if abs(plate["edge_effect"]) > thresholds.watch_edge_effect and plate["edge_p"] < 0.01:
        direction = "more" if plate["edge_effect"] > 0 else "fewer"
        watches.append(
            f"edge wells hold {direction} UMI than the interior ({plate['edge_effect']:+.2f} standard deviations)"
        )
    flag = "fail" if fails else "watch" if watches else "ok"
    return flag, "; ".join([*fails, *watches])


def _known_median(values: pd.Series) -> float:
    """The median of the known values; unknown without any, and without NumPy's warning about it."""
    known = values.dropna()
    return float(known.median()) if len(known) else float("nan")
