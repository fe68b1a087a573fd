"""Figures and numbers of docs/statistics on what each condition does; `python -m benchmarks.statistics` draws them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from tcell_assets.science.plates.position import adjust_for_position
from tcell_assets.science.screen.dose_response import fit_dose_response, log_logistic
from tcell_assets.science.screen.enrichment import bundled_gene_sets
from tcell_assets.science.screen.pathway_activity import pathway_activity, pathway_scores, usable_sets
from tcell_assets.science.screen.signatures import Signatures, fit_signatures, strongest_genes
from tcell_assets.science.screen.similarity import similar_conditions
from tcell_assets.science.simulation.screen_simulation import (
    PresetName,
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)
from tcell_assets_tests.science.planted_mechanisms import MEMBERS, planted, positions_of

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
DOSES = np.repeat([0.1, 0.32, 1.0, 3.2, 10.0, 32.0], 3)


@functools.cache
def screen_of(preset: PresetName) -> SimulatedScreen:
    return simulate_screen(SimulationSettings(preset=preset, n_genes=500, n_plates=2))


@functools.cache
def expression_of(preset: PresetName) -> pd.DataFrame:
    return adjust_for_position(screen_of(preset).vst, screen_of(preset).wells, "plate_median")


@functools.cache
def signatures_of(preset: PresetName) -> Signatures:
    return fit_signatures(expression_of(preset), screen_of(preset).wells)


def signatures() -> Figure:
    """P of DMSO wells taken for compounds, and the genes of a strong metabolite."""
    screen = screen_of("clean")
    p = []
    for seed in range(10):
        for replicates in (2, 4, 8):
            dmso = screen.wells[screen.wells["is_dmso"]].reset_index(drop=True)
            chosen = np.random.default_rng(seed).permutation(len(dmso))[: len(dmso) // 2]
            names = dmso["metabolite"].to_numpy(dtype=object).copy()
            for number in range(len(chosen) // replicates):
                names[chosen[number * replicates : (number + 1) * replicates]] = f"pseudo{number}"
            wells = dmso.assign(metabolite=names, is_dmso=names == "DMSO")
            fitted = fit_signatures(expression_of("clean").loc[wells["well_id"]], wells)
            p.append(fitted.p_values().ravel())
    together = np.concatenate(p)
    uniform = stats.kstest(together[::211], "uniform")
    truth = screen.metabolite_truth
    strong = truth[truth["is_strong"] & truth["effect_class"].isin(["activator", "suppressor"])]["metabolite"]
    drivers = set(screen.gene_truth.loc[screen.gene_truth["is_driver"], "gene"])
    reach = min(50, len(drivers))
    found = [
        len(drivers & set(strongest_genes(signatures_of("clean"), name, 50)["gene"])) / reach
        for name in strong
    ]
    print(
        f"signatures: DMSO as compounds, KS p {uniform.pvalue:.2f} of {len(together[::211])} values; of the strong "
        f"metabolites' {reach} strongest driver genes {np.mean(found):.2f} are among their first 50"
    )
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    left.hist(together, bins=np.linspace(0, 1, 21), color=BLUE, density=True)
    left.axhline(1, color=GREY, linestyle="--")
    left.set(xlabel="p", ylabel="density", title="DMSO wells taken for compounds")
    table = strongest_genes(signatures_of("clean"), str(strong.iloc[0]), 500)
    for is_driver, colour, label in ((False, GREY, "other gene"), (True, ORANGE, "driver gene")):
        own = table[table["gene"].isin(drivers) == is_driver]
        right.scatter(own["effect"], -np.log10(own["p"].clip(lower=1e-300)), 9, colour, label=label)
    right.set(xlabel="effect (log2)", ylabel="−log10 p", title=f"{strong.iloc[0]}, 2 wells")
    right.legend(frameon=False)
    return canvas


def neighbours_of_mechanisms(seed: int) -> pd.DataFrame:
    """All neighbours of 100 strong compounds in 20 mechanisms of 5, and whether each is of the same mechanism."""
    expression, wells, group_of = planted(seed)
    fitted = fit_signatures(expression, wells)
    names = fitted.conditions["condition"]
    conditions = fitted.conditions.assign(
        compound=names, is_active=names.isin(group_of), positions=names.map(positions_of(wells))
    )
    found = similar_conditions(fitted.moderated_t, conditions, neighbours=len(group_of) - 1).neighbours
    return found.assign(is_same=found["condition"].map(group_of) == found["neighbour"].map(group_of))


def similarity() -> Figure:
    """Cosines of pairs of one mechanism and of different ones, and the precision of the nearest neighbours."""
    table = pd.concat(map(neighbours_of_mechanisms, range(11, 16)), ignore_index=True)
    precision = [table.loc[table["neighbour_rank"] <= rank, "is_same"].mean() for rank in range(1, 9)]
    print(f"metabolite_similarity: precision at 4 {precision[3]:.2f}, at 1 {precision[0]:.2f}, 5 screens")
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    bins = np.linspace(-0.4, 0.8, 49)
    left.hist(table.loc[~table["is_same"], "cosine"], bins, color=GREY, density=True, label="other mechanism")
    left.hist(
        table.loc[table["is_same"], "cosine"], bins, color=ORANGE, density=True, alpha=0.7, label="same"
    )
    left.set(xlabel="cosine of two signatures", ylabel="density")
    left.legend(frameon=False)
    right.plot(range(1, 9), precision, "o-", color=BLUE)
    right.axvline(MEMBERS - 1, color=GREY, linestyle="--")
    right.set(xlabel="nearest neighbours", ylabel="share of the same mechanism", ylim=(0, 1.02))
    return canvas


@functools.cache
def activities(preset: PresetName) -> pd.DataFrame:
    fitted = signatures_of(preset)
    sets = usable_sets(fitted.genes, bundled_gene_sets())
    scores = fit_signatures(
        pathway_scores(expression_of(preset), fitted.gene_scales(), sets),
        screen_of(preset).wells,
        is_moderated=False,
    )
    return pathway_activity(fitted, scores, sets)


def pathways() -> Figure:
    """P where no metabolite acts, and the activity of the programmes by the simulated effect."""
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    null = activities("null")
    left.hist(null["p"], bins=np.linspace(0, 1, 21), color=BLUE)
    left.axhline(len(null) / 20, color=GREY, linestyle="--")
    left.set(xlabel="p", ylabel="conditions × sets", title="no metabolite acts")
    table = activities("clean").merge(
        screen_of("clean").metabolite_truth, left_on="condition", right_on="metabolite"
    )
    for name, colour in (("activation", ORANGE), ("resting", BLUE)):
        own = table[table["gene_set"] == name]
        right.scatter(own["effect_strength"], own["activity"], 9, colour, label=name)
    right.set(xlabel="simulated effect", ylabel="activity (t)", title="a fifth of them act")
    right.legend(frameon=False)
    print(
        f"pathway_activity: no effect, {(null['q'] < 0.05).mean():.3f} at q < .05; of the simulated "
        f"activators and suppressors {_found(table):.2f} move a programme at q < .05"
    )
    return canvas


def _found(table: pd.DataFrame) -> float:
    acts = table[table["effect_class"].isin(["activator", "suppressor"])]
    return float((acts.groupby("condition")["q"].min() < 0.05).mean())


def doses() -> Figure:
    """A planted series with its curve, and the EC50 that is found by the one that was planted."""
    generator = np.random.default_rng(21)
    planted, found, flat = [], [], 0
    for _ in range(200):
        ec50 = float(np.exp(generator.uniform(np.log(0.4), np.log(8.0))))
        height = float(generator.choice([-1, 1]) * generator.uniform(4, 8))
        slope = float(generator.uniform(0.8, 2.0))
        activity = log_logistic(DOSES, 0.0, height, ec50, slope) + generator.normal(0, 0.5, len(DOSES))
        curve = fit_dose_response(DOSES, activity)
        assert curve is not None
        planted.append(ec50)
        found.append(curve.ec50)
        nothing = fit_dose_response(DOSES, generator.normal(0, 1, len(DOSES)))
        flat += nothing is not None and nothing.response == "no response"
    within = np.abs(np.log2(np.array(found) / np.array(planted))) <= 1
    print(
        f"dose_response: EC50 within a factor of two {within.mean():.2f}, flat series told {flat / 200:.2f}, 200 each"
    )
    canvas = Figure(figsize=(7, 2.9), layout="constrained")
    left, right = canvas.subplots(1, 2)
    activity = log_logistic(DOSES, 0.0, 5.0, 2.0, 1.3) + generator.normal(0, 0.5, len(DOSES))
    curve = fit_dose_response(DOSES, activity)
    assert curve is not None
    fine = np.geomspace(DOSES.min(), DOSES.max(), 100)
    left.semilogx(DOSES, activity, "o", color=ORANGE, markersize=4)
    left.semilogx(fine, log_logistic(fine, curve.bottom, curve.top, curve.ec50, curve.slope), color=BLUE)
    left.axvspan(curve.ec50_low, curve.ec50_high, color=GREY, alpha=0.3, label="EC50, 95 % interval")
    left.set(xlabel="dose (µM)", ylabel="activity", title="planted EC50 2 µM")
    left.legend(frameon=False)
    right.loglog(planted, found, "o", color=BLUE, markersize=3)
    right.loglog([0.3, 10], [0.3, 10], color=GREY)
    right.loglog([0.3, 10], [0.6, 20], "--", color=GREY)
    right.loglog([0.3, 10], [0.15, 5], "--", color=GREY)
    right.set(xlabel="planted EC50 (µM)", ylabel="fitted EC50 (µM)")
    return canvas


PAGES: dict[str, Callable[[], Figure]] = {
    "signatures": signatures,
    "metabolite_similarity": similarity,
    "pathway_activity": pathways,
    "dose_response": doses,
}
