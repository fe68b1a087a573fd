"""The figures and numbers of docs/statistics, from simulated screens: `python -m benchmarks.statistics [page …]`.

Every page has one figure, `docs/statistics/<page>.png`. The network is narrow, so that all of it takes some ten minutes
on two cores; the numbers are the simulator's, and say how the statistics behave, not how good the model is on a screen.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import profile_statistics
from benchmarks.profile_statistics import BLUE, GREY, ORANGE
from benchmarks.training_presets import FROM_ZERO
from tcell_assets.science.evaluation.conformal import FIELDS, Intervals, conformal_radii
from tcell_assets.science.evaluation.evaluation_ladder import baseline_ladder
from tcell_assets.science.evaluation.model_evaluation import (
    EvaluationData,
    ladder_metrics,
    out_of_fold_predictions,
    paired_differences,
    warnings_in_words,
)
from tcell_assets.science.evaluation.settings import SCHEMES
from tcell_assets.science.evaluation.transformer_rung import transformer_rung
from tcell_assets.science.model.attribution import integrated_gradients
from tcell_assets.science.model.compute import resolve_compute
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.settings import settings_for_preset
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.model.training import TrainingData, train
from tcell_assets.science.plates.position import adjust_for_position
from tcell_assets.science.screen.enrichment import bundled_gene_sets, enrich_ranking
from tcell_assets.science.screen.feature_sets import expression_feature_sets
from tcell_assets.science.screen.hit_calling import HIT_CLASSES, call_combined_hits, call_hits
from tcell_assets.science.screen.hit_drivers import hit_drivers as drivers_of_hits
from tcell_assets.science.screen.latent_map import fit_latent_map, project
from tcell_assets.science.screen.phenotype_correlation import phenotype_correlation
from tcell_assets.science.screen.principal_components import principal_component_features
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.simulation.screen_simulation import (
    PresetName,
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)
from tcell_assets.targets import TARGETS, names_of

FOLDER = Path(__file__).parents[1] / "docs" / "statistics"
GENES = 128
NETWORK = settings_for_preset(
    "ridge_start", d_model=32, heads=2, layers=1, feed_forward=64, epochs=12, **FROM_ZERO
)
LADDER_PRESETS: tuple[PresetName, ...] = ("clean", "confounded")


@functools.cache
def screen_of(preset: PresetName) -> SimulatedScreen:
    return simulate_screen(SimulationSettings(preset=preset, n_genes=GENES))


@functools.cache
def model_of(preset: PresetName) -> TrainedModel:
    screen = screen_of(preset)
    wells = screen.wells.copy()
    names = names_of(TARGETS)
    wells[names] = wells[names].astype("float64")
    data = TrainingData(screen.vst.to_numpy(np.float32), tuple(screen.vst.columns), wells, {})
    return train(data, NETWORK, resolve_compute())


@functools.cache
def out_of_fold(preset: PresetName) -> pd.DataFrame:
    screen = screen_of(preset)
    ladder = {**baseline_ladder(has_depth=False), "transformer": transformer_rung(NETWORK, resolve_compute())}
    data = EvaluationData(screen.wells, lambda training_wells: screen.vst)
    return out_of_fold_predictions(data, ladder, SCHEMES)


@functools.cache
def calls_of(preset: PresetName) -> pd.DataFrame:
    screen = screen_of(preset)
    adjusted = adjust_for_position(screen.vst.astype("float64"), screen.wells, "median_polish")
    return call_hits(
        principal_component_features(adjusted),
        principal_component_features(screen.vst),
        screen.wells,
        rule=HitRule(draws=20_000),
    )


@functools.cache
def combined_calls_of(preset: PresetName) -> pd.DataFrame:
    screen = screen_of(preset)
    adjusted = adjust_for_position(screen.vst.astype("float64"), screen.wells, "median_polish")
    sets = expression_feature_sets(adjusted, screen.vst.astype("float64"))
    return call_combined_hits(sets, screen.wells, rule=HitRule(draws=20_000))


def hit_calls() -> Figure:
    """Their p under `null`, and what is called under `clean`."""
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    p = combined_calls_of("null")["p_replicate"].dropna()
    left.hist(p, bins=np.linspace(0, 1, 21), color=BLUE)
    left.axhline(len(p) / 20, color=GREY, linestyle="--", label="uniform")
    left.set(xlabel="p_replicate", ylabel="metabolites", title="no metabolite acts")
    left.legend(frameon=False)
    calls = combined_calls_of("clean").merge(screen_of("clean").metabolite_truth, on="metabolite")
    is_hit = calls["hit_class"].isin(HIT_CLASSES)
    for chosen, colour, label in ((~is_hit, GREY, "not called"), (is_hit, ORANGE, "hit")):
        right.scatter(
            calls.loc[chosen, "effect_strength"].abs(), calls.loc[chosen, "strength"], 10, colour, label=label
        )
    right.set(xlabel="simulated effect", ylabel="strength", title="a fifth of them act")
    right.legend(frameon=False)
    strong = calls["is_strong"].astype(bool)
    print(
        f"hit_calls: {int(is_hit.sum())} hits, recall of strong effects {is_hit[strong].mean():.2f}, false-discovery "
        f"proportion {(calls.loc[is_hit, 'effect_class'] == 'none').mean():.2f}; "
        f"null: {int(combined_calls_of('null')['hit_class'].isin(HIT_CLASSES).sum())} hits"
    )
    return canvas


def latent_map() -> Figure:
    """Batch tc1 fits the map, tc2 is projected."""
    screen = screen_of("clean")
    scores = score_wells(model_of("clean"), screen.vst, resolve_compute())
    is_first = (screen.wells["batch"] == "tc1").to_numpy()
    fitted = fit_latent_map(scores.latents[is_first].reset_index(drop=True), with_umap=False)
    coordinates = project(fitted, scores.latents)
    probability = scores.predictions["activation_probability"].to_numpy()
    canvas = Figure(figsize=(6, 3.2), layout="constrained")
    axes = canvas.subplots()
    for chosen, marker, label in ((is_first, "o", "fitted on"), (~is_first, "x", "projected")):
        points = axes.scatter(
            coordinates.loc[chosen, "pca_1"], coordinates.loc[chosen, "pca_2"], 12,
            probability[chosen], marker=marker, cmap="cividis", vmin=0, vmax=1, linewidths=0.8, label=label,
        )  # fmt: skip
    canvas.colorbar(points, label="probability of activation")
    axes.set(xlabel="pca_1", ylabel="pca_2")
    axes.legend(frameon=False)
    print(f"latent_map: explained {fitted.explained['explained_variance_ratio'].round(3).tolist()}")
    return canvas


def correlation() -> Figure:
    """Components against Tscore in a screen whose scores follow the plate position."""
    screen = screen_of("confounded")
    table = phenotype_correlation(principal_component_features(screen.vst, count=6), screen.wells, draws=200)
    table = table[table["target"] == "tscore"]
    canvas = Figure(figsize=(6, 2.9), layout="constrained")
    axes = canvas.subplots()
    for adjusted, colour, shift, label in ((False, ORANGE, -0.12, "raw"), (True, BLUE, 0.12, "adjusted")):
        rows = table[table["adjusted"] == adjusted]
        place = np.arange(len(rows)) + shift
        error = [rows["spearman"] - rows["spearman_low"], rows["spearman_high"] - rows["spearman"]]
        axes.errorbar(place, rows["spearman"], error, fmt="o", color=colour, markersize=4, label=label)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(np.arange(6), [f"component {number}" for number in range(1, 7)], fontsize=8)
    axes.set(ylabel="Spearman with Tscore")
    axes.legend(frameon=False)
    largest = table.groupby("adjusted")["spearman"].apply(lambda values: values.abs().max())
    print(f"phenotype_correlation: largest |Spearman| raw {largest[False]:.2f}, adjusted {largest[True]:.2f}")
    return canvas


def evaluation() -> Figure:
    """R² of CytoTRACE with metabolites held out, of every rung, and the tables of the page."""
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    for axes, preset in zip(canvas.subplots(1, 2, sharey=True), LADDER_PRESETS, strict=True):
        wells = screen_of(preset).wells
        metrics = ladder_metrics(out_of_fold(preset), wells, draws=500)
        rows = metrics.query("scheme == 'leave_metabolite_out' and target == 'cytotrace' and metric == 'r2'")
        place = np.arange(len(rows))
        axes.barh(place, rows["value"], color=[ORANGE if m == "transformer" else BLUE for m in rows["model"]])
        axes.errorbar(
            rows["value"], place, xerr=[rows["value"] - rows["low"], rows["high"] - rows["value"]],
            fmt="none", color="black", linewidth=0.8,
        )  # fmt: skip
        axes.set_yticks(place, rows["model"], fontsize=8)
        axes.set(xlabel="R² of CytoTRACE", title=preset)
        headline = metrics[metrics["metric"].isin(["r2", "auroc", "within_plate_residual_r2"])]
        for scheme in SCHEMES:
            own = headline[headline["scheme"] == scheme]
            own = own.assign(name=own["target"] + " " + own["metric"])
            print(f"\n{preset}, {scheme}")
            print(
                own.pivot_table(index="model", columns="name", values="value", sort=False)
                .round(2)
                .to_string()
            )
        differences = paired_differences(out_of_fold(preset), wells, draws=500)
        print("\n".join(warnings_in_words(differences)) or f"{preset}: above both everywhere")
    return canvas


def intervals() -> Figure:
    """Coverage of the 90 % interval by scheme, of all wells and of the tails, and one score's band."""
    wells, predictions = screen_of("clean").wells, out_of_fold("clean")
    radii = conformal_radii(predictions, wells)
    radii = radii[radii["model"] == "transformer"]
    print(radii.drop(columns="model").round(3).to_string(index=False))
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    own = predictions.query("model == 'transformer' and scheme == 'leave_metabolite_out'")
    observed = wells.set_index("well_id")["cytotrace"].loc[own["well_id"]].to_numpy()
    row = radii.query("scheme == 'leave_metabolite_out' and target == 'cytotrace'").iloc[0]
    line = np.linspace(own["pred_cytotrace"].min(), own["pred_cytotrace"].max(), 400)
    low, high = Intervals(**{name: float(row[name]) for name in FIELDS}).around(line)
    left.fill_between(line, low, high, color=BLUE, alpha=0.2, label="90 % interval")
    left.scatter(own["pred_cytotrace"], observed, 5, GREY)
    left.set(xlabel="predicted CytoTRACE, held out", ylabel="CytoTRACE")
    left.legend(frameon=False)
    coverage = radii.pivot_table(index="scheme", columns="target", values="coverage", sort=False)
    for number, target in enumerate(coverage.columns):
        height = np.arange(len(coverage)) + 0.1 * (number - 1)
        (points,) = right.plot(coverage[target], height, "o", label=target)
        for tail in ("coverage_low_tail", "coverage_high_tail"):
            of_tail = radii.pivot_table(index="scheme", columns="target", values=tail, sort=False)
            right.plot(of_tail[target], height, "|", color=points.get_color())
    right.axvline(0.9, color=GREY, linestyle="--")
    right.set_yticks(np.arange(len(coverage)), coverage.index, fontsize=8)
    right.set(xlabel="share covered", xlim=(0.75, 1))
    right.legend(frameon=False, fontsize=7)
    return canvas


