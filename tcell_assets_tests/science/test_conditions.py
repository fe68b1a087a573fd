"""Conditions, compounds, contexts and empty wells, wherever the mathematics meets them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.conditions import compounds, conditions, contexts, is_empty, is_treated
from tcell_assets.science.evaluation.folds import ALWAYS_TRAINING, assign_folds, replicate_leakage
from tcell_assets.science.model.training_data import wells_to_train_on
from tcell_assets.science.plates.audit_variables import audited_targets
from tcell_assets.science.plates.design_audit import audit_design
from tcell_assets.science.plates.well_quality import EMPTY_BY_PLATE_MAP, plate_qc, well_qc
from tcell_assets.science.screen.distances import dmso_distances
from tcell_assets.science.screen.metabolite_scores import score_metabolites


def plate(n_empty: int = 0) -> pd.DataFrame:
    """A 96-well plate: 8 compounds at 5 doses twice, 8 DMSO wells, 4 of medium, 4 more; the last ones empty."""
    wells = [f"{row}{column}" for row in "ABCDEFGH" for column in range(1, 13)]
    doses = [f"C{number // 10} {10.0 ** (number % 5 - 2):g} uM" for number in range(80)]
    condition = [*["DMSO"] * 8, *doses, *["Media"] * 4, *["C0 1 uM"] * 4]
    kinds = ["vehicle_control"] * 8 + ["sample"] * 80 + ["untreated"] * 4 + ["sample"] * 4
    frame = pd.DataFrame(
        {
            "well_id": [f"tc1_P1_{well}" for well in wells],
            "batch": "tc1",
            "plate": "P1",
            "row": [well[0] for well in wells],
            "column": [int(well[1:]) for well in wells],
            "condition": condition,
            "well_type": kinds,
        }
    )
    frame["is_edge"] = frame["row"].isin(["A", "H"]) | frame["column"].isin([1, 12])
    if n_empty:
        frame.loc[frame.index[-n_empty:], ["condition", "well_type"]] = ["EMPTY", "empty"]
    frame["metabolite"] = frame["condition"]
    frame["compound"] = frame["condition"].str.split(" ").str[0]
    frame["is_dmso"] = frame["well_type"] == "vehicle_control"
    frame["context"] = ""
    return frame


def test_metadata_from_before_conditions_reads_as_metabolites() -> None:
    old = plate().drop(columns=["condition", "compound", "context", "well_type"])
    assert conditions(old).tolist() == compounds(old).tolist() == old["metabolite"].tolist()
    assert set(contexts(old)) == {""}
    assert not is_empty(old).any()
    assert (is_treated(old) == ~old["is_dmso"]).all()


def test_batches_from_before_and_after_stand_beside_each_other() -> None:
    new, old = plate(), plate().drop(columns=["condition", "compound", "context", "well_type"])
    both = pd.concat([new.assign(condition="x"), old], ignore_index=True)
    assert conditions(both).tolist() == ["x"] * 96 + old["metabolite"].tolist()
    assert is_treated(both).sum() == 84 + 88


def test_a_fold_holds_out_every_dose_of_a_compound() -> None:
    wells = plate()
    folds = assign_folds(wells, "leave_metabolite_out", n_folds=4)
    fold_of = pd.Series(folds.to_numpy(), index=wells["compound"])
    treated = is_treated(wells)
    assert fold_of[treated].groupby(level=0).nunique().eq(1).all()
    assert (folds[~treated] == ALWAYS_TRAINING).all()
    assert replicate_leakage(wells, folds) == 0


def test_the_published_split_leaks_by_compound_and_not_by_condition_alone() -> None:
    wells = plate().assign(is_activated=np.arange(96) % 2 == 0)
    assert replicate_leakage(wells, assign_folds(wells, "random")) == pytest.approx(1.0)


def test_replicates_of_the_design_are_wells_of_one_condition_and_empty_wells_are_none() -> None:
    audit = audit_design(plate(n_empty=4))
    assert audit.n_metabolites == 40
    assert (audit.replicates_minimum, audit.replicates_maximum) == (2, 2)
    assert audit.n_wells == 92
    assert audit.n_dmso == 8


def test_scores_are_those_of_conditions_and_list_no_medium_and_no_empty_well() -> None:
    wells = plate(n_empty=4)
    distances = pd.DataFrame(
        {"well_id": wells["well_id"], **dict.fromkeys(("euclidean", "cosine", "cosine_centered"), 1.0)}
    )
    predictions = pd.DataFrame({"well_id": wells["well_id"], "activation_probability": 0.5})
    scores = score_metabolites(wells, predictions, distances)
    assert set(scores["metabolite"]) == set(wells.loc[wells["well_type"] == "sample", "condition"])
    assert scores["n_wells"].eq(2).all()


def test_empty_wells_fail_and_change_nothing_of_the_others() -> None:
    generator = np.random.default_rng(1)
    counts = generator.poisson(20, (96, 60))
    counts[-4:] = 0
    genes = [f"G{number}" for number in range(60)]
    full, without = plate(n_empty=4), plate(n_empty=4).iloc[:-4]
    vst = pd.DataFrame(np.log2(counts + 1.0), index=full["well_id"], columns=genes)
    judged = well_qc(full, vst, counts, genes)
    alone = well_qc(without, vst.iloc[:-4], counts[:-4], genes)
    pd.testing.assert_frame_equal(judged.iloc[:-4].reset_index(drop=True), alone)
    assert judged["well_id"].tolist() == full["well_id"].tolist()
    assert not judged["qc_pass"].iloc[-4:].any()
    assert set(judged["qc_reason"].iloc[-4:]) == {EMPTY_BY_PLATE_MAP}
    pd.testing.assert_frame_equal(plate_qc(full, judged), plate_qc(without, alone))


def test_empty_wells_are_not_trained_on_and_not_audited() -> None:
    wells = plate(n_empty=4)
    targets = {
        name: 1.0 for name in ("tscore", "cytotrace", "pseudotime", "is_activated", "activation_score")
    }
    wells = wells.assign(**targets)
    quality = pd.DataFrame({"well_id": wells["well_id"], "qc_pass": True})
    chosen = wells_to_train_on({"tc1": wells}, {"tc1": quality})["tc1"]
    assert len(chosen) == 92
    assert set(audited_targets(wells).index) == set(chosen["well_id"])


def test_a_well_is_compared_with_the_vehicle_of_its_own_context() -> None:
    wells = plate()
    wells["context"] = np.where(np.arange(96) % 2 == 0, "A549", "U2OS")
    latents = pd.DataFrame({"well_id": wells["well_id"], "z_00": 0.0, "z_01": 0.0})
    # The cell lines lie 10 apart, and no compound does anything.
    latents.loc[wells["context"] == "U2OS", "z_00"] = 10.0
    found = dmso_distances(latents, wells, "batch", training_latent_mean=np.array([1.0, 1.0]))
    assert found["euclidean"].max() == 0
    assert set(found["reference_size"]) == {4, 3}
    pooled = dmso_distances(
        latents, wells.drop(columns="context"), "batch", training_latent_mean=np.array([1.0, 1.0])
    )
    assert pooled["euclidean"].min() > 4


def test_a_context_without_vehicle_wells_is_named() -> None:
    wells = plate()
    wells["context"] = np.where(wells["is_dmso"], "24 h", "6 h")
    latents = pd.DataFrame({"well_id": wells["well_id"], "z_00": 0.0, "z_01": 0.0})
    with pytest.raises(ValueError, match=r"fewer than 3 usable DMSO wells in tc1 \(6 h\)"):
        dmso_distances(latents, wells, "batch", training_latent_mean=np.array([1.0, 1.0]))


def test_empty_wells_without_a_context_of_their_own_keep_no_one_from_being_measured() -> None:
    wells = plate(n_empty=4)
    wells["context"] = np.where(wells["well_type"] == "empty", "", "24 h")
    latents = pd.DataFrame({"well_id": wells["well_id"], "z_00": 0.0, "z_01": 0.0})
    assert len(dmso_distances(latents, wells, "batch", training_latent_mean=np.array([1.0, 1.0]))) == 96
