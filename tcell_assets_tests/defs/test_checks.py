"""Checks: which candidate becomes current, which batch may be scored, and what is shown of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.defs.checks import promote_candidate
from tcell_assets.exports.report import screen_report
from tcell_assets.science.evaluation.model_comparison import comparison_wells, validation_loss
from tcell_assets.science.model.gene_summary import drift_from, looks_like, summarize_genes
from tcell_assets.science.model.new_data import DMSO, DRIFT, GENES, VALUES, examine_new_data
from tcell_assets.science.model.trained_model import Scale, TrainedModel, load_model
from tcell_assets.targets import TARGETS
from tcell_assets_tests.operations.small_installation import ingest, land, prepared_platform, score, train

WELLS = pd.Index([f"tc1_A1_A{number}" for number in range(1, 9)], name="well_id")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """An installation with two ingested batches and no model."""
    with prepared_platform(tmp_path, scored=False) as platform:
        yield platform


def _check(platform: Platform, asset: str, name: str, batch: str | None = None) -> dg.AssetCheckEvaluation:
    """Return the latest evaluation of a check, of one batch where it is named."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), name)
    for record in platform.instance.event_log_storage.get_asset_check_execution_history(key, limit=20):
        assert record.event is not None and record.event.dagster_event is not None
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        if batch is None or evaluation.partition == batch:
            return evaluation
    raise AssertionError(f"{name} was never evaluated for {batch}")


# Promotion


def test_the_first_model_becomes_current(platform: Platform) -> None:
    version = train(platform)
    assert platform.storage.models().current() == version
    assert _check(platform, "trained_model", "finite_losses").passed


def test_a_worse_candidate_stays_a_candidate_and_is_kept(platform: Platform) -> None:
    good = train(platform, epochs=6)
    assert train(platform, learning_rate=1e-9, validation_tolerance=0.0) == good
    models = platform.storage.models()
    assert len(models.versions()) == 2
    evaluation = _check(platform, "trained_model", "validation_loss_not_worse")
    assert not evaluation.passed
    worse = float(cast(float, evaluation.metadata["candidate_loss"].value))
    assert worse > float(cast(float, evaluation.metadata["current_loss"].value))
    models.promote(models.versions()[1], who="Ada", why="wanted all the same")
    assert models.current() != good


def test_a_model_that_has_learnt_nothing_is_promoted_only_when_asked_for(platform: Platform) -> None:
    untaught = {"learning_rate": 1e-9, "use_zscore": True, "linear_path": False}
    train(platform, promote_without_skill=False, **untaught)
    models = platform.storage.models()
    (version,) = models.versions()
    assert models.current() is None
    evaluation = _check(platform, "trained_model", "better_than_the_mean")
    assert not evaluation.passed
    assert evaluation.description is not None and "no better than the mean" in evaluation.description
    assert train(platform, promote_without_skill=True, **untaught) == version
    assert "asked for without skill" in models.promotions()[-1].why


def test_scores_and_report_of_a_model_that_has_learnt_nothing_say_so(platform: Platform) -> None:
    version = train(platform, learning_rate=1e-9, use_zscore=True, linear_path=False)
    score(platform, "tc1")
    scored = _check(platform, "well_predictions", "model_better_than_the_mean", "tc1")
    assert not scored.passed and scored.severity == dg.AssetCheckSeverity.WARN
    report = screen_report(platform.storage.lake(), platform.storage.models()).decode()
    assert f"{version} was no better than the mean on its" in report


def test_a_model_that_has_learnt_something_raises_no_doubt(platform: Platform) -> None:
    train(platform, preset="recommended", promote_without_skill=False)
    assert platform.storage.models().current() is not None
    score(platform, "tc1")
    assert _check(platform, "well_predictions", "model_better_than_the_mean", "tc1").passed
    report = screen_report(platform.storage.lake(), platform.storage.models()).decode()
    assert "has learnt nothing" not in report


def test_the_tolerance_is_configuration(platform: Platform) -> None:
    good = train(platform, epochs=6)
    assert train(platform, learning_rate=1e-9, validation_tolerance=10.0) != good


def test_compared_losses_are_those_that_training_itself_reported(platform: Platform) -> None:
    """Training computes them in torch batch by batch; the comparison from the prediction table."""
    versions = [train(platform), train(platform, epochs=2, validation_tolerance=10.0)]
    evaluation = _check(platform, "trained_model", "validation_loss_not_worse")
    for name, version in zip(("current_loss", "candidate_loss"), versions, strict=True):
        model = load_model(platform.storage.models().folder(version))
        reported = model.history.query("is_best and split == 'val'")["total"].item()
        assert evaluation.metadata[name].value == pytest.approx(reported, rel=1e-5)


