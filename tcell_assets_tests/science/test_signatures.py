"""Signatures against the published formulas written out anew, against DMSO itself, and against a simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from tcell_assets.science.plates.position import adjust_for_position
from tcell_assets.science.screen.signatures import (
    Signatures,
    fit_signatures,
    fit_variance_prior,
    inverse_trigamma,
    strongest_genes,
)
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen


def _screen(
    seed: int,
    n_conditions: int = 12,
    replicates: int = 2,
    n_dmso: int = 9,
    n_plates: int = 3,
    n_genes: int = 40,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Wells of random plates; variances that differ by gene, plate effects, and one condition that acts."""
    generator = np.random.default_rng(seed)
    names = ["DMSO"] * n_dmso + [f"m{number:02d}" for number in range(n_conditions)] * replicates
    wells = pd.DataFrame(
        {
            "well_id": [f"b1_p_{number}" for number in range(len(names))],
            "batch": "b1",
            "plate": generator.integers(0, n_plates, len(names)).astype(str),
            "metabolite": names,
        }
    )
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    spread = np.sqrt(stats.invgamma.rvs(4, scale=3, size=n_genes, random_state=generator))
    values = generator.normal(size=(len(names), n_genes)) * spread
    values += generator.normal(size=(n_plates, n_genes))[wells["plate"].astype(int)]
    values[(wells["metabolite"] == "m03").to_numpy(), :5] += 4.0
    expression = pd.DataFrame(
        values, index=wells["well_id"], columns=[f"G{number}" for number in range(n_genes)]
    )
    return expression, wells


