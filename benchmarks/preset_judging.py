"""Presets and classical models on four truths, metabolites held out, all on the same wells.

`python -m benchmarks.preset_judging --genes 64 1000 --wells 728` appends a row a fit to a CSV and prints the table of
`docs/training_presets.md`. Every model is given the wells of four fifths of the metabolites; a preset holds out its own
validation wells among them, the classical models learn from all. A fit that the CSV already holds is not repeated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from benchmarks.preset_truths import TRUTHS, Truth, simulate_truth
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.linear_models import ridge_regression
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.settings import settings_for_preset
from tcell_assets.science.model.training import TrainingData, train

# Choices were made on seeds 101 and 102.
JUDGING_SEEDS = (201, 202, 203, 204, 205)
SCORES = ["tscore", "cytotrace", "pseudotime"]
RBF_GRID = {"alpha": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]}
RBF_WIDTHS = (0.1, 0.3, 1.0, 3.0)
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "recommended": ("recommended", {}),
    "without attention": ("recommended", {"attention": "none"}),
    "ridge_start": ("ridge_start", {}),
}
CLASSICAL = ("ridge", "boosting", "RBF kernel ridge")


def held_out_metabolites(data: TrainingData, seed: int) -> np.ndarray:
    """Booleans (wells,): the wells of a fifth of the metabolites."""
    metabolites = data.wells["metabolite"].str.removeprefix("metabolite_").astype(int).to_numpy()
    number = metabolites.max() + 1
    return np.isin(metabolites, np.random.default_rng(seed).permutation(number)[: number // 5])


def predict(model: str, data: TrainingData, held_out: np.ndarray) -> np.ndarray:
    """The held-out wells' three scores (wells, 3) by a model that learns from the others."""
    if model in PRESETS:
        preset, overrides = PRESETS[model]
        wells = data.wells[~held_out].reset_index(drop=True)
        learnt = TrainingData(data.expression[~held_out], data.genes, wells, data.batch_hashes)
        trained = train(learnt, settings_for_preset(preset, **overrides), Compute(threads=1))
        frame = pd.DataFrame(
            data.expression[held_out], data.wells["well_id"][held_out], columns=list(data.genes)
        )
        predictions = score_wells(trained, frame, Compute(threads=1)).predictions
        return predictions[[f"pred_{score}" for score in SCORES]].to_numpy()
    learnt_wells = data.expression[~held_out]
    expression = (data.expression - learnt_wells.mean(axis=0)) / learnt_wells.std(axis=0)
    targets = data.wells[SCORES].to_numpy()[~held_out]
    regressions = [_regression(model, expression[~held_out]) for _ in SCORES]
    return np.column_stack(
        [
            each.fit(expression[~held_out], target).predict(expression[held_out])
            for each, target in zip(regressions, targets.T, strict=True)
        ]
    )


def _regression(model: str, expression: np.ndarray) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV

    if model == "ridge":
        return ridge_regression()
    if model == "boosting":
        return HistGradientBoostingRegressor(random_state=0)
    first = expression[:100]
    distance = np.median(np.square(first[:, None] - first[None]).sum(axis=2))
    widths = [width / distance for width in RBF_WIDTHS]
    return GridSearchCV(KernelRidge(kernel="rbf"), {**RBF_GRID, "gamma": widths}, cv=5)


def main() -> None:
    """Run the fits that are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preset_judging", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--results", type=Path, default=Path("preset_judging.csv"))
    parser.add_argument("--models", nargs="*", default=[*PRESETS, *CLASSICAL])
    parser.add_argument("--seeds", type=int, nargs="*", default=JUDGING_SEEDS)
    parser.add_argument("--genes", type=int, nargs="*", default=[64, 1_000])
    parser.add_argument("--wells", type=int, default=728, help="of the screen; four fifths are learnt from")
    arguments = parser.parse_args()
    rows: list[dict[Any, Any]] = []
    if arguments.results.exists():
        rows = pd.read_csv(arguments.results).to_dict("records")
    done = {(row["model"], row["truth"], row["genes"], row["wells"], row["seed"]) for row in rows}
    for model in arguments.models:
        for genes in arguments.genes:
            for truth in TRUTHS:
                for seed in arguments.seeds:
                    if (model, truth, genes, arguments.wells, seed) in done:
                        continue
                    data = simulate_truth(cast("Truth", truth), seed, arguments.wells, genes)
                    held_out = held_out_metabolites(data, seed)
                    started = time.perf_counter()
                    predicted = predict(model, data, held_out)
                    row = {"model": model, "truth": truth, "genes": genes, "wells": arguments.wells}
                    score = r2_score(data.wells[SCORES].to_numpy()[held_out], predicted)
                    row |= {"seed": seed, "r2": round(score, 4)}
                    rows.append({**row, "seconds": round(time.perf_counter() - started, 1)})
                    pd.DataFrame(rows).to_csv(arguments.results, index=False)
    print(summary(pd.DataFrame(rows)))


def summary(results: pd.DataFrame) -> str:
    """A Markdown table: mean R² over the seeds, a row a model, a column a truth and number of genes."""
    columns = ["wells", "genes", "truth"]
    table = results.pivot_table(index="model", columns=columns, values="r2", aggfunc="mean", sort=False)
    heads = [f"{column[2]}, {column[1]} genes, {column[0]} wells" for column in table.columns.to_flat_index()]
    lines = ["| model | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    lines += [
        f"| {model} | " + " | ".join(f"{value:.3f}" for value in values) + " |"
        for model, values in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