def test_the_loss_is_the_training_loss_by_hand() -> None:
    wells = pd.DataFrame(
        {
            "well_id": ["a", "b"],
            "tscore": [1.0, np.nan],
            "cytotrace": [0.0, 2.0],
            "pseudotime": [np.nan, np.nan],
            "is_activated": [1.0, 0.0],
            "activation_score": [3.0, np.nan],
        }
    )
    predictions = pd.DataFrame(
        {
            "well_id": ["b", "a"],
            "pred_tscore": [9.0, 2.0],
            "pred_cytotrace": [1.0, 3.0],
            "pred_pseudotime": [0.0, 0.0],
            "activation_logit": [0.5, -1.0],
            "pred_activation": [0.0, 7.0],
        }
    )
    candidate = cast(
        TrainedModel,
        SimpleNamespace(
            targets=TARGETS,
            scales={"activation_score": Scale(5.0, 2.0)},
            settings=SimpleNamespace(activation_weight=0.2),
        ),
    )
    squared = (1.0 + 9.0 + 1.0) / 3
    entropy = (-np.log(1 / (1 + np.exp(1.0))) - np.log(1 - 1 / (1 + np.exp(-0.5)))) / 2
    expected = squared + entropy + 0.2 * (4.0 / 2.0) ** 2
    heads = ("tscore", "cytotrace", "pseudotime", "is_activated", "activation_score")
    assert validation_loss(predictions, wells, heads, candidate) == pytest.approx(expected, rel=1e-12)


def test_models_are_compared_on_wells_that_neither_was_trained_on() -> None:
    def model(splits: dict[str, str]) -> TrainedModel:
        split = pd.DataFrame({"well_id": list(splits), "split": list(splits.values())})
        return cast(TrainedModel, SimpleNamespace(split=split))

    candidate = model({f"w{number}": "val" for number in range(60)})
    current = model({f"w{number}": "train" for number in range(30)})
    wells, words = comparison_wells(candidate, current)
    assert wells == [f"w{number}" for number in range(30, 60)]
    assert "neither" in words
    few = model({f"w{number}": "train" for number in range(50)})
    assert len(comparison_wells(candidate, few)[0]) == 60


def test_a_replaced_model_is_not_brought_back_by_training_it_again(platform: Platform) -> None:
    first = train(platform)
    second = train(platform, epochs=2, validation_tolerance=10.0)
    assert train(platform, validation_tolerance=10.0) == second
    assert first in promote_candidate(platform.storage.models(), first, [])


# Guards


def test_missing_genes_are_named_and_nothing_is_scored(platform: Platform) -> None:
    train(platform)
    genes = load_model(platform.storage.models().folder(platform.storage.models().resolve(None))).genes
    land(platform.configuration.data, "tc3", change=lambda expression: expression.drop(columns=[genes[7]]))
    ingest(platform, "tc3")
    with pytest.raises(RunFailedError, match=rf"1 of the 64 genes of model .* are not measured: {genes[7]}"):
        score(platform, "tc3")
    assert not platform.storage.lake().exists("well_predictions", "tc3")
    assert not _check(platform, "well_predictions", GENES, "tc3").passed


def test_genes_in_another_order_are_matched_by_name(platform: Platform) -> None:
    train(platform)
    land(platform.configuration.data, "tc3", change=lambda expression: expression.iloc[:, ::-1])
    ingest(platform, "tc3")
    score(platform, "tc3")
    assert "matched by name" in str(_check(platform, "well_predictions", GENES, "tc3").description)


def test_values_beyond_any_vst_are_not_read(platform: Platform) -> None:
    land(platform.configuration.data, "tc3", change=lambda expression: expression * 100)
    with pytest.raises(RunFailedError, match="neither UMI counts nor VST"):
        ingest(platform, "tc3")


def test_a_drifted_batch_is_scored_with_a_warning_or_refused_where_wanted(platform: Platform) -> None:
    train(platform)
    land(platform.configuration.data, "tc3", change=lambda expression: expression + 2.0)
    ingest(platform, "tc3")
    score(platform, "tc3")
    evaluation = _check(platform, "well_predictions", DRIFT, "tc3")
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert float(cast(float, evaluation.metadata["drift"].value)) > 1.0
    with pytest.raises(RunFailedError, match=DRIFT):
        score(platform, "tc3", drift_blocks=True)


def test_a_batch_like_the_training_wells_has_not_drifted(platform: Platform) -> None:
    train(platform)
    land(platform.configuration.data, "tc3")
    ingest(platform, "tc3")
    score(platform, "tc3")
    assert _check(platform, "well_predictions", DRIFT, "tc3").passed


def _findings(is_dmso: list[bool], factor: float = 1.0) -> dict[str, Any]:
    """What is found of the training wells themselves, their values times `factor`."""
    generator = np.random.default_rng(5)
    values = generator.normal(5.0, 1.0, (8, 3))
    expression = pd.DataFrame(values * factor, index=WELLS, columns=["A", "B", "C"])
    model = cast(TrainedModel, SimpleNamespace(version="model-x", genes=("A", "B", "C")))
    reference = summarize_genes(values, ["A", "B", "C"], np.array([True] * 4 + [False] * 4))
    dmso = pd.Series(is_dmso, index=WELLS)
    found = examine_new_data(model, reference, ["A", "B", "C"], expression, dmso, drift_threshold=1.0)
    return {finding.guard: finding for finding in found}


