"""Evaluation, ensembles and intervals in the graph, with a network too small to be good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import r2_score

from tcell_assets.commands.jobs import evaluate_command
from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.commands.simulate import write_screen
from tcell_assets.defs.assets.model_input import evaluation_input
from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization, transform
from tcell_assets.science.evaluation.conformal import FIELDS, Intervals
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.settings import TrainingSettings
from tcell_assets.science.model.trained_model import load_model
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.science.small_screens import ONE_THREAD
from tcell_assets_tests.small_screen import configuration_in, simulate_into, train

SCORES = ("tscore", "cytotrace", "pseudotime")


def evaluate(platform: Platform, **config: Any) -> dg.ExecuteInProcessResult:
    """Hold metabolites out in two folds."""
    settings = {"schemes": ["leave_metabolite_out"], "n_folds": 2, "draws": 20, **config}
    return platform.run("evaluate", config={"ops": {"evaluate_models": {"config": settings}}})


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, dict[str, Any]]]:
    """One batch, evaluated with the current model's settings, then scored; and the checks of the evaluation."""
    configuration = configuration_in(tmp_path_factory.mktemp("evaluation"))
    simulate_into(configuration.data, n_batches=1)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
        platform.run("ingest", "tc1")
        train(platform, epochs=1)
        result = evaluate(platform)
        platform.run("ensemble", config={"ops": {"ensemble_members": {"config": {"members": 2}}}})
        platform.run("score", "tc1")
        yield platform, {check.check_name: check for check in result.get_asset_check_evaluations()}


def test_every_model_predicts_the_same_held_out_wells(evaluated: tuple[Platform, dict[str, Any]]) -> None:
    lake = evaluated[0].storage.lake()
    predictions = lake.read("evaluation_predictions")
    wells, quality = lake.read("well_metadata", "tc1"), lake.read("well_qc", "tc1")
    treated = set(wells.loc[~wells["is_dmso"] & quality["qc_pass"], "well_id"])
    assert {"mean", "position_forest", "pca_ridge", "transformer"} <= set(predictions["model"])
    for _, own in predictions.groupby("model"):
        assert set(own["well_id"]) == treated
    assert predictions["calibrated_probability"].between(0, 1).all()


def test_metrics_are_those_of_the_out_of_fold_predictions(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    lake = evaluated[0].storage.lake()
    targets = lake.read("well_metadata", "tc1").set_index("well_id")
    metrics = lake.read("model_evaluation")
    metrics = metrics[~metrics["calibrated"]].set_index(["model", "target", "metric"])
    for model, own in lake.read("evaluation_predictions").groupby("model"):
        for score in SCORES:
            expected = r2_score(targets.loc[own["well_id"], score], own[f"pred_{score}"])
            assert metrics.loc[(model, score, "r2"), "value"] == pytest.approx(expected, abs=1e-9)


def test_a_network_that_learnt_nothing_is_called_no_better_in_words(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    check = evaluated[1]["transformer_above_plainer_models"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert (
        "the Transformer is below PCA + ridge, the best, for tscore with metabolites held out"
        in check.description
    )


def test_intervals_of_scored_wells_are_those_of_the_evaluation(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    lake = evaluated[0].storage.lake()
    table = lake.read("prediction_intervals").set_index(["model", "target"])
    predictions = lake.read("well_predictions", "tc1")
    for score in SCORES:
        row = table.loc[[("transformer", score)]].iloc[0]
        fitted = Intervals(**{name: float(row[name]) for name in FIELDS})
        low, high = fitted.around(predictions[f"pred_{score}"].to_numpy(dtype=np.float64))
        # Predictions are fp32.
        np.testing.assert_allclose(predictions[f"low_{score}"], low, atol=1e-5)
        np.testing.assert_allclose(predictions[f"high_{score}"], high, atol=1e-5)


def test_standard_deviations_are_those_of_the_members(evaluated: tuple[Platform, dict[str, Any]]) -> None:
    lake, models = evaluated[0].storage.lake(), evaluated[0].storage.models()
    predictions = lake.read("well_predictions", "tc1").set_index("well_id")
    versions = lake.read("ensemble_members")["member_version"]
    assert len(set(versions)) == 2
    assert models.current() in set(versions)
    members = [
        score_wells(load_model(models.folder(version)), lake.expression("tc1"), ONE_THREAD).predictions
        for version in versions
    ]
    for score in SCORES:
        first, second = (
            member.set_index("well_id")[f"pred_{score}"].astype(np.float64).loc[predictions.index]
            for member in members
        )
        np.testing.assert_allclose(predictions[f"sd_{score}"], abs(first - second) / np.sqrt(2), atol=1e-5)


def test_training_an_ensemble_leaves_the_current_model_current(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    assert len(evaluated[0].storage.models().promotions()) == 1


def test_a_model_of_other_settings_gets_no_interval_and_no_standard_deviation(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    platform, _ = evaluated
    before = str(platform.storage.models().current())
    other = train(platform, epochs=1, learning_rate=0.002, validation_tolerance=100.0)
    assert other != before
    platform.run("score", "tc1")
    predictions = platform.storage.lake().read("well_predictions", "tc1")
    platform.storage.models().promote(before, who="test", why="back to the evaluated model")
    assert predictions.filter(regex="^(sd|low|high)_").isna().all(axis=None)
    assert predictions["pred_tscore"].notna().all()


def test_an_average_of_networks_gives_no_interval_to_one_of_them(
    evaluated: tuple[Platform, dict[str, Any]],
) -> None:
    platform, _ = evaluated
    evaluate(platform, members=2)
    platform.run("score", "tc1", selection=["well_predictions"])
    predictions = platform.storage.lake().read("well_predictions", "tc1")
    assert predictions["low_tscore"].isna().all()
    assert predictions["sd_tscore"].notna().all()


def test_counts_are_transformed_by_a_fit_on_the_fold_s_training_wells_alone(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path)
    screen = simulate_screen(SimulationSettings(n_genes=48, n_batches=1, n_plates=1))
    write_screen(screen, configuration.data, counts=True, replace=True)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
        platform.run("ingest", "tc1")
        data, batches = evaluation_input(platform.storage.lake(), TrainingSettings(), None)
    well_ids = data.wells["well_id"].tolist()
    training = well_ids[: len(well_ids) // 2]
    genes = tuple(screen.vst.columns)
    rows = {well_id: row for row, well_id in enumerate(screen.wells["well_id"])}
    fit = fit_variance_stabilization(screen.counts[[rows[well] for well in training]], genes, training)
    expected = transform(screen.counts[[rows[well] for well in well_ids]], genes, well_ids, fit)
    measured = data.expression_fitted_on(training)
    assert set(batches) == {"tc1"}
    assert data.depth is not None
    pd.testing.assert_frame_equal(measured[expected.columns], expected, check_names=False, rtol=1e-6)


@pytest.mark.slow
def test_the_shell_evaluates_and_says_what_the_checks_found(
    evaluated: tuple[Platform, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tcell_assets.commands.platform.load_configuration", lambda: evaluated[0].configuration
    )
    result = CliRunner().invoke(evaluate_command, ["--scheme", "leave_metabolite_out", "--folds", "2"])
    assert result.exit_code == 0, result.output
    assert "with metabolites held out: R²" in result.output
