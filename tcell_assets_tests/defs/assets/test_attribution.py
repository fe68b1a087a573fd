"""Attribution in the graph: Integrated Gradients add up, hits show their drivers, rankings meet gene sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tcell_assets.commands.jobs import attribute_command, explain_command
from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.trained_model import load_model
from tcell_assets.science.screen.hit_calling import HIT_CLASSES
from tcell_assets_tests.science.small_screens import ONE_THREAD
from tcell_assets_tests.small_screen import GENES, configuration_in, simulate_into, train

BATCHES = ("tc1", "tc2")
# A lenient level, so that a screen of two plates has hits to explain.
LENIENT = {"ops": {"hit_calls": {"config": {"draws": 2000, "level": 0.9}}}}


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two batches with attributions of the label head."""
    configuration = configuration_in(tmp_path_factory.mktemp("attribution"))
    simulate_into(configuration.data)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
        for batch in BATCHES:
            platform.run("ingest", batch)
        train(platform)
        head = {"config": {"head": "is_activated", "steps": 20}}
        for batch in BATCHES:
            platform.run("score", batch)
            platform.run("attribute", batch, {"ops": {"attribute_wells": head}})
        platform.run("screen", config=LENIENT, selection=["hit_calls", "gene_importance_ranking"])
        platform.run("explain", config={"ops": {"gene_set_enrichment": {"config": {"permutations": 50}}}})
        yield platform


def test_attributions_of_a_well_add_up_to_its_change_from_the_training_dmso_mean(explained: Platform) -> None:
    lake, models = explained.storage.lake(), explained.storage.models()
    model = load_model(models.folder(str(models.current())))
    trained = set(model.split.loc[model.split["split"] == "train", "well_id"])
    expression = pd.concat([lake.expression(batch) for batch in BATCHES])
    wells = pd.concat([lake.read("well_metadata", batch) for batch in BATCHES]).set_index("well_id")
    dmso = [well for well in wells.index[wells["is_dmso"]] if well in trained]
    mean = expression.loc[dmso].astype(np.float64).mean().to_frame("mean").T.astype(np.float32)
    start = score_wells(model, mean, ONE_THREAD).predictions["activation_logit"].iloc[0]
    for batch in BATCHES:
        attributed = lake.read("gene_attributions", batch).set_index("well_id")
        logit = lake.read("well_predictions", batch).set_index("well_id")["activation_logit"]
        change = logit.loc[attributed.index].astype(np.float64) - start
        # Twenty steps: the quadrature error is reported a well, fp32 adds 1e-4.
        error = lake.read("attributed_wells", batch).set_index("well_id")["completeness_error"]
        np.testing.assert_array_less(abs(attributed.sum(axis=1) - change), error.loc[change.index] + 1e-4)
        assert error.median() < 0.05 * abs(change).median()


def test_importance_is_the_mean_of_the_wells_attributions(explained: Platform) -> None:
    lake = explained.storage.lake()
    attributed = pd.concat([lake.read("gene_attributions", batch) for batch in BATCHES]).set_index("well_id")
    ranking = lake.read("integrated_gradients_ranking").set_index("gene")
    assert len(ranking) == GENES
    assert set(ranking["head"]) == {"is_activated"}
    # Attributions are stored in fp32.
    np.testing.assert_allclose(ranking["importance"], attributed.abs().mean()[ranking.index], rtol=1e-5)
    np.testing.assert_allclose(
        ranking["signed_importance"], attributed.mean()[ranking.index], rtol=1e-4, atol=1e-7
    )


def test_every_hit_has_its_drivers_with_the_sign_of_their_wells(explained: Platform) -> None:
    lake = explained.storage.lake()
    calls = lake.read("hit_calls")
    is_hit = (calls["feature_space"] == "combined") & calls["hit_class"].isin(HIT_CLASSES)
    drivers = lake.read("hit_drivers")
    assert is_hit.any()
    assert set(drivers["metabolite"]) == set(calls.loc[is_hit, "metabolite"])
    wells = pd.concat([lake.read("well_metadata", batch) for batch in BATCHES]).set_index("well_id")
    attributed = pd.concat([lake.read("gene_attributions", batch) for batch in BATCHES]).set_index("well_id")
    for metabolite, own in drivers.groupby("metabolite"):
        values = attributed[wells.loc[attributed.index, "metabolite"] == metabolite].astype(np.float64).mean()
        strongest = values.abs().nlargest(len(own))
        assert set(own["gene"]) == set(strongest.index)
        np.testing.assert_allclose(own["attribution"], values[own["gene"]], rtol=1e-6)


def test_both_rankings_meet_the_bundled_gene_sets(explained: Platform) -> None:
    table = explained.storage.lake().read("gene_set_enrichment")
    assert table["method"].nunique() == 2
    assert set(table["gene_set"]) <= {"activation", "resting"}
    assert set(table["source"]) == {"bundled"}
    assert (table["p_value"] >= 1 / 51).all()


def test_a_gene_set_file_that_fits_no_gene_is_refused_with_its_overlap(
    explained: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sets") / "foreign.gmt"
    path.write_text("ribosome\tnone\tENSG1\tENSG2\tENSG3\tENSG4\tENSG5\n")
    config = {"ops": {"gene_set_enrichment": {"config": {"gene_sets": str(path)}}}}
    with pytest.raises(RunFailedError, match=r"ribosome \(0\).*same kind of gene names"):
        explained.run("explain", config=config, selection=["gene_set_enrichment"])


def test_members_of_an_ensemble_are_asked_how_far_they_agree_on_each_gene(explained: Platform) -> None:
    members, head = {"config": {"members": 2}}, {"config": {"head": "is_activated"}}
    explained.run("ensemble", config={"ops": {"ensemble_members": members, "importance_stability": head}})
    lake, models = explained.storage.lake(), explained.storage.models()
    stability = lake.read("importance_stability").set_index("gene")
    importance = {
        version: score_wells(
            load_model(models.folder(version)),
            pd.concat([lake.expression(batch) for batch in BATCHES]),
            ONE_THREAD,
            "is_activated",
        ).importance
        for version in lake.read("ensemble_members")["member_version"]
    }
    assert set(stability["head"]) == {"is_activated"}
    first, second = (
        table.set_index("gene")["importance"] for table in importance.values() if table is not None
    )
    # Gradients are fp32.
    np.testing.assert_allclose(
        stability["mean_importance"], ((first + second) / 2)[stability.index], rtol=1e-4
    )


def test_the_shell_attributes_a_batch_and_sums_up(
    explained: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcell_assets.commands.platform.load_configuration", lambda: explained.configuration)
    before = explained.storage.lake().lineage("integrated_gradients", "tc1").run_id
    attributed = CliRunner().invoke(attribute_command, ["tc1", "--head", "is_activated", "--steps", "5"])
    assert attributed.exit_code == 0, attributed.output
    assert explained.storage.lake().lineage("integrated_gradients", "tc1").run_id != before
    summed_up = CliRunner().invoke(explain_command, [])
    assert summed_up.exit_code == 0, summed_up.output
    assert "hit_drivers" in summed_up.output
