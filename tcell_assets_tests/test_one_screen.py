"""One screen from landing folder to ranking: every asset, its lineage, and what a bad batch leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.defs.metadata import plain_metadata
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.model.trained_model import load_model
from tcell_assets_tests.small_screen import GENES, configuration_in, simulate_into, train

# Integrated Gradients cost about 50 times a scoring, and are made for those who ask for them.
ON_DEMAND = ("integrated_gradients", "attributed_wells", "gene_attributions")
BATCH_ASSETS = [asset for asset, table in TABLES.items() if table.partitioned and asset not in ON_DEMAND]
WELL_ASSETS = [asset for asset in BATCH_ASSETS if TABLES[asset].key == ("well_id",)]
MODEL_ASSETS = ["well_predictions", "latent_embeddings", "dmso_distances", "gene_importance"]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two batches through ingest, train, score and screen."""
    configuration = configuration_in(tmp_path_factory.mktemp("screen"))
    simulate_into(configuration.data)
    with open_platform(configuration) as platform:
        for batch in platform.register_landed_batches():
            platform.run("ingest", batch)
        train(platform)
        for batch in ("tc1", "tc2"):
            platform.run("score", batch)
        platform.run("screen")
        yield platform


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Platform]:
    """An empty installation."""
    with open_platform(configuration_in(tmp_path)) as platform:
        yield platform


def test_every_table_lies_in_the_lake_with_a_row_for_every_well_or_gene(screened: Platform) -> None:
    lake = screened.storage.lake()
    for asset in BATCH_ASSETS:
        assert lake.batches(asset) == ["tc1", "tc2"], asset
    for batch in ("tc1", "tc2"):
        for asset in WELL_ASSETS:
            assert len(lake.read(asset, batch)) == 96, asset
        assert len(lake.read("gene_importance", batch)) == GENES
        assert len(lake.read("plate_qc", batch)) == 1
        assert len(lake.read("count_matrix", batch)) == 0, "the batches landed as VST"
    assert set(lake.read("training_history")["split"]) == {"train", "val"}
    assert len(lake.read("gene_importance_ranking")) == GENES


def test_files_downstream_of_the_model_name_it_and_the_content_it_was_trained_on(screened: Platform) -> None:
    lake, models = screened.storage.lake(), screened.storage.models()
    trained_on = {batch: lake.batch_hash(batch) for batch in ("tc1", "tc2")}
    for asset in MODEL_ASSETS:
        lineage = lake.lineage(asset, "tc1")
        assert lineage.model_version == models.current(), asset
        assert lineage.training_batches == trained_on, asset
        assert screened.instance.get_run_by_id(lineage.run_id) is not None, asset
    for asset in ("metabolite_scores", "gene_importance_ranking", "training_history"):
        assert lake.lineage(asset).model_version == models.current(), asset


def test_dagster_and_the_footer_agree_on_the_data_version(screened: Platform) -> None:
    lake = screened.storage.lake()
    for asset in BATCH_ASSETS:
        record = screened.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=["tc1"]), limit=1
        ).records[0]
        tags = record.asset_materialization.tags or {}  # type: ignore[union-attr]
        assert tags["dagster/data_version"] == lake.lineage(asset, "tc1").data_version, asset


def test_the_files_of_a_batch_are_observed_with_their_content_hash(screened: Platform) -> None:
    record = screened.instance.fetch_observations(dg.AssetKey("plate_files"), limit=1).records[0]
    observation = record.event_log_entry.asset_observation
    assert observation is not None
    assert set(plain_metadata(observation.metadata)["files"]) == {
        "expression.parquet",
        "plate_map.csv",
        "targets.csv",
    }
    assert observation.data_version == observation.metadata["content_hash"].value


def test_distances_follow_the_formula_with_each_dmso_well_left_out_of_its_own_centre(
    screened: Platform,
) -> None:
    lake = screened.storage.lake()
    latents = lake.read("latent_embeddings", "tc1")[list(LATENT_COLUMNS)].to_numpy(dtype=np.float64)
    distances = lake.read("dmso_distances", "tc1")
    is_dmso = distances["is_dmso"].to_numpy()
    for row in range(len(latents)):
        others = is_dmso.copy()
        others[row] = False
        centre = latents[others].mean(axis=0)
        euclidean = np.linalg.norm(latents[row] - centre)
        cosine = 1 - latents[row] @ centre / np.linalg.norm(latents[row]) / np.linalg.norm(centre)
        # float64 on both sides, sums in another order
        assert distances["euclidean"][row] == pytest.approx(euclidean, rel=1e-9)
        assert distances["cosine"][row] == pytest.approx(cosine, abs=1e-9)


