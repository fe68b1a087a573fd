"""Counts from landing to scores: a fit frozen with the model, and failed wells that count nowhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.commands.simulate import write_screen
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.simulation.screen_simulation import (
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)
from tcell_assets_tests.small_screen import configuration_in, train

MACSEQ = Path(__file__).parents[2] / "shared" / "real" / "macseq_plate"
MODELLED = 40


def _land(platform: Platform, **settings: object) -> SimulatedScreen:
    screen = simulate_screen(SimulationSettings(n_genes=48, n_plates=1, **settings))  # type: ignore[arg-type]
    write_screen(screen, platform.configuration.data, counts=True, replace=True)
    platform.register_landed_batches()
    for batch in sorted(screen.wells["batch"].unique()):
        platform.run("ingest", batch)
    return screen


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, SimulatedScreen]]:
    """A screen of counts with dead wells, trained on and scored."""
    with open_platform(configuration_in(tmp_path_factory.mktemp("counts"))) as platform:
        screen = _land(platform, preset="dead_wells", n_batches=2)
        train(platform, n_genes=MODELLED)
        for batch in ("tc1", "tc2"):
            platform.run("score", batch)
        yield platform, screen


def test_counts_are_kept_whole_and_become_finite_expression(
    counted: tuple[Platform, SimulatedScreen],
) -> None:
    platform, screen = counted
    lake = platform.storage.lake()
    for batch in ("tc1", "tc2"):
        rows = (screen.wells["batch"] == batch).to_numpy()
        assert lake.read("count_matrix", batch)["count"].sum() == screen.counts[rows].sum()
        assert np.isfinite(lake.expression(batch).to_numpy()).all()


def test_the_fit_lies_with_the_model_and_knows_training_wells_only(
    counted: tuple[Platform, SimulatedScreen],
) -> None:
    platform, _ = counted
    folder = platform.storage.models().folder(str(platform.storage.models().current()))
    fit = json.loads((folder / "variance_stabilization.json").read_text())
    split = pd.read_parquet(str(folder / "split.parquet"))
    assert len(fit["modelled_genes"]) == MODELLED
    assert fit["n_fit_wells"] == (split["split"] == "train").sum()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["genes"]) == sorted(fit["modelled_genes"])


def test_dead_wells_enter_no_training_no_centre_and_no_score_and_their_rows_say_so(
    counted: tuple[Platform, SimulatedScreen],
) -> None:
    platform, screen = counted
    lake = platform.storage.lake()
    dead = set(screen.well_truth.loc[screen.well_truth["is_dead"], "well_id"])
    quality = pd.concat([lake.read("well_qc", batch) for batch in ("tc1", "tc2")]).set_index("well_id")
    assert dead
    assert set(quality.index[~quality["qc_pass"]]) == dead
    assert (quality.loc[sorted(dead), "qc_reason"].str.len() > 10).all()
    model = platform.storage.models().folder(str(platform.storage.models().current()))
    assert not dead & set(pd.read_parquet(str(model / "split.parquet"))["well_id"])
    for batch in ("tc1", "tc2"):
        latents = lake.read("latent_embeddings", batch)[list(LATENT_COLUMNS)].to_numpy(dtype=np.float64)
        distances = lake.read("dmso_distances", batch)
        usable_dmso = (distances["is_dmso"] & distances["qc_pass"]).to_numpy()
        treated = (~distances["is_dmso"]).to_numpy()
        expected = np.linalg.norm(latents - latents[usable_dmso].mean(axis=0), axis=1)
        np.testing.assert_allclose(distances["euclidean"][treated], expected[treated], rtol=1e-9)
        assert set(distances.loc[~distances["qc_pass"], "well_id"]) == dead & set(distances["well_id"])


def test_a_new_batch_is_read_with_the_frozen_fit(counted: tuple[Platform, SimulatedScreen]) -> None:
    platform, _ = counted
    folder = platform.storage.models().folder(str(platform.storage.models().current()))
    fit = json.loads((folder / "variance_stabilization.json").read_text())
    screen = _land(platform, preset="clean", n_batches=1, seed=5, batch_prefix="later")
    expression = platform.storage.lake().expression("later1")
    assert expression.columns.tolist() == fit["modelled_genes"]
    # The closed form by hand, for one gene of one well.
    well, gene = 7, fit["modelled_genes"][0]
    names = screen.vst.columns.tolist()
    counts = screen.counts[well].toarray().ravel()
    depth = counts[[names.index(name) for name in fit["genes"]]].sum()
    n, a0, a1 = counts[names.index(gene)] * fit["reference_depth"] / depth, fit["a0"], fit["a1"]
    expected = np.log2((1 + a1 + 2 * a0 * n + 2 * np.sqrt(a0 * n * (1 + a1 + a0 * n))) / (4 * a0))
    assert expression[gene].iloc[well] == pytest.approx(expected, rel=1e-6)
    platform.run("score", "later1")


def test_scoring_uses_the_models_own_fit_whatever_expression_was_stored_with(
    counted: tuple[Platform, SimulatedScreen],
) -> None:
    platform, _ = counted
    lake = platform.storage.lake()
    before = lake.read("well_predictions", "tc1")
    platform.run("ingest", "tc1")  # now stored with the model's fit; at first with a fit on the batch itself
    platform.run("score", "tc1")
    pd.testing.assert_frame_equal(lake.read("well_predictions", "tc1"), before, check_exact=False, rtol=1e-5)


def test_one_screen_is_stabilised_by_one_fit_and_its_training_renews_what_was_ingested_before(
    tmp_path: Path,
) -> None:
    """A batch at a quarter of the depth: each by its own fit it lies far from itself, by one fit near."""
    from tcell_assets.commands.jobs import renew_expression
    from tcell_assets.lake.judge import Judge
    from tcell_assets.lake.staleness import batches_of_other_fits

    with open_platform(configuration_in(tmp_path)) as platform:
        _land(platform, preset="clean", n_batches=2)
        lake, models = platform.storage.lake(), platform.storage.models()
        assert batches_of_other_fits(lake, models) == [], (
            "before the first model there is no fit of the screen"
        )
        train(platform, n_genes=MODELLED)
        assert batches_of_other_fits(lake, models) == ["tc1", "tc2"]
        reason = Judge(lake, models).reason("expression_matrix", "tc1")
        assert reason is not None
        assert reason.text == f"its counts are stabilised by another fit than that of {models.current()}"
        training_set = {batch: lake.batch_hash(batch) for batch in ("tc1", "tc2")}
        assert renew_expression(platform) == ["tc1", "tc2"]
        assert batches_of_other_fits(lake, models) == []
        assert Judge(lake, models).reason("expression_matrix", "tc1") is None
        fits = {
            lake.lineage("expression_matrix", batch).details["variance_stabilization"]
            for batch in ("tc1", "tc2")
        }
        assert fits == {models.fit_hash(str(models.current()))}
        assert {batch: lake.batch_hash(batch) for batch in ("tc1", "tc2")} == training_set, (
            "no model looks outdated by it"
        )


@pytest.mark.skipif(not MACSEQ.is_dir(), reason=f"the real plate is not at {MACSEQ}")
def test_a_real_plate_is_ingested_from_its_own_column_names(tmp_path: Path) -> None:
    with open_platform(configuration_in(tmp_path)) as platform:
        folder = platform.configuration.data / "macseq"
        folder.mkdir(parents=True)
        for name in ("counts.csv", "plate_map.csv"):
            shutil.copyfile(MACSEQ / name, folder / name)
        platform.register_landed_batches()
        platform.run("ingest", "macseq")
        lake = platform.storage.lake()
        wells = lake.read("well_metadata", "macseq").set_index("well_id")
        expression = lake.expression("macseq")
        assert len(wells) == len(expression) == 308
        assert np.isfinite(expression.to_numpy()).all()
        assert wells["is_dmso"].sum() == 19
        quality = lake.read("well_qc", "macseq").set_index("well_id")
        by_row = np.log(quality["total_umi"]).groupby(wells["row"]).median()
        assert by_row[list("CEGIKMO")].min() > by_row[list("BDFHJLN")].max(), (
            "every second row is sequenced deeper"
        )
        centre = expression[wells["is_dmso"]].mean()
        distance = np.sqrt(((expression - centre) ** 2).sum(axis=1)).groupby(wells["metabolite"]).median()
        strongest = distance[[name for name in distance.index if name.startswith("Staurosporine 10")]].iloc[0]
        media = distance[[name for name in distance.index if name.lower().startswith("media")]].iloc[0]
        assert strongest > media
