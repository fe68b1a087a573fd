"""`tcell import` and `tcell run` on the published sample sheet, its expression simulated to fit its scores."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file
from upath import UPath

from tcell_assets.cli import tcell
from tcell_assets.commands.drop_in import saved_model
from tcell_assets.lake.store import Lake
from tcell_assets.science.simulation.screen_simulation import simulate_expression_for

SAMPLE_SHEET = Path(__file__).parents[3] / "shared" / "real" / "tcell_screen_metadata"
LATENT = [f"Latent_{index}" for index in range(32)]

pytestmark = pytest.mark.skipif(
    not SAMPLE_SHEET.is_dir(), reason=f"the published sample sheet is not at {SAMPLE_SHEET}"
)


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(tcell, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder: the real sample sheet, and expression of 40 genes that fits it."""
    folder = tmp_path_factory.mktemp("published")
    for file in SAMPLE_SHEET.glob("*.csv"):
        shutil.copyfile(file, folder / file.name)
    scores = pd.read_csv(folder / "scores_3_z.csv")
    wells = pd.DataFrame(
        {
            "well_id": pd.read_csv(folder / "well_id.csv")["x"],
            "tscore": scores["Tscore_z"],
            "cytotrace": scores["cytoscore_z"],
            "pseudotime": scores["pseudotime_z"],
        }
    )
    simulate_expression_for(wells, n_genes=40).to_csv(folder / "expr_mat.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def results(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tcell run` writes in two epochs."""
    out = tmp_path_factory.mktemp("results")
    _run("run", "--data-dir", str(published), "--out_dir", str(out), "--epochs", "2", "--batch_size", "64")
    return out


def _csv(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, keep_default_na=False, na_values=[""])


def test_import_makes_two_batches_of_four_plates_with_every_value_in_place(
    published: Path, tmp_path: Path
) -> None:
    _run("import", str(published), "--data-folder", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tc1", "tc2"]
    for batch in ("tc1", "tc2"):
        plate_map = pd.read_csv(tmp_path / batch / "plate_map.csv", keep_default_na=False)
        assert plate_map.groupby("plate").size().to_dict() == dict.fromkeys(("A1", "A2", "B1", "B2"), 96)
        targets = pd.read_csv(tmp_path / batch / "targets.csv").set_index("well_id")
        source = pd.read_csv(published / "scores_3_z.csv").set_index(
            pd.read_csv(published / "well_id.csv")["x"]
        )
        expected = source.loc[targets.index]
        assert (targets["tscore"] == expected["Tscore_z"]).all()
        assert (targets["cytotrace"] == expected["cytoscore_z"]).all()
        assert (targets["pseudotime"] == expected["pseudotime_z"]).all()


def test_every_published_file_has_the_published_columns_first(results: Path) -> None:
    columns = {
        "well_activation_socres.csv": ["Well", "Metabolite", *LATENT, "LatentScore"],
        "well_activation_scores.csv": ["Well", "Metabolite", *LATENT, "LatentScore"],
        "metabolite_activation_scores.csv": ["Metabolite", "mean", "std", "N"],
        "well_predictions_results.csv": [
            "well_id", "metabolite", "label_cls", "Tscore_z", "CytoTRACE_z", "Pseudotime_z", "pred_Tscore",
            "pred_CytoTRACE", "pred_Pseudotime", "pred_activation", "latent_vector",
        ],
        "gene_importance_gradinput.csv": ["Gene", "GradInputImportance"],
        "latent_scores.csv": ["Well", "Meta", "Latent_Euclid", "Latent_Cosine"],
        "history_loss_detailed.csv": [
            "epoch", "train_total", "val_total", "train_mse", "train_bce", "train_reg", "val_mse", "val_bce", "val_reg",
        ],
        "gene_scaler.csv": ["gene", "mean", "std"],
    }  # fmt: skip
    for name, expected in columns.items():
        assert list(_csv(results, name).columns)[: len(expected)] == expected, name
    assert (results / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


def test_wells_and_their_targets_stand_as_in_the_input(published: Path, results: Path) -> None:
    predictions = _csv(results, "well_predictions_results.csv")
    scores = pd.read_csv(published / "scores_3_z.csv")
    assert predictions["well_id"].tolist() == pd.read_csv(published / "well_id.csv")["x"].tolist()
    metabolites = pd.read_csv(published / "meta_id.csv", keep_default_na=False)["x"].tolist()
    assert predictions["metabolite"].tolist() == metabolites
    assert predictions["label_cls"].tolist() == pd.read_csv(published / "labels_cls.csv")["x"].tolist()
    np.testing.assert_array_equal(predictions["Tscore_z"], scores["Tscore_z"])
    np.testing.assert_array_equal(predictions["CytoTRACE_z"], scores["cytoscore_z"])
    np.testing.assert_array_equal(predictions["Pseudotime_z"], scores["pseudotime_z"])


def test_distances_are_the_published_ones_to_the_mean_of_all_dmso_wells(results: Path) -> None:
    wells = _csv(results, "well_activation_scores.csv")
    latents = wells[LATENT].to_numpy()
    centre = latents[wells["Metabolite"] == "DMSO"].mean(axis=0)
    cosine = 1 - latents @ centre / np.linalg.norm(latents, axis=1) / np.linalg.norm(centre)
    distances = _csv(results, "latent_scores.csv")
    # The latents are printed as float32: 7 digits.
    np.testing.assert_allclose(
        distances["Latent_Euclid"], np.linalg.norm(latents - centre, axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(distances["Latent_Cosine"], cosine, atol=1e-6)


def test_scores_of_wells_and_metabolites_are_the_published_ones(results: Path) -> None:
    wells = _csv(results, "well_activation_scores.csv")
    np.testing.assert_allclose(wells["LatentScore"], np.linalg.norm(wells[LATENT], axis=1), rtol=1e-5)
    scores = _csv(results, "metabolite_activation_scores.csv")
    assert len(scores) == 365
    assert scores["mean"].is_monotonic_decreasing
    by_name = scores.set_index("Metabolite")
    for name in ("DMSO", "NAD+", "2,6-Diaminoheptanedioic acid"):
        norms = wells.loc[wells["Metabolite"] == name, "LatentScore"]
        assert by_name.loc[name, "N"] == len(norms)
        assert by_name.loc[name, "mean"] == pytest.approx(norms.mean(), rel=1e-6)
        assert by_name.loc[name, "std"] == pytest.approx(norms.std(ddof=1), rel=1e-4)


def test_the_latent_vector_is_a_list_as_text(results: Path) -> None:
    vectors = _csv(results, "well_predictions_results.csv")["latent_vector"].map(ast.literal_eval)
    np.testing.assert_allclose(
        np.array(vectors.tolist()), _csv(results, "well_activation_scores.csv")[LATENT], rtol=1e-5
    )


def test_history_adds_up_and_the_scaler_is_that_of_the_training_wells(published: Path, results: Path) -> None:
    history = _csv(results, "history_loss_detailed.csv")
    assert history["epoch"].tolist() == [1, 2]
    for split in ("train", "val"):
        total = history[f"{split}_mse"] + history[f"{split}_bce"] + 0.2 * history[f"{split}_reg"]
        np.testing.assert_allclose(history[f"{split}_total"], total, rtol=1e-5)
    predictions = _csv(results, "well_predictions_results.csv")
    expression = pd.read_csv(published / "expr_mat.csv")[(predictions["split"] == "train").to_numpy()]
    scaler = _csv(results, "gene_scaler.csv").set_index("gene")
    np.testing.assert_allclose(scaler["mean"], expression[scaler.index].mean(), rtol=1e-6)
    np.testing.assert_allclose(scaler["std"], expression[scaler.index].std(ddof=0), rtol=1e-5)


def test_best_and_last_models_are_safetensors_and_differ_when_the_best_epoch_is_not_the_last(
    results: Path,
) -> None:
    best, last = (load_file(results / f"model_{name}.safetensors") for name in ("best", "last"))
    assert (results / "model.safetensors").read_bytes() == (results / "model_best.safetensors").read_bytes()
    is_best_last = bool(_csv(results, "history_loss_detailed.csv")["is_best"].iloc[-1])
    same = all((best[name] == last[name]).all() for name in best)
    assert same == is_best_last


def test_the_tables_behind_the_files_lie_in_the_lake_of_the_output_folder(results: Path) -> None:
    lake = Lake(UPath(results / "storage" / "lake"))
    for asset in (
        "well_metadata",
        "expression_matrix",
        "well_predictions",
        "latent_embeddings",
        "dmso_distances",
    ):
        assert lake.batches(asset) == ["tc1", "tc2"], asset
    assert lake.read("dmso_distances", "tc1")["reference_size"].unique().tolist() == [40]


@pytest.mark.slow
def test_skip_train_scores_with_the_saved_model_and_trains_nothing(
    published: Path, results: Path, tmp_path: Path
) -> None:
    model = str(results / "model.pt")  # the published name finds the safetensors beside it
    _run(
        "run", "--data-dir", str(published), "--out-dir", str(tmp_path), "--skip_train", "--model_path", model
    )
    for table in ("latent_scores.csv", "well_predictions_results.csv", "gene_importance_gradinput.csv"):
        assert (tmp_path / table).read_bytes() == (results / table).read_bytes(), table
    assert not (tmp_path / "history_loss_detailed.csv").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model_best.pt", "model_best.safetensors"])
def test_every_name_of_the_best_model_means_the_same_model(results: Path, name: str) -> None:
    assert saved_model(results / name) == saved_model(results / "model.pt")


def test_a_pickled_model_of_the_published_script_is_refused(published: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"\x80\x04")
    result = CliRunner().invoke(
        tcell,
        ["run", "--data-dir", str(published), "--out-dir", str(tmp_path), "--skip-train",
         "--model-path", str(tmp_path / "model.pt")],
    )  # fmt: skip
    assert result.exit_code != 0
    assert "Train once without --skip-train" in result.output
