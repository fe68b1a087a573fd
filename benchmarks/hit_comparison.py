"""This platform's hit rule beside others' on the same screens: recall, false discoveries and seconds.

`python -m benchmarks.hit_comparison [truth …] [--seeds FIRST COUNT]`: every rule gets the same position-adjusted
expression, wells and batches, and calls at a false-discovery rate of 0.1. Seeds from 100 on judge; no choice was made
on them. copairs is part of the development extra.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.hit_recall import TRUTHS, adjusted
from benchmarks.hit_truths import TruthScreen, simulate_hits
from tcell_assets.science.screen.feature_sets import expression_feature_sets
from tcell_assets.science.screen.hit_calling import HIT_CLASSES, call_combined_hits
from tcell_assets.science.screen.principal_components import principal_component_features
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.screen.signatures import fit_signatures

LEVEL = 0.1
COMPONENTS = 50
PERMUTATIONS = 2_000
JUDGED = ("shared", "own", "shared, 1000 genes", "one well", "null")

Rule = Callable[[TruthScreen, pd.DataFrame], set[str]]


def combined(screen: TruthScreen, values: pd.DataFrame) -> set[str]:
    """This platform's rule."""
    calls = call_combined_hits(
        expression_feature_sets(values, screen.expression), screen.wells, rule=HitRule(draws=20_000)
    )
    return set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"])