@functools.cache
def explained(steps: int) -> Any:
    screen = screen_of("clean")
    model, calls = model_of("clean"), calls_of("clean")
    trained = set(model.split.loc[model.split["split"] == "train", "well_id"])
    dmso = screen.wells.loc[screen.wells["is_dmso"] & screen.wells["well_id"].isin(trained), "well_id"]
    hits = set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"])
    wells = screen.wells.loc[screen.wells["metabolite"].isin(hits), "well_id"].tolist()
    return integrated_gradients(
        model,
        screen.vst.loc[wells],
        screen.vst.loc[dmso].astype("float64").mean(),
        resolve_compute(),
        head="is_activated",
        steps=steps,
        keep=wells,
    )


def gradients() -> Figure:
    """Completeness error against the number of steps."""
    steps = [5, 10, 20, 50]
    canvas = Figure(figsize=(5, 2.9), layout="constrained")
    axes = canvas.subplots()
    shares = []
    for count in steps:
        wells = explained(count).wells
        change = (wells["output"] - wells["baseline_output"]).abs().median()
        shares.append(float(wells["completeness_error"].median() / change))
    axes.loglog(steps, shares, "o-", color=BLUE)
    axes.axhline(0.05, color=GREY, linestyle="--", label="the check warns above 5 %")
    axes.set_xticks(steps, [str(count) for count in steps])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="steps", ylabel="error / change explained")
    axes.legend(frameon=False)
    print(f"integrated_gradients: error share by steps {dict(zip(steps, np.round(shares, 5), strict=True))}")
    ranking = explained(50).importance.merge(screen_of("clean").gene_truth, on="gene")
    rank = ranking["importance"].rank()
    is_driver = ranking["is_driver"].astype(bool)
    n, m = int(is_driver.sum()), int((~is_driver).sum())
    print(f"AUROC of the simulator's driver genes: {(rank[is_driver].sum() - n * (n + 1) / 2) / (n * m):.3f}")
    return canvas


