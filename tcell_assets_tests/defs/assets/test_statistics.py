"""The statistics of a screen in the graph: hits, the latent map, correlations with the phenotype."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.conditions import is_treated
from tcell_assets_tests.small_screen import configuration_in, simulate_into, train

FEW_DRAWS = {
    "ops": {
        "hit_calls": {"config": {"draws": 2000}},
        "phenotype_correlation": {"config": {"draws": 50}},
    }
}
STATISTICS = [
    "hit_calls",
    "latent_map_axes",
    "latent_map_reference",
    "latent_map",
    "phenotype_correlation",
    "metabolite_scores",
]


def ingest_and_score(platform: Platform, batches: list[str]) -> None:
    """Read, train on and score every batch named."""
    platform.register_landed_batches()
    for batch in batches:
        platform.run("ingest", batch)
    train(platform)
    for batch in batches:
        platform.run("score", batch)


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two batches with their statistics."""
    configuration = configuration_in(tmp_path_factory.mktemp("statistics"))
    simulate_into(configuration.data)
    with open_platform(configuration) as platform:
        ingest_and_score(platform, ["tc1", "tc2"])
        platform.run("screen", config=FEW_DRAWS, selection=STATISTICS)
        yield platform


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A screen of one batch, in which no replicates can be compared."""
    configuration = configuration_in(tmp_path_factory.mktemp("single"))
    simulate_into(configuration.data, n_batches=1)
    with open_platform(configuration) as platform:
        ingest_and_score(platform, ["tc1"])
        platform.run("screen", config=FEW_DRAWS, selection=STATISTICS)
        yield platform


def wells_of(platform: Platform, asset: str) -> pd.DataFrame:
    """All batches of a table of wells, by well."""
    lake = platform.storage.lake()
    return pd.concat([lake.read(asset, batch) for batch in lake.batches(asset)]).set_index("well_id")


def test_every_metabolite_is_called_in_every_feature_space_with_a_reason(screened: Platform) -> None:
    calls = screened.storage.lake().read("hit_calls")
    metadata = wells_of(screened, "well_metadata")
    # A blank cell or NA on a plate map is an empty well and is not called.
    treated = set(metadata.loc[is_treated(metadata), "metabolite"])
    for space in ("combined", "latent", "expression"):
        assert set(calls.loc[calls["feature_space"] == space, "metabolite"]) == treated
    assert (calls["reason"].str.len() > 20).all()


def test_the_replicate_statistic_is_the_product_of_both_batches_displacements_from_dmso(
    screened: Platform,
) -> None:
    metadata, quality = wells_of(screened, "well_metadata"), wells_of(screened, "well_qc")
    calls = screened.storage.lake().read("hit_calls").set_index(["feature_space", "metabolite"]).loc["latent"]
    usable = metadata[quality.loc[metadata.index, "qc_pass"]]
    for asset, column in (
        ("adjusted_embeddings", "replicate_statistic"),
        ("latent_embeddings", "replicate_statistic_unadjusted"),
    ):
        latents = wells_of(screened, asset)[list(LATENT_COLUMNS)].astype(np.float64)
        compared = 0
        for metabolite, wells in usable[~usable["is_dmso"]].groupby("metabolite"):
            if sorted(wells["batch"]) != ["tc1", "tc2"]:
                continue
            first, second = (
                latents.loc[wells.index[wells["batch"] == batch][0]]
                - latents.loc[usable.index[usable["is_dmso"] & (usable["batch"] == batch)]].mean()
                for batch in ("tc1", "tc2")
            )
            # float64 on both sides, sums in another order
            assert calls.loc[metabolite, column] == pytest.approx(first @ second, rel=1e-9, abs=1e-12)
            compared += 1
        assert compared > 50


def test_metabolites_are_ranked_as_they_are_called_by_the_combined_evidence(screened: Platform) -> None:
    lake = screened.storage.lake()
    calls = lake.read("hit_calls").set_index(["feature_space", "metabolite"]).loc["combined"]
    scores = lake.read("metabolite_scores").set_index("metabolite")
    assert scores["rank"].to_dict() == calls["rank"].to_dict()
    assert scores["hit_class"].to_dict() == calls["hit_class"].to_dict()
    assert set(scores["ranked_by"]) == {"hit_calls"}


def test_the_combined_p_is_the_cauchy_combination_of_the_feature_sets_that_stand_beside_it(
    screened: Platform,
) -> None:
    calls = screened.storage.lake().read("hit_calls")
    calls = calls[calls["feature_space"] == "combined"]
    sets = [
        str(name)
        for name in calls
        if str(name).startswith(("p_components", "p_robust", "p_learnt", "p_latent"))
    ]
    known = calls.dropna(subset=sets)
    assert len(sets) == 7
    assert len(known) > 50
    mean = np.tan((0.5 - np.minimum(known[sets].to_numpy(), 0.999)) * np.pi).mean(axis=1)
    # The distribution function of the Cauchy distribution by hand.
    np.testing.assert_allclose(known["p_replicate"], 0.5 - np.arctan(mean) / np.pi, rtol=1e-9)


def test_a_screen_of_one_batch_calls_nothing_and_says_why(single: Platform) -> None:
    calls = single.storage.lake().read("hit_calls")
    assert set(calls["hit_class"]) == {"inconclusive"}
    assert calls["reason"].str.contains("usable replicate").all()
    assert calls["p_replicate"].isna().all()


def test_a_screen_of_one_batch_is_ranked_by_distance_and_says_so(single: Platform) -> None:
    scores = single.storage.lake().read("metabolite_scores")
    assert set(scores["ranked_by"]) == {"mean_euclidean"}
    ranked = scores.dropna(subset="rank")
    assert ranked["mean_euclidean"].is_monotonic_decreasing


def test_the_check_of_a_screen_of_one_batch_warns_that_nothing_can_be_called(single: Platform) -> None:
    result = single.run("screen", config=FEW_DRAWS, selection=["hit_calls"])
    (check,) = [item for item in result.get_asset_check_evaluations() if item.asset_key.path == ["hit_calls"]]
    assert not check.passed
    assert "nothing can be called" in str(check.description)


def test_map_coordinates_are_the_projection_on_the_stored_axes(screened: Platform) -> None:
    lake = screened.storage.lake()
    axes = lake.read("latent_map_axes").set_index("feature")
    latents = wells_of(screened, "latent_embeddings")
    wells = lake.read("latent_map").set_index("well_id")
    for axis in ("pca_1", "pca_2"):
        z = latents.loc[wells.index, list(LATENT_COLUMNS)].to_numpy(dtype=np.float64)
        means, loadings = (axes.loc[list(LATENT_COLUMNS), name].to_numpy() for name in ("mean", axis))
        np.testing.assert_allclose(wells[axis], (z - means) @ loadings, rtol=1e-9, atol=1e-12)


def test_the_map_is_fitted_on_usable_wells_only_and_shows_every_well(screened: Platform) -> None:
    wells = screened.storage.lake().read("latent_map")
    assert len(wells) == 192
    assert wells["is_reference"].equals(wells["qc_pass"])


def test_a_new_batch_is_projected_and_does_not_move_the_map(single: Platform) -> None:
    lake = single.storage.lake()
    before = lake.lineage("latent_map_axes").data_version
    simulate_into(single.configuration.data, n_batches=1, batch_prefix="later", seed=7)
    single.register_landed_batches()
    for job in ("ingest", "score"):
        single.run(job, "later1")
    single.run("screen", config=FEW_DRAWS, selection=STATISTICS)
    assert lake.lineage("latent_map_axes").data_version == before
    wells = lake.read("latent_map")
    assert set(wells["batch"]) == {"tc1", "later1"}
    assert not wells.loc[wells["batch"] == "later1", "is_reference"].any()


def test_correlations_with_the_scores_are_those_of_pandas(screened: Platform) -> None:
    distances, metadata = wells_of(screened, "dmso_distances"), wells_of(screened, "well_metadata")
    counted = ~distances["is_dmso"] & distances["qc_pass"]
    table = screened.storage.lake().read("phenotype_correlation")
    table = table[~table["adjusted"]].set_index(["quantity", "target"])
    for target in ("tscore", "cytotrace", "pseudotime"):
        pair = distances.loc[counted, ["euclidean"]].join(metadata[target]).dropna()
        for kind in ("pearson", "spearman"):
            expected = pair["euclidean"].corr(pair[target], method=kind)
            assert table.loc[("euclidean", target), kind] == pytest.approx(expected, abs=1e-9)


def test_statistics_of_latents_of_two_models_are_refused(screened: Platform) -> None:
    screened.run("screen", config=FEW_DRAWS, selection=["hit_calls"])
    older = screened.storage.models().current()
    train(screened, seed=1)
    newer = str(screened.storage.models().current())
    assert newer != older
    for batch in ("tc1", "tc2"):
        screened.run("score", batch)
    with pytest.raises(RunFailedError, match=f"hit_calls was made by model {older}.*whole screen job"):
        screened.run("screen", selection=["metabolite_scores"])


def test_rerunning_the_statistics_gives_the_same_content(screened: Platform) -> None:
    lake = screened.storage.lake()
    screened.run("screen", config=FEW_DRAWS, selection=STATISTICS)
    versions = {asset: lake.lineage(asset).data_version for asset in STATISTICS}
    screened.run("screen", config=FEW_DRAWS, selection=STATISTICS)
    assert {asset: lake.lineage(asset).data_version for asset in STATISTICS} == versions


def test_a_batch_without_its_adjusted_expression_is_named(single: Platform) -> None:
    single.storage.lake().path("adjusted_expression", "tc1").unlink()
    with pytest.raises(RunFailedError, match=r"tc1: a table is not there.*ingest and score"):
        single.run("screen", config=FEW_DRAWS, selection=["hit_calls"])
    single.run("ingest", "tc1", selection=["adjusted_expression"])