def test_a_batch_without_usable_dmso_wells_is_refused() -> None:
    finding = _findings([False] * 8)[DMSO]
    assert finding.blocks
    assert not finding.passed


def test_values_of_another_kind_than_the_models_are_refused() -> None:
    finding = _findings([True] * 4 + [False] * 4, factor=100.0)[VALUES]
    assert finding.blocks
    assert not finding.passed
    assert "look like counts, the model was trained on vst" in finding.text


def test_a_model_without_a_summary_of_its_training_wells_says_so() -> None:
    model = cast(TrainedModel, SimpleNamespace(version="model-x", genes=("A",)))
    expression = pd.DataFrame({"A": np.zeros(8)}, index=WELLS)
    found = examine_new_data(model, None, ["A"], expression, pd.Series(True, index=WELLS), 1.0)
    drift = next(finding for finding in found if finding.guard == DRIFT)
    assert (drift.passed, drift.blocks) == (False, False)
    assert "train again" in drift.text


def test_drift_is_the_median_distance_of_gene_means_by_hand() -> None:
    generator = np.random.default_rng(7)
    training_values = generator.normal(5.0, 2.0, (300, 5))
    batch_values = training_values[:90] + np.array([0.0, 1.0, 2.0, 3.0, 40.0])
    genes = list("ABCDE")
    dmso = np.arange(300) % 3 == 0
    drift = drift_from(
        summarize_genes(training_values, genes, dmso), summarize_genes(batch_values, genes, dmso[:90])
    )
    deviations = training_values.std(axis=0)
    means = np.abs(batch_values.mean(axis=0) - training_values.mean(axis=0)) / deviations
    of_dmso = np.abs(batch_values[dmso[:90]].mean(axis=0) - training_values[dmso].mean(axis=0)) / deviations
    assert drift.gene_means == pytest.approx(np.median(means), rel=1e-9)
    assert drift.dmso_means == pytest.approx(np.median(of_dmso), rel=1e-9)
    assert drift.furthest_gene == "E"


def test_a_gene_that_never_varied_in_training_has_no_drift() -> None:
    values = np.column_stack([np.full(10, 3.0), np.arange(10.0)])
    training_summary = summarize_genes(values, ["still", "moving"], np.ones(10))
    batch = summarize_genes(values + np.array([5.0, 0.0]), ["still", "moving"], np.ones(10))
    assert drift_from(training_summary, batch).gene_means == 0.0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0.0, 3.0], [12.0, 1.0]], "counts"),
        ([[0.5, 900.25], [12.0, 1.0]], "counts"),
        ([[0.5, 9.25], [12.0, 1.0]], "vst"),
        ([[-1.0, 900.0], [12.0, 1.0]], "vst"),
    ],
)
def test_counts_are_told_from_vst(values: list[list[float]], kind: str) -> None:
    assert looks_like(summarize_genes(np.array(values), ["A", "B"], np.ones(2))) == kind


def test_a_summary_reads_only_the_rows_it_is_given() -> None:
    values = np.random.default_rng(1).normal(size=(600, 4)).astype(np.float32)
    rows = np.arange(0, 600, 2)
    summary = summarize_genes(values, list("ABCD"), np.arange(600) < 100, rows)
    chosen = values[rows].astype(np.float64)
    np.testing.assert_allclose(summary["mean"], chosen.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(summary["standard_deviation"], chosen.std(axis=0), atol=1e-12)
    np.testing.assert_allclose(summary["dmso_mean"], values[0:100:2].mean(axis=0, dtype=float), atol=1e-7)
    np.testing.assert_array_equal(summary["maximum"], chosen.max(axis=0))


# Stale predictions


def test_predictions_of_an_older_model_are_shown_as_stale_until_they_are_made_again(
    platform: Platform,
) -> None:
    first = train(platform)
    score(platform, "tc1")
    assert _check(platform, "well_predictions", "scored_by_current_model", "tc1").passed
    second = train(platform, epochs=2, validation_tolerance=10.0)
    (record,) = platform.instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey("well_predictions"), asset_partitions=["tc1"]), limit=5
    ).records
    assert record.asset_observation is not None
    shown = {name: value.value for name, value in record.asset_observation.metadata.items()}
    assert (shown["out_of_date"], shown["scored_by"], shown["current_model"]) == (True, first, second)
    score(platform, "tc1")
    assert _check(platform, "well_predictions", "scored_by_current_model", "tc1").passed


def test_a_run_may_score_with_a_named_model_and_is_shown_as_stale(platform: Platform) -> None:
    first = train(platform)
    train(platform, epochs=2, validation_tolerance=10.0)
    score(platform, "tc1", model_version=first)
    assert platform.storage.lake().lineage("well_predictions", "tc1").model_version == first
    assert not _check(platform, "well_predictions", "scored_by_current_model", "tc1").passed


def test_a_training_that_is_repeated_gives_the_same_version(platform: Platform) -> None:
    assert train(platform) == train(platform)
