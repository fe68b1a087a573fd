"""What conditions do, from plates with doses to the tables of the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform, open_platform
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
    treatments += [(f"other{number:02d}", 10.0) for number in range(36)]
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
