"""A laboratory's own targets, declared in a file: landed, learnt, predicted, measured, explained, shown, exported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.exports.annotated_data import annotated_screen
from tcell_assets.exports.published import write_published_outputs
from tcell_assets.exports.report import screen_report
from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.problems import LandingError
from tcell_assets.science.model.scoring import ScoringError, resolve_head
from tcell_assets.science.model.trained_model import load_model
from tcell_assets_tests.small_screen import NARROW, configuration_in, simulate_into

pytestmark = pytest.mark.slow

DECLARED = """
targets:
  exhaustion:
    kind: regression
    description: exhaustion signature
    unit: arbitrary units
    spellings: [Tex score]
    weight: 0.5
  cycling:
    kind: binary
    classes: [quiescent, cycling]
"""
EVALUATION = {
    "schemes": ["random"],
    "n_folds": 2,
    "draws": 10,
    "training": {**NARROW, "epochs": 1},
}


def land_with_own_targets(data: Path) -> pd.DataFrame:
    """A small screen with two targets of the laboratory's own, spelled as a laboratory would; their values."""
    screen = simulate_into(data, n_batches=2)
    wells = screen.wells.assign(
        exhaustion=300 + 40 * (screen.wells["cytotrace"] - screen.wells["tscore"]),
        cycling=(screen.wells["cytotrace"] > 0).astype(int),
    )
    for batch, own in wells.groupby("batch"):
        path = data / str(batch) / "targets.csv"
        targets = pd.read_csv(path).merge(own[["well_id", "exhaustion", "cycling"]], on="well_id")
        targets.rename(columns={"exhaustion": "Tex_Score"}).to_csv(path, index=False)
    return wells.set_index("well_id")[["exhaustion", "cycling"]]


