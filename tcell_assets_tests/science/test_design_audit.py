"""What the design audit says of a layout and its targets."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.design_audit import audit_design
from tcell_assets.science.simulation.screen_simulation import PresetName, SimulationSettings, simulate_screen
from tcell_assets_tests.science.published_screen import published_wells

SCORES = ["tscore", "cytotrace", "pseudotime", "activation_score"]


def test_the_published_layout_and_targets_are_read_for_what_they_are() -> None:
    wells = published_wells()
    by_well = wells.set_index("well_id")
    audit = audit_design(wells, by_well[SCORES], by_well[["is_activated"]])
    assert (audit.n_wells, audit.n_plates, audit.n_metabolites, audit.n_dmso) == (768, 8, 364, 40)
    assert audit.same_position_share == audit.across_batches_share == 1.0
    assert audit.dmso_columns == (1, 12)
    assert audit.dmso_edge_share == 1.0
    (threshold,) = audit.label_thresholds
    assert (threshold.label, threshold.score, threshold.above) == ("is_activated", "pseudotime", True)
    assert threshold.threshold == pytest.approx(-0.47, abs=0.005)
    (total,) = audit.score_sums
    assert (total.score, set(total.parts)) == ("activation_score", {"tscore", "cytotrace", "pseudotime"})
    assert "The 5 targets hold 3 independent ones." in audit.findings
    assert audit.verdict == "watch"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_randomised_layout_is_ok(seed: int) -> None:
    audit = audit_design(simulate_screen(SimulationSettings(n_genes=24, seed=seed)).wells)
    assert audit.verdict == "ok"
    assert audit.same_position_share < 0.05


@pytest.mark.parametrize("preset", ["confounded", "plate_swap"])
def test_the_published_kind_of_layout_is_to_be_watched(preset: PresetName) -> None:
    audit = audit_design(simulate_screen(SimulationSettings(preset=preset, n_genes=24)).wells)
    assert audit.verdict == "watch"
    assert any("randomise positions between batches" in finding for finding in audit.findings)
    assert any("column 1 and 12" in finding for finding in audit.findings)


def test_pairs_are_counted_as_by_hand() -> None:
    wells = pd.DataFrame(
        {
            "well_id": list("abcdef"),
            "batch": ["tc1", "tc1", "tc2", "tc1", "tc2", "tc1"],
            "plate": "A1",
            "row": ["A", "B", "A", "C", "D", "H"],
            "column": [1, 1, 1, 2, 2, 5],
            "is_edge": True,
            "metabolite": ["x", "x", "x", "y", "y", "DMSO"],
            "is_dmso": [False] * 5 + [True],
        }
    )
    audit = audit_design(wells)
    # Pairs of x: ab, ac, bc; of y: de. At one position: ac. Across batches: ac, bc, de.
    assert audit.replicate_pairs == 4
    assert audit.same_position_share == pytest.approx(1 / 4)
    assert audit.across_batches_share == pytest.approx(3 / 4)
    assert audit.batches_with_few_dmso == ("tc1", "tc2")


def test_a_metabolite_without_a_replicate_is_named() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_plates=1)).wells
    kept = wells[~((wells["metabolite"] == "β-Alanine") & (wells["batch"] == "tc2"))]
    audit = audit_design(kept)
    assert audit.metabolites_with_few_replicates == ("β-Alanine",)
    assert any("stay inconclusive: β-Alanine" in finding for finding in audit.findings)


def test_a_noisy_label_and_a_noisy_sum_are_not_called_identities() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_plates=1)).wells.set_index("well_id")
    generator = np.random.default_rng(0)
    scores = wells[SCORES].assign(
        activation_score=wells["activation_score"] + generator.normal(0, 0.01, len(wells))
    )
    labels = wells[["is_activated"]].copy()
    labels.iloc[:2] = ~labels.iloc[:2]
    audit = audit_design(wells.reset_index(), scores, labels)
    assert audit.label_thresholds == ()
    assert audit.score_sums == ()


def test_the_audit_is_json_without_nan() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_plates=1)).wells
    stored = json.loads(json.dumps(audit_design(wells).to_dict(), allow_nan=False))
    assert stored["label_agreement_at_one_position"] is None
    assert stored["verdict"] == "ok"


def test_a_sheet_without_wells_is_refused() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_plates=1)).wells
    with pytest.raises(ValueError, match="no well"):
        audit_design(wells.iloc[:0])