def test_the_screen_reference_takes_the_dmso_wells_of_every_batch(screened: Platform) -> None:
    config = {"ops": {"dmso_distances": {"config": {"reference": "screen", "leave_one_out": False}}}}
    screened.run("score", "tc2", config, selection=["dmso_distances"])
    lake = screened.storage.lake()
    latents = pd.concat([lake.read("latent_embeddings", batch) for batch in ("tc1", "tc2")])
    wells = pd.concat([lake.read("well_metadata", batch) for batch in ("tc1", "tc2")])
    z = latents[list(LATENT_COLUMNS)].to_numpy(dtype=np.float64)
    centre = z[wells["is_dmso"].to_numpy()].mean(axis=0)
    distances = lake.read("dmso_distances", "tc2")
    assert distances["reference_size"].unique().tolist() == [int(wells["is_dmso"].sum())]
    np.testing.assert_allclose(distances["euclidean"], np.linalg.norm(z[96:] - centre, axis=1), rtol=1e-9)
    screened.run("score", "tc2", selection=["dmso_distances"])


def test_the_gene_ranking_is_the_mean_over_all_wells(screened: Platform) -> None:
    lake = screened.storage.lake()
    first, second = (lake.read("gene_importance", batch).set_index("gene") for batch in ("tc1", "tc2"))
    total = first["importance"] * first["n_wells"] + second["importance"] * second["n_wells"]
    ranking = lake.read("gene_importance_ranking").set_index("gene")
    np.testing.assert_allclose(ranking["importance"], (total / 192).loc[ranking.index], rtol=1e-12)
    assert ranking["importance"].is_monotonic_decreasing


def test_metabolites_are_summed_over_batches_and_dmso_is_not_ranked(screened: Platform) -> None:
    lake = screened.storage.lake()
    scores = lake.read("metabolite_scores").set_index("metabolite")
    wells = pd.concat([lake.read("dmso_distances", batch) for batch in ("tc1", "tc2")])
    treated = wells[~wells["is_dmso"]]
    assert set(scores.index) == set(treated["metabolite"])
    for name, rows in list(treated.groupby("metabolite"))[:10]:
        metabolite = str(name)
        assert scores.loc[metabolite, "n_wells"] == len(rows)
        assert scores.loc[metabolite, "mean_euclidean"] == pytest.approx(rows["euclidean"].mean(), rel=1e-12)
        assert scores.loc[metabolite, "sd_euclidean"] == pytest.approx(
            rows["euclidean"].std(ddof=1), rel=1e-12
        )


