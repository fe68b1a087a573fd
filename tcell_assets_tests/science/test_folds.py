"""Folds: what is held out together, and what leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.evaluation.folds import ALWAYS_TRAINING, assign_folds, replicate_leakage


@pytest.fixture
def wells() -> pd.DataFrame:
    """Two batches of 3 plates of 20 wells; 19 metabolites a plate, one replicate in each batch."""
    return pd.DataFrame(
        [
            {
                "well_id": f"tc{batch}_P{plate}_{well}",
                "batch": f"tc{batch}",
                "plate": f"P{plate}",
                "metabolite": "DMSO" if well == 0 else f"m{plate}_{well}",
                "is_dmso": well == 0,
                "is_activated": float(well % 3 > 0),
            }
            for batch in (1, 2)
            for plate in range(3)
            for well in range(20)
        ]
    )


def test_random_folds_are_of_one_size_and_stratified_by_label(wells: pd.DataFrame) -> None:
    folds = assign_folds(wells, "random")
    shares = wells.set_index("well_id").groupby(folds)["is_activated"].agg(["size", "mean"])
    assert shares["size"].tolist() == [24] * 5
    # 78 activated wells over 5 folds: 15 or 16 in each.
    assert shares["mean"].between(15 / 24, 16 / 24).all()


def test_all_wells_of_a_metabolite_are_held_out_together(wells: pd.DataFrame) -> None:
    folds = assign_folds(wells, "leave_metabolite_out")
    per_metabolite = folds.groupby(wells.set_index("well_id")["metabolite"]).nunique()
    assert (per_metabolite == 1).all()


def test_dmso_is_in_training_when_metabolites_are_held_out(wells: pd.DataFrame) -> None:
    folds = assign_folds(wells, "leave_metabolite_out")
    dmso = wells.loc[wells["is_dmso"], "well_id"]
    assert set(folds[dmso]) == {ALWAYS_TRAINING}


def test_every_plate_and_every_batch_is_held_out_whole(wells: pd.DataFrame) -> None:
    indexed = wells.set_index("well_id")
    plates = assign_folds(wells, "leave_plate_out").groupby([indexed["batch"], indexed["plate"]]).agg(set)
    assert sorted(fold for folds in plates for fold in folds) == list(range(6))
    batches = assign_folds(wells, "leave_batch_out").groupby(indexed["batch"]).agg(set)
    assert batches.tolist() == [{0}, {1}]


def test_folds_do_not_depend_on_the_order_of_the_metabolites(wells: pd.DataFrame) -> None:
    ordered = assign_folds(wells, "leave_metabolite_out")
    reversed_order = assign_folds(wells.iloc[::-1], "leave_metabolite_out")
    pd.testing.assert_series_equal(reversed_order.loc[ordered.index], ordered)


def test_random_folds_leak_replicates_and_metabolite_folds_do_not(wells: pd.DataFrame) -> None:
    # A replicate is in the same fifth with probability 23/119; about 0.81 of 114 wells leak.
    assert replicate_leakage(wells, assign_folds(wells, "random")) > 0.6
    assert replicate_leakage(wells, assign_folds(wells, "leave_metabolite_out")) == 0.0


def test_one_batch_cannot_be_held_out(wells: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="leave_batch_out: 1 batches"):
        assign_folds(wells[wells["batch"] == "tc1"], "leave_batch_out")


def test_wells_without_a_label_are_spread_over_the_random_folds(wells: pd.DataFrame) -> None:
    unlabelled = wells.assign(is_activated=np.where(wells["batch"] == "tc1", np.nan, wells["is_activated"]))
    folds = assign_folds(unlabelled, "random")
    assert folds[wells.loc[wells["batch"] == "tc1", "well_id"]].value_counts().tolist() == [12] * 5