def _by_the_published_formulas(
    expression: pd.DataFrame, wells: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Effects and moderated t by a full design matrix, (X'X)⁻¹ and a bracketed root for the trigamma inverse."""
    names = sorted(set(wells.loc[~wells["is_dmso"], "metabolite"]))
    plates = sorted(set(wells["plate"]))
    columns = [(wells["metabolite"] == name).to_numpy(float) for name in names]
    columns += [(wells["plate"] == plate).to_numpy(float) for plate in plates]
    x, y = np.column_stack(columns), expression.to_numpy(np.float64)
    coefficients, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    degrees = len(y) - rank
    variance = ((y - x @ coefficients) ** 2).sum(axis=0) / degrees
    unscaled = np.diag(np.linalg.pinv(x.T @ x))[: len(names)]
    z = np.log(variance)
    e = z - special.digamma(degrees / 2) + np.log(degrees / 2)
    scatter = ((e - e.mean()) ** 2).sum() / (len(e) - 1) - special.polygamma(1, degrees / 2)
    half = optimize.brentq(
        lambda value: special.polygamma(1, value) - scatter, 1e-3, 1e6, xtol=1e-13, rtol=1e-14
    )
    prior_variance = np.exp(e.mean() + special.digamma(half) - np.log(half))
    moderated = (2 * half * prior_variance + degrees * variance) / (2 * half + degrees)
    effect = coefficients[: len(names)]
    return effect, effect / np.sqrt(unscaled[:, None] * moderated[None, :])


@pytest.mark.parametrize("seed", range(5))
def test_effect_and_moderated_t_are_those_of_the_published_formulas(seed: int) -> None:
    expression, wells = _screen(seed)
    effect, t = _by_the_published_formulas(expression, wells)
    signatures = fit_signatures(expression, wells)
    assert np.isfinite(signatures.priors[""].degrees_of_freedom)
    np.testing.assert_allclose(signatures.effect, effect, rtol=0, atol=1e-8)
    np.testing.assert_allclose(signatures.moderated_t, t, rtol=0, atol=1e-8)


def test_standard_errors_are_those_of_the_full_design() -> None:
    expression, wells = _screen(7)
    names = sorted(set(wells.loc[~wells["is_dmso"], "metabolite"]))
    x = np.column_stack(
        [(wells["metabolite"] == name).to_numpy(float) for name in names]
        + [(wells["plate"] == plate).to_numpy(float) for plate in sorted(set(wells["plate"]))]
    )
    expected = np.sqrt(np.diag(np.linalg.pinv(x.T @ x))[: len(names)])
    found = fit_signatures(expression, wells).conditions["standard_error_factor"]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("value", [1e-8, 1e-3, 0.1, 1.0, 7.3, 100.0, 1e8])
def test_the_trigamma_function_is_inverted(value: float) -> None:
    assert float(special.polygamma(1, inverse_trigamma(value))) == pytest.approx(value, rel=1e-6)


def test_variances_that_do_not_differ_have_a_prior_that_rules_alone() -> None:
    generator = np.random.default_rng(1)
    same = 2.0 * generator.chisquare(400, 50) / 400
    # Half of such sets scatter by chance below what 400 degrees of freedom give; this seed's does.
    assert fit_variance_prior(np.full(50, 2.0), 400).degrees_of_freedom == np.inf
    assert fit_variance_prior(same, 400).variance == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("replicates", [2, 4, 8])
def test_dmso_wells_taken_for_compounds_have_uniform_p(replicates: int) -> None:
    """Ten screens of DMSO alone; p of a gene a screen, so that correlated genes do not count twice."""
    p = []
    for seed in range(10):
        expression, wells = _screen(100 + seed, n_conditions=0, n_dmso=96, n_genes=60)
        generator = np.random.default_rng(seed)
        pseudo = generator.permutation(96)[: 8 * replicates].reshape(8, replicates)
        for number, chosen in enumerate(pseudo):
            wells.loc[chosen, "metabolite"] = f"pseudo{number}"
        wells["is_dmso"] = wells["metabolite"] == "DMSO"
        p.append(fit_signatures(expression, wells).p_values().ravel())
    assert stats.kstest(np.concatenate(p)[::7], "uniform").pvalue > 0.01


def test_a_condition_on_a_plate_of_its_own_without_dmso_has_no_effect_to_show() -> None:
    expression, wells = _screen(3)
    alone = (wells["metabolite"] == "m05").to_numpy()
    wells.loc[alone, "plate"] = "alone"
    signatures = fit_signatures(expression, wells)
    row = signatures.conditions["condition"].tolist().index("m05")
    assert np.isnan(signatures.moderated_t[row]).all()
    assert np.isnan(signatures.effect[row]).all()
    others = np.delete(signatures.moderated_t, row, axis=0)
    assert np.isfinite(others).all()


def test_conditions_are_compared_with_the_dmso_wells_of_their_own_context() -> None:
    """Six hours and 24 hours of treatment: each as if the other had not been in the screen."""
    parts = [_screen(seed) for seed in (11, 12)]
    for hours, (expression, wells) in zip(("6 h", "24 h"), parts, strict=True):
        wells["well_id"] = hours + wells["well_id"]
        expression.index = pd.Index(wells["well_id"])
        treated = ~wells["is_dmso"]
        wells.loc[treated, "metabolite"] += " " + hours
        wells["context"] = hours
    both = pd.concat([expression for expression, _ in parts])
    wells_of_both = pd.concat([wells for _, wells in parts], ignore_index=True)
    together = fit_signatures(both, wells_of_both, context="context")
    for expression, wells in parts:
        alone = fit_signatures(expression, wells)
        rows = together.conditions["condition"].isin(alone.conditions["condition"]).to_numpy()
        np.testing.assert_allclose(together.moderated_t[rows], alone.moderated_t, rtol=1e-9)


def test_a_context_without_dmso_has_no_effect_to_show() -> None:
    expression, wells = _screen(13)
    wells["context"] = np.where(wells["metabolite"].isin(["m01", "m02"]), "late", "early")
    signatures = fit_signatures(expression, wells, context="context")
    late = signatures.conditions["condition"].isin(["m01", "m02"]).to_numpy()
    assert np.isnan(signatures.moderated_t[late]).all()
    assert np.isfinite(signatures.moderated_t[~late]).all()
    assert np.isnan(signatures.p_values()[late]).all()


def test_wells_that_failed_count_nowhere() -> None:
    expression, wells = _screen(5)
    usable = pd.Series(True, index=wells["well_id"])
    usable.iloc[[0, 11]] = False
    kept = usable.to_numpy()
    spoilt = expression.copy()
    spoilt.iloc[[0, 11]] = 1e6
    expected = fit_signatures(expression[kept], wells[kept])
    found = fit_signatures(spoilt, wells, usable=usable)
    np.testing.assert_array_equal(found.moderated_t, expected.moderated_t)


def test_tables_hold_every_gene_of_every_condition_with_q_over_the_genes() -> None:
    expression, wells = _screen(2)
    signatures = fit_signatures(expression, wells)
    table = pd.concat(signatures.tables(conditions_at_once=5), ignore_index=True)
    assert len(table) == 12 * 40
    for _, rows in table.groupby("condition"):
        # BH by its definition: the smallest p·m/rank at or above each p.
        order = np.argsort(rows["p"].to_numpy())
        stepped = rows["p"].to_numpy()[order] * 40 / np.arange(1, 41)
        expected = np.empty(40)
        expected[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
        np.testing.assert_allclose(rows["q"], expected, rtol=1e-12)


@pytest.fixture(scope="module")
def clean() -> tuple[Signatures, pd.DataFrame, pd.DataFrame]:
    screen = simulate_screen(SimulationSettings(n_genes=500, n_plates=2))
    adjusted = adjust_for_position(screen.vst, screen.wells, "plate_median")
    return fit_signatures(adjusted, screen.wells), screen.metabolite_truth, screen.gene_truth


def test_driver_genes_of_strong_metabolites_are_among_the_genes_that_moved_most(
    clean: tuple[Signatures, pd.DataFrame, pd.DataFrame],
) -> None:
    signatures, metabolites, genes = clean
    drivers = set(genes.loc[genes["is_driver"], "gene"])
    strong = metabolites[
        metabolites["is_strong"] & metabolites["effect_class"].isin(["activator", "suppressor"])
    ]
    reach = min(50, len(drivers))
    recalls = [
        len(drivers & set(strongest_genes(signatures, name, 50)["gene"])) / reach
        for name in strong["metabolite"]
    ]
    assert np.mean(recalls) >= 0.7