def test_predictions_say_which_wells_the_model_has_seen(screened: Platform) -> None:
    lake = screened.storage.lake()
    predictions = pd.concat([lake.read("well_predictions", batch) for batch in ("tc1", "tc2")])
    model = load_model(screened.storage.models().folder(str(screened.storage.models().current())))
    assert (
        predictions.set_index("well_id")["split"].to_dict()
        == model.split.set_index("well_id")["split"].to_dict()
    )
    logit = predictions["activation_logit"].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(predictions["activation_probability"], 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_predictions_can_be_materialized_without_latents_and_importance(screened: Platform) -> None:
    before = screened.storage.lake().lineage("latent_embeddings", "tc1").run_id
    result = screened.run("score", "tc1", selection=["well_predictions"])
    made = {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert made == {"well_predictions"}
    assert screened.storage.lake().lineage("latent_embeddings", "tc1").run_id == before


def test_an_identical_rerun_gives_the_same_data_versions_and_the_same_model(screened: Platform) -> None:
    lake = screened.storage.lake()
    versions = {asset: lake.lineage(asset, "tc1").data_version for asset in BATCH_ASSETS}
    model = screened.storage.models().current()
    screened.run("ingest", "tc1")
    assert train(screened) == model
    screened.run("score", "tc1")
    assert {asset: lake.lineage(asset, "tc1").data_version for asset in BATCH_ASSETS} == versions


def test_a_batch_without_targets_is_scored_but_not_trained_on(screened: Platform) -> None:
    data = screened.configuration.data
    simulate_into(data, n_batches=1, batch_prefix="unlabelled", seed=7)
    (data / "unlabelled1" / "targets.csv").unlink()
    screened.register_landed_batches()
    screened.run("ingest", "unlabelled1")
    version = train(screened)
    manifest = screened.storage.models().manifest(version)
    assert set(manifest["batch_hashes"]) == {"tc1", "tc2"}
    screened.run("score", "unlabelled1")
    predictions = screened.storage.lake().read("well_predictions", "unlabelled1")
    assert set(predictions["split"]) == {"unseen"}
    assert predictions["tscore"].isna().all()


def test_a_bad_batch_fails_with_all_its_problems_and_leaves_nothing_behind(fresh: Platform) -> None:
    data = fresh.configuration.data
    simulate_into(data)
    plate_map = pd.read_csv(data / "tc1" / "plate_map.csv", keep_default_na=False)
    names = plate_map["well"].tolist()
    names[3], names[5] = "Z99", names[4]
    plate_map["well"] = names
    plate_map.to_csv(data / "tc1" / "plate_map.csv", index=False)
    fresh.register_landed_batches()
    with pytest.raises(RunFailedError) as failure:
        fresh.run("ingest", "tc1")
    assert "Z99" in str(failure.value)
    assert "plate_map.csv" in str(failure.value)
    assert "3 problems" in str(failure.value), (
        "the well, the doubled position, and the targets they leave behind"
    )
    fresh.run("ingest", "tc2")
    assert fresh.storage.lake().batches("well_metadata") == ["tc2"]
    assert fresh.storage.lake().batches("expression_matrix") == ["tc2"]
    failed = fresh.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert [run.tags["dagster/partition"] for run in failed] == ["tc1"]


def test_training_without_any_target_says_what_to_add(fresh: Platform) -> None:
    simulate_into(fresh.configuration.data, n_batches=1)
    (fresh.configuration.data / "tc1" / "targets.csv").unlink()
    fresh.register_landed_batches()
    fresh.run("ingest", "tc1")
    with pytest.raises(RunFailedError, match=r"no well has a target.*targets\.csv"):
        train(fresh)
    assert fresh.storage.models().versions() == []


def test_scoring_before_training_says_to_train(fresh: Platform) -> None:
    simulate_into(fresh.configuration.data, n_batches=1)
    fresh.register_landed_batches()
    fresh.run("ingest", "tc1")
    with pytest.raises(RunFailedError, match="no model is current"):
        fresh.run("score", "tc1")


def test_genes_a_batch_lacks_are_left_out_of_training_and_reported(fresh: Platform) -> None:
    data = fresh.configuration.data
    simulate_into(data)
    expression = pd.read_parquet(data / "tc2" / "expression.parquet")
    dropped = expression.columns[[5, 9]].tolist()
    expression.drop(columns=dropped).to_parquet(data / "tc2" / "expression.parquet", index=False)
    fresh.register_landed_batches()
    for batch in ("tc1", "tc2"):
        fresh.run("ingest", batch)
    version = train(fresh, epochs=1)
    manifest = fresh.storage.models().manifest(version)
    assert sorted(manifest["genes_left_out"]) == sorted(dropped)
    assert len(manifest["genes"]) == GENES - 2


def test_batches_that_share_too_few_genes_are_an_error_that_names_the_batch(fresh: Platform) -> None:
    data = fresh.configuration.data
    simulate_into(data)
    expression = pd.read_parquet(data / "tc2" / "expression.parquet")
    expression.drop(columns=expression.columns[1:12]).to_parquet(
        data / "tc2" / "expression.parquet", index=False
    )
    fresh.register_landed_batches()
    for batch in ("tc1", "tc2"):
        fresh.run("ingest", batch)
    with pytest.raises(RunFailedError, match=r"37 of 48 genes.*tc2 lacks 11"):
        train(fresh)


def test_nothing_in_storage_is_a_pickle(screened: Platform) -> None:
    storage = Path(screened.configuration.storage)
    suffixes = {
        path.suffix
        for folder in ("lake", "models")
        for path in (storage / folder).rglob("*")
        if path.is_file()
    }
    assert suffixes <= {".parquet", ".json", ".safetensors", ".lock"}
    for manifest in (storage / "models").glob("*/manifest.json"):
        json.loads(manifest.read_text())
