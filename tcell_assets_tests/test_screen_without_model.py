"""A screen of counts and plate maps alone, without phenotype scores and so without a model, from landing to exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tcell_assets.cli import tcell
from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.exports.annotated_data import annotated_screen
from tcell_assets.exports.hits import calls_shown
from tcell_assets.lake.judge import Judge
from tcell_assets_tests.small_screen import configuration_in, simulate_into

NEEDS_A_MODEL = {
    "gene_importance_ranking",
    "latent_map",
    "latent_map_axes",
    "latent_map_reference",
    "metabolite_scores",
    "phenotype_correlation",
}
FEW_DRAWS = {"ops": {"hit_calls": {"config": {"draws": 2000}}}}


def land_without_targets(data: Path, counts: bool) -> None:
    """Write a screen of two batches whose folders hold nothing but wells and their counts (or expression)."""
    simulate_into(data, counts=counts)
    for batch in ("tc1", "tc2"):
        (data / batch / "targets.csv").unlink()


def made_by(platform: Platform) -> set[str]:
    """Run the screen job and return what it made."""
    result = platform.run("screen", config=FEW_DRAWS)
    return {str(event.asset_key.to_user_string()) for event in result.get_asset_materialization_events()}  # type: ignore[union-attr]


@pytest.fixture(scope="module", params=[True, False], ids=["counts", "expression"])
def screened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two ingested batches with everything that the screen job makes of them."""
    configuration = configuration_in(tmp_path_factory.mktemp("no_model"))
    land_without_targets(configuration.data, counts=request.param)
    with open_platform(configuration) as platform:
        for batch in platform.register_landed_batches():
            platform.run("ingest", batch)
        assert Judge(platform.storage.lake(), platform.storage.models()).screen_needs()
        made = made_by(platform)
        assert not made & NEEDS_A_MODEL
        assert made >= {"hit_calls", "expression_map", "design_audit", "plate_similarity", "screen_report"}
        yield platform


def test_hits_are_called_in_expression_and_say_that_no_model_made_them(screened: Platform) -> None:
    calls = screened.storage.lake().read("hit_calls")
    assert "latent" not in set(calls["feature_space"])
    assert calls_shown(calls)["p_replicate"].notna().sum() > 50
    assert calls["model_version"].isna().all()


def test_the_position_of_expression_is_audited(screened: Platform) -> None:
    variables = set(screened.storage.lake().read("screen_position_audit")["variable"])
    assert variables >= {"expression_pc1", "expression_pc2", "expression_pc3"}


def test_every_pair_of_plates_is_compared(screened: Platform) -> None:
    similarity = screened.storage.lake().read("plate_similarity")
    assert len(similarity) == 1
    assert similarity["correlation"].notna().all()


def test_the_map_is_the_principal_components_of_adjusted_expression(screened: Platform) -> None:
    lake = screened.storage.lake()
    wells = lake.read("expression_map").set_index("well_id")
    expression = pd.concat(
        [lake.read("adjusted_expression", batch).set_index("well_id") for batch in ("tc1", "tc2")]
    )
    values = expression.loc[wells.index].to_numpy(dtype=np.float64)
    usable = wells["qc_pass"].to_numpy()
    _, _, loadings = np.linalg.svd(values[usable] - values[usable].mean(axis=0), full_matrices=False)
    for axis in (0, 1):
        expected = (values - values[usable].mean(axis=0)) @ loadings[axis]
        # Signs of singular vectors are arbitrary; 1e-6 is float64 sums in another order over float32 values.
        assert abs(np.corrcoef(expected, wells[f"pca_{axis + 1}"])[0, 1]) == pytest.approx(1.0, abs=1e-6)


def test_the_report_shows_hits_and_map(screened: Platform) -> None:
    html = (Path(screened.storage.root) / "reports" / "screen.html").read_text()
    data = json.loads(
        html.split('<script id="report-data" type="application/json">')[1].split("</script>")[0]
    )
    assert list(data["maps"]) == ["expression"]
    assert len(data["volcano"]["metabolite"]) > 50
    assert "no model is needed" in html or "combined evidence" in html


def test_the_screen_is_exported_with_its_expression_and_hits(screened: Platform) -> None:
    pytest.importorskip("anndata")
    data = annotated_screen(screened.storage.lake(), screened.storage.models())
    assert data.shape == (192, 48)
    assert "hit_class" in data.obs
    assert data.obsm["X_pca"].shape == (192, 47)
    assert np.isfinite(data.X).all()


def test_the_screen_tables_are_current_afterwards(screened: Platform) -> None:
    assert Judge(screened.storage.lake(), screened.storage.models()).screen_needs() == []


def test_training_and_scoring_are_refused_in_words(screened: Platform) -> None:
    with pytest.raises(RunFailedError, match="target"):
        screened.run("train")
    with pytest.raises(RunFailedError, match="no model"):
        screened.run("score", "tc1")


def test_the_shell_says_what_is_left_out_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = configuration_in(tmp_path)
    land_without_targets(configuration.data, counts=True)
    for name, value in (
        ("DAGSTER_HOME", tmp_path / "storage"),
        ("TCELL_DATA", configuration.data),
        ("TCELL_STORAGE", configuration.storage),
    ):
        monkeypatch.setenv(name, str(value))
    said = ""
    for command in (["ingest"], ["screen"], ["report"], ["report", "tc1"]):
        result = CliRunner().invoke(tcell, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        said += result.output
    for asset in NEEDS_A_MODEL:
        assert asset in said.split("left out: ")[1].splitlines()[0]
    assert "no batch has phenotype scores" in said
