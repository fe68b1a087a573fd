"""Evaluation: no model sees what is held out, comparisons are paired, and position is taken out of the residual."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, roc_auc_score

from tcell_assets.lake.kept_frames import KeptFrames
from tcell_assets.science.evaluation.evaluation_ladder import FitPredict, FoldWells, baseline_ladder
from tcell_assets.science.evaluation.model_evaluation import (
    RESIDUAL_METRIC,
    EvaluationData,
    best_in_words,
    ladder_metrics,
    out_of_fold_predictions,
    paired_differences,
    warnings_in_words,
    without_position,
)
from tcell_assets.science.simulation.screen_simulation import PresetName, SimulationSettings, simulate_screen

TARGET_COLUMNS = {"tscore", "cytotrace", "pseudotime", "is_activated", "activation_score"}


@cache
def evaluation_data(preset: PresetName = "clean", genes: int = 64, plates: int = 2) -> EvaluationData:
    screen = simulate_screen(SimulationSettings(preset=preset, seed=1, n_genes=genes, n_plates=plates))
    depth = pd.Series(np.asarray(screen.counts.sum(axis=1)).ravel(), index=screen.vst.index)
    return EvaluationData(screen.wells, lambda training_wells: screen.vst, depth)


def linear_model(noise: float = 0.0, seed: int = 0) -> FitPredict:
    """Stands where the network stands: least squares on all genes, made worse by noise."""

    def fit_predict(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        generator = np.random.default_rng(seed)
        predicted = pd.DataFrame(index=held_out.wells.index)
        for target in ("tscore", "cytotrace", "pseudotime"):
            fitted = LinearRegression().fit(training.expression.to_numpy(), training.wells[target])
            predicted[f"pred_{target}"] = fitted.predict(held_out.expression.to_numpy())
        predicted += noise * generator.normal(size=predicted.shape)
        return predicted.assign(activation_probability=1 / (1 + np.exp(-3 * predicted["pred_tscore"])))

    return fit_predict


def test_a_held_out_side_has_no_target_and_no_well_of_the_training_side() -> None:
    seen: list[tuple[set[str], set[str], set[str]]] = []

    def spy(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        seen.append((set(training.wells.index), set(held_out.wells.index), set(held_out.wells.columns)))
        return linear_model()(training, held_out)

    out_of_fold_predictions(evaluation_data(), {"spy": spy})
    # 5 folds of wells, 5 of metabolites, 4 plates, 2 batches.
    assert len(seen) == 16
    for training, held_out, columns in seen:
        assert not training & held_out
        assert not columns & TARGET_COLUMNS


def test_the_expression_of_a_fold_is_fitted_on_its_training_wells_alone() -> None:
    data = evaluation_data()
    asked: list[set[str]] = []

    def expression(training_wells: object) -> pd.DataFrame:
        asked.append(set(training_wells))  # type: ignore[call-overload]
        return data.expression_fitted_on([])

    watched = EvaluationData(data.wells, expression)
    predictions = out_of_fold_predictions(watched, {"linear": linear_model()}, ["leave_batch_out"])
    for fold, training in enumerate(asked):
        held_out = set(predictions.loc[predictions["fold"] == fold, "well_id"])
        assert not held_out & training


def test_every_treated_well_is_predicted_once_a_scheme_and_model() -> None:
    data = evaluation_data()
    predictions = out_of_fold_predictions(data, {"a": linear_model(), "b": linear_model(1.0)})
    counted = predictions.groupby(["scheme", "model", "well_id"]).size()
    assert (counted == 1).all()
    treated = set(data.wells.loc[~data.wells["is_dmso"], "well_id"])
    for _, own in predictions.groupby(["scheme", "model"]):
        assert treated <= set(own["well_id"])


def test_wells_that_failed_quality_control_are_neither_trained_on_nor_predicted() -> None:
    data = evaluation_data()
    usable = pd.Series(True, index=data.wells["well_id"])
    usable.iloc[5:25] = False
    seen: set[str] = set()

    def spy(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        seen.update(training.wells.index, held_out.wells.index)
        return linear_model()(training, held_out)

    out_of_fold_predictions(data, {"spy": spy}, ["random"], usable=usable)
    assert seen == set(usable.index[usable])


def test_a_model_that_leaves_a_held_out_well_out_is_refused() -> None:
    def forgetful(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        return linear_model()(training, held_out).iloc[1:]

    with pytest.raises(ValueError, match="forgetful, random, fold 0"):
        out_of_fold_predictions(evaluation_data(), {"forgetful": forgetful}, ["random"])


def test_metrics_are_those_of_the_treated_wells() -> None:
    data = evaluation_data()
    predictions = out_of_fold_predictions(data, {"linear": linear_model(0.3)}, ["leave_metabolite_out"])
    table = ladder_metrics(predictions, data.wells, draws=10).set_index(["target", "metric"])["value"]
    treated = data.wells[~data.wells["is_dmso"]].set_index("well_id")
    own = predictions.set_index("well_id").loc[treated.index]
    assert table["cytotrace", "r2"] == pytest.approx(
        r2_score(treated["cytotrace"], own["pred_cytotrace"]), abs=1e-10
    )
    expected = roc_auc_score(treated["is_activated"], own["activation_probability"])
    assert table["is_activated", "auroc"] == pytest.approx(expected, abs=1e-10)


def test_a_clearly_better_model_is_called_better_and_its_mirror_worse() -> None:
    data = evaluation_data()
    models = {"good": linear_model(), "bad": linear_model(1.0)}
    predictions = out_of_fold_predictions(data, models, ["leave_metabolite_out"])
    for model, verdict, sign in (("good", "better", 1), ("bad", "worse", -1)):
        table = paired_differences(predictions, data.wells, model, draws=200).set_index(["target", "metric"])
        for metric in ("r2", "mae"):
            assert table.loc[("tscore", metric), "verdict"] == verdict
            assert np.sign(table["difference"]["tscore", metric]) == sign


def test_a_model_is_not_distinguishable_from_itself() -> None:
    data = evaluation_data()
    models = {"one": linear_model(0.5), "two": linear_model(0.5)}
    predictions = out_of_fold_predictions(data, models, ["random"])
    differences = paired_differences(predictions, data.wells, "one", draws=50)
    assert set(differences["verdict"]) == {"not distinguishable"}


def test_the_warning_says_in_words_where_the_transformer_is_not_above_a_plainer_model() -> None:
    data = evaluation_data()
    ladder = baseline_ladder(has_depth=True)
    models = {"pca_ridge": ladder["pca_ridge"], "transformer": linear_model(2.0)}
    predictions = out_of_fold_predictions(data, models, ["leave_metabolite_out"])
    sentences = warnings_in_words(paired_differences(predictions, data.wells, draws=200))
    assert any(
        sentence.startswith(
            "the Transformer is below PCA + ridge, the best, for tscore with metabolites held out: R² "
        )
        for sentence in sentences
    )


def test_the_best_model_is_named_with_how_far_it_lies_above_the_next() -> None:
    differences = pd.DataFrame(
        [
            ("tscore", "r2", "boosting", 0.09, 0.38),
            ("tscore", "r2", "pca_ridge", 0.09, 0.10),
            ("is_activated", "auroc", "boosting", 0.9, 0.85),
            ("is_activated", "auroc", "pca_ridge", 0.9, float("nan")),
        ],
        columns=["target", "metric", "other", "value", "other_value"],
    ).assign(scheme="leave_metabolite_out", model="transformer")
    assert best_in_words(differences) == [
        "tscore: boosting on genes is best, R² 0.380, 0.290 above the Transformer",
        "is_activated: the Transformer is best, AUROC 0.900, 0.050 above boosting on genes",
    ]


def test_no_warning_is_given_where_the_transformer_is_above_both() -> None:
    data = evaluation_data()
    ladder = baseline_ladder(has_depth=True)
    models = {"position_forest": ladder["position_forest"], "transformer": linear_model()}
    predictions = out_of_fold_predictions(data, models, ["leave_metabolite_out"], n_folds=2)
    assert warnings_in_words(paired_differences(predictions, data.wells, draws=200)) == []


def test_what_position_means_explain_is_gone_and_the_rest_is_the_least_squares_residual() -> None:
    wells = evaluation_data().wells
    generator = np.random.default_rng(0)
    values = generator.normal(size=(len(wells), 1))
    batch = wells["batch"]
    plate = batch + wells["plate"]
    indicators = pd.get_dummies(
        pd.DataFrame(
            {
                "row": plate + wells["row"],
                "column": plate + "c" + wells["column"].astype(str),
                "position": batch + wells["row"] + wells["column"].astype(str),
            }
        ),
        dtype=float,
    ).to_numpy()
    expected = values - indicators @ np.linalg.lstsq(indicators, values, rcond=None)[0]
    # The alternating projections stop at 1e-10 a step.
    np.testing.assert_allclose(without_position(values, wells), expected, atol=1e-7)


def test_a_model_that_knows_only_the_position_has_nothing_left_within_plates() -> None:
    data = evaluation_data("confounded", plates=4)
    forest = baseline_ladder(has_depth=False)["position_forest"]
    models = {"position_forest": forest, "linear": linear_model()}
    predictions = out_of_fold_predictions(data, models, ["leave_metabolite_out"], n_folds=3)
    table = ladder_metrics(predictions, data.wells, draws=20).set_index(["model", "target", "metric"])[
        "value"
    ]
    assert table["position_forest", "tscore", "r2"] > 0.5
    assert table["position_forest", "tscore", RESIDUAL_METRIC] < 0.1
    assert table["linear", "tscore", RESIDUAL_METRIC] > 0.5


def test_the_ladder_holds_every_rung_and_says_nothing_of_depth_it_does_not_know() -> None:
    rungs = ["mean", "position_forest", "depth_only", "pca_ridge", "pca_forest", "nearest_neighbours"]
    rungs += ["boosting", "kernel_ridge", "small_network"]
    assert list(baseline_ladder(has_depth=True)) == rungs
    assert "depth_only" not in baseline_ladder(has_depth=False)


def test_models_that_read_expression_beat_those_that_do_not() -> None:
    data = evaluation_data()
    predictions = out_of_fold_predictions(
        data, baseline_ladder(has_depth=True), ["leave_metabolite_out"], n_folds=2
    )
    table = ladder_metrics(predictions, data.wells, draws=2).set_index(["model", "target", "metric"])["value"]
    blind = max(table[model, "tscore", "r2"] for model in ("mean", "position_forest", "depth_only"))
    reading = ("pca_ridge", "pca_forest", "nearest_neighbours", "boosting", "kernel_ridge", "small_network")
    for model in reading:
        assert table[model, "tscore", "r2"] > blind + 0.3
        assert table[model, "is_activated", "auroc"] > 0.8


def test_an_evaluation_that_was_stopped_goes_on_with_the_same_result(tmp_path: Path) -> None:
    data = evaluation_data()
    rungs = baseline_ladder(has_depth=True)
    ladder = {name: rungs[name] for name in ("mean", "pca_ridge", "pca_forest")}
    whole = out_of_fold_predictions(data, ladder, ["leave_metabolite_out"], n_folds=3)
    seen: list[tuple[str, str, int]] = []

    def stop_at_the_fifth(scheme: str, model: str, fold: int) -> None:
        seen.append((scheme, model, fold))
        if len(seen) == 5:
            raise KeyboardInterrupt

    fitted: list[str] = []

    def counted(name: str) -> FitPredict:
        def fit_predict(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
            fitted.append(name)
            return ladder[name](training, held_out)

        return fit_predict

    with pytest.raises(KeyboardInterrupt):
        out_of_fold_predictions(
            data,
            ladder,
            ["leave_metabolite_out"],
            n_folds=3,
            on_progress=stop_at_the_fifth,
            kept=KeptFrames(tmp_path, "work"),
        )
    kept = KeptFrames(tmp_path, "work")
    assert len(kept) == 4
    again = {name: counted(name) for name in ladder}
    resumed = out_of_fold_predictions(data, again, ["leave_metabolite_out"], n_folds=3, kept=kept)
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert len(fitted) == 5


def test_fits_of_other_work_or_in_a_torn_file_are_not_taken(tmp_path: Path) -> None:
    kept = KeptFrames(tmp_path, "work")
    kept["random-1-mean"] = pd.DataFrame({"pred_tscore": [0.5]}, index=pd.Index(["w1"], name="well_id"))
    pd.testing.assert_frame_equal(KeptFrames(tmp_path, "work")["random-1-mean"], kept["random-1-mean"])
    (torn,) = kept.folder.iterdir()
    torn.write_bytes(torn.read_bytes()[:50])
    assert kept.get("random-1-mean") is None
    assert len(KeptFrames(tmp_path, "other work")) == 0
    assert not kept.folder.exists(), "what other work left is deleted"


def test_a_target_that_no_training_well_has_is_not_scored() -> None:
    data = evaluation_data()
    unlabelled = EvaluationData(data.wells.assign(is_activated=None), data.expression_fitted_on, data.depth)
    ridge = {"pca_ridge": baseline_ladder(has_depth=False)["pca_ridge"]}
    predictions = out_of_fold_predictions(unlabelled, ridge, ["leave_metabolite_out"])
    assert predictions["activation_probability"].isna().all()
    assert "is_activated" not in set(ladder_metrics(predictions, unlabelled.wells, draws=2)["target"])