def drivers() -> Figure:
    """The ten strongest drivers of the best hit."""
    screen, calls = screen_of("clean"), calls_of("clean")
    table = drivers_of_hits(explained(50).by_gene, screen.wells, calls, top=10)
    best = table[table["metabolite"] == table["metabolite"].iloc[0]].iloc[::-1]
    truth = screen.gene_truth.set_index("gene")["programme"]
    canvas = Figure(figsize=(5.5, 2.9), layout="constrained")
    axes = canvas.subplots()
    axes.barh(
        best["gene"], best["attribution"], color=[ORANGE if v > 0 else BLUE for v in best["attribution"]]
    )
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set(
        xlabel="change of the log-odds of activation",
        title=f"{best['metabolite'].iloc[0]}, {best['hit_class'].iloc[0]}",
    )
    axes.tick_params(axis="y", labelsize=8)
    print(f"hit_drivers: programmes {truth[best['gene']].tolist()}")
    return canvas


def enrichment() -> Figure:
    """Where the genes of the two bundled programmes stand in the ranking by Gradient × Input."""
    scores = score_wells(model_of("clean"), screen_of("clean").vst, resolve_compute(), "is_activated")
    if scores.importance is None:
        raise RuntimeError("a named head gives importance")
    ranking = scores.importance.sort_values("importance", ascending=False, ignore_index=True)
    for score in ("importance", "signed_importance"):
        table = enrich_ranking(ranking, bundled_gene_sets(), score=score)
        print(score, table.drop(columns="leading_edge").round(3).to_string(index=False), sep="\n")
    canvas = Figure(figsize=(6, 2.2), layout="constrained")
    axes = canvas.subplots()
    for height, (name, colour) in enumerate((("resting", BLUE), ("activation", ORANGE))):
        places = ranking.index[ranking["gene"].isin(bundled_gene_sets()[name])] + 1
        axes.vlines(places, height - 0.35, height + 0.35, color=colour, linewidth=1.5)
    axes.set_yticks([0, 1], ["resting", "activation"])
    axes.set(xlabel="place in the ranking, the most important gene first", xlim=(0, len(ranking) + 1))
    return canvas


PAGES: dict[str, Callable[[], Figure]] = {
    "hit_calls": hit_calls,
    "latent_map": latent_map,
    "phenotype_correlation": correlation,
    "integrated_gradients": gradients,
    "hit_drivers": drivers,
    "gene_set_enrichment": enrichment,
    "model_evaluation": evaluation,
    "prediction_intervals": intervals,
    **profile_statistics.PAGES,
}


def main(pages: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for page in pages or list(PAGES):
        buffer = io.BytesIO()
        cast(Any, PAGES[page]()).savefig(buffer, format="png", dpi=80, metadata={"Software": None})
        (FOLDER / f"{page}.png").write_bytes(buffer.getvalue())
        print(f"{page}.png: {len(buffer.getvalue()) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
