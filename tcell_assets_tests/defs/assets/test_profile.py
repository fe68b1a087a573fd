"""What conditions do, from plates with doses to the tables of the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.defs.profile_checks import neighbours_check
from tcell_assets.science.screen.dose_response import log_logistic
from tcell_assets_tests.small_screen import configuration_in

GENES = [f"G{number:02d}" for number in range(60)]
DOSES = (0.1, 0.32, 1.0, 3.2, 10.0, 32.0)
EC50 = 2.0


def _land(folder: Path, seed: int) -> None:
    """One plate of 96 wells without phenotype scores: a compound that acts by its dose, one that never does."""
    generator = np.random.default_rng(seed)
    treatments = [("DMSO", np.nan)] * 24
    treatments += [(name, dose) for name in ("riser", "idler") for dose in DOSES for _ in range(3)]
    treatments += [(f"other{number:02d}", 10.0) for number in range(34)]
    treatments += [("pair", 1.0), ("pair", 10.0)]
    order = generator.permutation(96)
    wells = [f"{'ABCDEFGH'[place // 12]}{place % 12 + 1}" for place in order]
    values = generator.normal(6.0, 0.5, (96, 60))
    direction = np.where(np.arange(60) < 15, 1.0, 0.0)
    for row, (name, dose) in enumerate(treatments):
        if name == "riser":
            values[row] += 3.0 * log_logistic(np.array([dose]), 0.0, 1.0, EC50, 1.2)[0] * direction
    folder.mkdir(parents=True)
    plate = pd.DataFrame(treatments, columns=["metabolite", "Concentration (uM)"]).assign(
        plate="P1", well=wells
    )
    plate.to_csv(folder / "plate_map.csv", index=False)
    expression = pd.DataFrame(values.astype(np.float32), columns=GENES)
    expression.insert(0, "well", wells)
    expression.insert(0, "plate", "P1")
    expression.to_csv(folder / "expression.csv", index=False)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    configuration = configuration_in(tmp_path_factory.mktemp("profiled"))
    for number in (1, 2):
        _land(configuration.data / f"b{number}", number)
    with open_platform(configuration) as platform:
        for batch in platform.register_landed_batches():
            platform.run("ingest", batch)
        platform.run("screen")
        yield platform


def test_a_dose_series_has_the_half_maximal_dose_it_was_planted_with(profiled: Platform) -> None:
    curves = profiled.storage.lake().read("dose_response").set_index("compound")
    assert set(curves.index) == {"riser", "idler"}
    riser, idler = curves.loc["riser"].to_dict(), curves.loc["idler"].to_dict()
    assert riser["response"] == "response"
    assert 0.5 <= float(riser["ec50"]) / EC50 <= 2.0
    assert idler["response"] == "no response"


def test_every_dose_is_a_condition_with_a_signature_of_its_own(profiled: Platform) -> None:
    signatures = profiled.storage.lake().read("signatures")
    wells = profiled.storage.lake().read("well_metadata", "b1")
    top = wells.loc[(wells["compound"] == "riser") & (wells["dose_um"] == 32.0), "condition"].unique()
    assert len(top) == 1
    own = signatures[signatures["condition"] == top[0]].sort_values("t", ascending=False)
    assert own["n_wells"].eq(6).all()
    assert set(own["gene"].head(15)) == set(GENES[:15])
    # 3 at saturation, 32 µM is 0.96 of it.
    assert own["effect"].head(15).mean() == pytest.approx(2.9, abs=0.3)


def test_a_screen_without_the_bundled_genes_has_no_pathways(profiled: Platform) -> None:
    assert profiled.storage.lake().read("pathway_activity").empty


def _doubts(platform: Platform, asset: str, check: str) -> str | None:
    """Return what a check of the last screen run names, or None where it passed."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    (record,) = platform.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None and record.event.dagster_event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    return None if evaluation.passed else str(evaluation.metadata["doubts"].value).replace("\\", "")


def test_a_series_of_two_doses_is_named_as_one_without_a_curve(profiled: Platform) -> None:
    doubts = _doubts(profiled, "dose_response", "dose_series_are_fitted")
    # Compounds at one dose are no series and not named.
    assert doubts == "- pair: 2 usable doses, a curve needs 3"


def test_gene_sets_whose_genes_are_not_measured_are_named(profiled: Platform) -> None:
    doubts = _doubts(profiled, "pathway_activity", "gene_sets_are_measured")
    assert doubts is not None and "0 of its genes are measured, 5 are needed" in doubts


def test_a_screen_in_which_all_conditions_can_be_compared_passes_its_check(profiled: Platform) -> None:
    assert _doubts(profiled, "signatures", "every_condition_has_a_signature") is None
    assert _doubts(profiled, "metabolite_similarity", "neighbours_can_be_judged") is None


def test_a_null_of_few_pairs_is_a_doubt_about_neighbours_where_there_are_any() -> None:
    assert neighbours_check(active=1, pairs=0).passed
    assert neighbours_check(active=2, pairs=99).passed
    assert not neighbours_check(active=2, pairs=98).passed


def test_conditions_that_nothing_leads_from_to_dmso_are_named(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path)
    _land(configuration.data / "b1", 1)
    _land(configuration.data / "b2", 2)
    plate_map, expression = (configuration.data / "b2" / name for name in ("plate_map.csv", "expression.csv"))
    wells = pd.read_csv(plate_map)
    is_treated = wells["metabolite"] != "DMSO"
    # All DMSO wells lie on the first plate, and nothing that the second holds lies anywhere else.
    plate = np.where(is_treated, "P2", "P1")
    alone = [f"lonely{place // 2:02d}" if treated else "DMSO" for place, treated in enumerate(is_treated)]
    wells.assign(plate=plate, metabolite=alone, **{"Concentration (uM)": np.nan}).to_csv(
        plate_map, index=False
    )
    pd.read_csv(expression).assign(plate=plate).to_csv(expression, index=False)
    with open_platform(configuration) as platform:
        for batch in platform.register_landed_batches():
            platform.run("ingest", batch)
        platform.run("screen")
        doubts = _doubts(platform, "signatures", "every_condition_has_a_signature")
        assert doubts is not None and "lonely30" in doubts and "riser" not in doubts