def run_every_stage_on(folder: str) -> None:
    """Ingest, train, evaluate, score and sum up; in a process that had the declaration when it started."""
    with open_platform(configuration_in(Path(folder))) as platform:
        batches = platform.register_landed_batches()
        for batch in batches:
            platform.run("ingest", batch)
        settings = {**NARROW, "epochs": 15, "learning_rate": 0.01, "linear_path": True}
        platform.run("train", config={"ops": {"train_model": {"config": settings}}})
        platform.run("evaluate", config={"ops": {"evaluate_models": {"config": EVALUATION}}})
        explained = {"ops": {"score_wells": {"config": {"importance_head": "exhaustion"}}}}
        for batch in batches:
            platform.run("score", batch, config=explained)
        platform.run("screen")


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, pd.DataFrame]]:
    """A screen with two declared targets, every stage run once; nothing but files was written for them."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "targets.yaml").write_text(DECLARED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TCELL_TARGETS", str(folder / "targets.yaml"))
        configuration = configuration_in(folder)
        values = land_with_own_targets(configuration.data)
        call = f"from {__name__} import run_every_stage_on; run_every_stage_on({str(folder)!r})"
        subprocess.run([sys.executable, "-c", call], check=True, cwd=Path(__file__).parents[1])
        with open_platform(configuration) as platform:
            yield platform, values


def current_model(platform: Platform) -> str:
    version = platform.storage.models().current()
    assert version is not None
    return version


def test_it_lands_under_any_of_its_spellings(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, values = declared
    wells = platform.storage.lake().read("well_metadata", "tc1").set_index("well_id")
    np.testing.assert_allclose(wells["exhaustion"], values.loc[wells.index, "exhaustion"])
    assert wells["cycling"].astype(int).tolist() == values.loc[wells.index, "cycling"].tolist()


def test_it_is_learnt_by_a_head_and_a_loss_of_its_own(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    history = platform.storage.lake().read("training_history").query("split == 'train'")
    for term in ("loss_exhaustion", "loss_cycling"):
        assert history[term].iloc[-1] < history[term].iloc[0]
    expected = history["mse"] + history["bce"] + 0.2 * history["reg"]
    expected += 0.5 * history["loss_exhaustion"] + history["loss_cycling"]
    np.testing.assert_allclose(history["total"], expected)


def test_it_is_predicted_in_its_own_unit(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    predictions = platform.storage.lake().read("well_predictions", "tc1")
    known = predictions[predictions["qc_pass"]]
    assert np.corrcoef(known["exhaustion"], known["pred_exhaustion"])[0, 1] > 0.2
    # The score lies around 300: a prediction left standardised would lie around 0.
    assert abs(known["pred_exhaustion"].mean() - known["exhaustion"].mean()) < known["exhaustion"].std()
    probability = 1 / (1 + np.exp(-known["logit_cycling"].astype(float)))
    np.testing.assert_allclose(known["pred_cycling"], probability, rtol=1e-5)


def test_it_is_measured_beside_the_published_targets(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    lake = platform.storage.lake()
    measured = lake.read("model_evaluation").groupby("target")["metric"].agg(set)
    assert measured["exhaustion"] == measured["tscore"]
    assert measured["cycling"] == measured["is_activated"]
    assert "exhaustion" in set(lake.read("prediction_intervals")["target"])
    predictions = lake.read("evaluation_predictions")
    assert predictions[["pred_exhaustion", "pred_cycling", "calibrated_cycling"]].notna().all(axis=None)


def test_genes_can_be_ranked_by_it(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    ranking = platform.storage.lake().read("gene_importance_ranking")
    assert set(ranking["head"]) == {"exhaustion"}
    assert (ranking["importance"] > 0).any()


def test_metabolites_are_scored_by_it(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    lake = platform.storage.lake()
    scores = lake.read("metabolite_scores").set_index("metabolite")
    wells = pd.concat([lake.read("well_predictions", batch) for batch in ("tc1", "tc2")])
    name = scores.index[scores["n_pred_exhaustion"] > 1][0]
    own = wells[(wells["metabolite"] == name) & wells["qc_pass"]]
    assert scores.loc[name, "mean_pred_exhaustion"] == pytest.approx(own["pred_exhaustion"].mean(), rel=1e-6)


def test_the_report_shows_it(declared: tuple[Platform, pd.DataFrame]) -> None:
    platform, _ = declared
    report = screen_report(platform.storage.lake(), platform.storage.models()).decode()
    assert '"exhaustion":{"label":"exhaustion: exhaustion signature, in arbitrary units"' in report
    assert '"pred_exhaustion":{"label":' in report
    assert "quiescent (false) or cycling (true)" in report


def test_the_exports_hold_it(declared: tuple[Platform, pd.DataFrame], tmp_path: Path) -> None:
    platform, _ = declared
    lake, models = platform.storage.lake(), platform.storage.models()
    observed = annotated_screen(lake, models, with_umap=False).obs
    assert {"exhaustion", "pred_exhaustion", "cycling", "pred_cycling"} <= set(observed.columns)

    folder = models.folder(current_model(platform))
    order = lake.read("well_metadata", "tc1")["well_id"].tolist()
    write_published_outputs(lake, load_model(folder), folder, ["tc1"], order, tmp_path, trained=True)
    header = pd.read_csv(tmp_path / "well_predictions_results.csv").columns.tolist()
    beyond = ["exhaustion", "cycling", "pred_exhaustion", "logit_cycling", "pred_cycling"]
    assert header[-len(beyond) :] == beyond, "new columns follow the published ones"
    losses = pd.read_csv(tmp_path / "history_loss_detailed.csv")
    assert {"train_loss_exhaustion", "val_loss_exhaustion"} <= set(losses.columns)


def test_a_model_goes_by_its_own_targets_when_they_are_declared_no_more(
    declared: tuple[Platform, pd.DataFrame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    platform, _ = declared
    lake = platform.storage.lake()
    before = lake.read("well_predictions", "tc1")
    (tmp_path / "targets.yaml").write_text("targets: {}\n")
    monkeypatch.setenv("TCELL_TARGETS", str(tmp_path / "targets.yaml"))

    assert "exhaustion" in lake.read("well_metadata", "tc1"), "what lies in the lake stays readable"
    lake.verify("well_predictions", "tc1")
    platform.run("score", "tc1")
    pd.testing.assert_frame_equal(lake.read("well_predictions", "tc1")[before.columns], before)
    assert screen_report(lake, platform.storage.models())


def test_a_target_declared_as_another_kind_than_the_model_learnt_is_refused(
    declared: tuple[Platform, pd.DataFrame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    platform, _ = declared
    (tmp_path / "targets.yaml").write_text("targets:\n  exhaustion: {kind: binary}\n")
    monkeypatch.setenv("TCELL_TARGETS", str(tmp_path / "targets.yaml"))
    with pytest.raises(
        RunFailedError, match=r"learnt exhaustion as regression|types of its columns are not those of table"
    ):
        platform.run("score", "tc1")


def test_tables_and_models_from_before_a_declaration_go_on(
    declared: tuple[Platform, pd.DataFrame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    platform, _ = declared
    (tmp_path / "targets.yaml").write_text(f"{DECLARED}  memory: {{kind: regression}}\n")
    monkeypatch.setenv("TCELL_TARGETS", str(tmp_path / "targets.yaml"))
    lake = platform.storage.lake()

    assert lake.read("well_metadata", "tc1")["memory"].isna().all()
    assert lake.read("well_metadata", "tc1", ["well_id", "memory"])["memory"].isna().all()
    lake.verify("well_metadata", "tc1")
    for batch in ("tc1", "tc2"):
        platform.run("score", batch)
        assert lake.read("well_predictions", batch)["pred_memory"].isna().all()
    platform.run("screen")
    scores = lake.read("metabolite_scores")
    assert scores["mean_pred_memory"].isna().all()
    assert (scores["n_pred_memory"] == 0).all()
    model = load_model(platform.storage.models().folder(current_model(platform)))
    with pytest.raises(ScoringError, match="'memory' was declared after this model was trained"):
        resolve_head(model, "memory")


def test_a_score_that_nobody_declared_is_refused_and_the_declaration_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "targets.yaml").write_text(DECLARED)
    monkeypatch.setenv("TCELL_TARGETS", str(tmp_path / "targets.yaml"))
    land_with_own_targets(tmp_path / "data")
    assert read_batch(tmp_path / "data" / "tc1").wells["exhaustion"].notna().all()
    monkeypatch.delenv("TCELL_TARGETS")
    with pytest.raises(LandingError, match=r"unknown score column 'Tex_Score'.*declare it in targets\.yaml"):
        read_batch(tmp_path / "data" / "tc1")