def features(screen: TruthScreen, values: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Components of the adjusted expression less the DMSO mean of the batch, and the wells in their order."""
    table = principal_component_features(values, count=COMPONENTS).set_index("well_id")
    wells = screen.wells.set_index("well_id").loc[table.index].reset_index()
    scores = table.to_numpy(dtype=np.float64)
    for batch in wells["batch"].unique():
        own = (wells["batch"] == batch).to_numpy()
        scores[own] -= scores[own & wells["is_dmso"].to_numpy(dtype=bool)].mean(axis=0)
    return scores, wells


def copairs_against(others: bool) -> Rule:
    """Mean average precision of copairs (Kalinin et al. 2025), replicates against other treatments or against DMSO."""

    def rule(screen: TruthScreen, values: pd.DataFrame) -> set[str]:
        from copairs import map as copairs_map

        scores, wells = features(screen, values)
        meta = wells[["metabolite", "batch", "is_dmso"]].copy()
        # A DMSO well is nobody's replicate.
        meta["treatment"] = np.where(
            meta["is_dmso"], [f"DMSO {number}" for number in range(len(meta))], meta["metabolite"]
        )
        kept = np.ones(len(meta), dtype=bool) if not others else ~meta["is_dmso"].to_numpy(dtype=bool)
        precision = copairs_map.average_precision(
            meta[kept].reset_index(drop=True),
            scores[kept],
            pos_sameby=["treatment"],
            pos_diffby=["batch"],
            neg_sameby=[],
            neg_diffby=["treatment"] if others else ["treatment", "is_dmso"],
            progress_bar=False,
        )
        precision = precision[~precision["is_dmso"] & precision["average_precision"].notna()]
        means = copairs_map.mean_average_precision(
            precision, ["metabolite"], null_size=10_000, threshold=LEVEL, seed=0, progress_bar=False
        )
        return set(means.loc[means["corrected_p_value"] < LEVEL, "metabolite"])

    return rule


def replicate_correlation(screen: TruthScreen, values: pd.DataFrame) -> set[str]:
    """Median correlation of replicates of different batches, against that of wells that are no replicates."""
    scores, wells = features(screen, values)
    correlation = np.corrcoef(scores)
    treated = np.flatnonzero(~wells["is_dmso"].to_numpy(dtype=bool))
    generator = np.random.default_rng(0)
    names, batch = wells["metabolite"].to_numpy(), wells["batch"].to_numpy()
    pairs = generator.choice(treated, (200_000, 2))
    pairs = pairs[(names[pairs[:, 0]] != names[pairs[:, 1]]) & (batch[pairs[:, 0]] != batch[pairs[:, 1]])]
    null = np.sort(correlation[pairs[:, 0], pairs[:, 1]])
    found = {}
    for name in pd.unique(names[treated]):
        own = treated[names[treated] == name]
        between = [correlation[a, b] for a in own for b in own if batch[a] < batch[b]]
        if between:
            found[name] = (1 + len(null) - np.searchsorted(null, np.median(between))) / (1 + len(null))
    return _below(pd.Series(found))


def energy_distance(screen: TruthScreen, values: pd.DataFrame) -> set[str]:
    """E-distance of a metabolite's wells to the DMSO wells (Peidli et al. 2024), labels permuted among the two."""
    scores, wells = features(screen, values)
    squares = (scores**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * scores @ scores.T, 0.0)
    dmso = np.flatnonzero(wells["is_dmso"].to_numpy(dtype=bool))
    generator = np.random.default_rng(0)
    found = {}
    for name, rows in wells[~wells["is_dmso"].astype(bool)].groupby("metabolite"):
        own = rows.index.to_numpy()
        if len(own) < 2:
            continue
        both = np.concatenate([own, dmso])
        among = distances[np.ix_(both, both)]
        drawn = np.argsort(generator.random((PERMUTATIONS, len(both))), axis=1)[:, : len(own)]
        energies = _energies(among, np.vstack([np.arange(len(own)), drawn]))
        found[name] = float((1 + (energies[1:] >= energies[0]).sum()) / (1 + PERMUTATIONS))
    return _below(pd.Series(found))


def _energies(distances: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Twice the mean distance to the others less the mean distances within, of each (groups, n) choice of wells."""
    n, m = groups.shape[1], len(distances) - groups.shape[1]
    within = distances[groups[:, :, None], groups[:, None, :]].sum(axis=(1, 2))
    between = distances.sum(axis=1)[groups].sum(axis=1) - within
    rest = distances.sum() - 2 * between - within
    return np.asarray(2 * between / (n * m) - within / (n * (n - 1)) - rest / (m * (m - 1)))


def moderated_t(screen: TruthScreen, values: pd.DataFrame) -> set[str]:
    """Moderated t a gene (Smyth 2004), the genes of a metabolite summed up by Simes."""
    fitted = fit_signatures(values, screen.wells)
    p = fitted.p_values()
    ordered = np.sort(p, axis=1)
    simes = (ordered * p.shape[1] / np.arange(1, p.shape[1] + 1)).min(axis=1)
    return _below(pd.Series(simes, index=fitted.conditions["condition"]))


def _below(p: pd.Series) -> set[str]:
    """Names whose Benjamini–Hochberg value is below the level."""
    known = p.dropna()
    return set(known.index[stats.false_discovery_control(known.to_numpy()) < LEVEL]) if len(known) else set()


RULES: Mapping[str, Rule] = {
    "combined evidence": combined,
    "copairs mAP, others": copairs_against(others=True),
    "copairs mAP, DMSO": copairs_against(others=False),
    "replicate correlation": replicate_correlation,
    "E-distance": energy_distance,
    "moderated t, Simes": moderated_t,
}


def main() -> None:
    """Judge the truths that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truths", nargs="*", default=list(JUDGED))
    parser.add_argument("--seeds", nargs=2, type=int, default=(100, 3), metavar=("FIRST", "COUNT"))
    options = parser.parse_args()
    print(f"{'truth':20} {'rule':22} recall  fdp   hits  seconds")
    for truth in options.truths:
        judged: dict[str, list[tuple[float, float, int, float]]] = {name: [] for name in RULES}
        for seed in range(options.seeds[0], options.seeds[0] + options.seeds[1]):
            screen = simulate_hits(TRUTHS[truth], seed)
            values = adjusted(screen)
            for name, rule in RULES.items():
                started = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = rule(screen, values)
                seconds = time.perf_counter() - started
                true = len(found & screen.active)
                judged[name].append(
                    (
                        true / max(len(screen.active), 1),
                        1 - true / len(found) if found else 0.0,
                        len(found),
                        seconds,
                    )
                )
        for name, rows in judged.items():
            recall, proportion, hits, seconds = np.mean(rows, axis=0)
            print(
                f"{truth:20} {name:22} {recall:6.2f} {proportion:5.2f} {hits:6.1f} {seconds:7.1f}", flush=True
            )


if __name__ == "__main__":
    main()
