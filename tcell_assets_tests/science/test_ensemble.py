"""Ensembles: mean and spread over members by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.model.ensemble import combine_members


def member(shift: float, order: slice = slice(None)) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "well_id": ["tc1_A1_A1", "tc1_A1_A2"],
            "pred_tscore": [1.0 + shift, 2.0],
            "activation_probability": [0.2 + shift / 10, 1.0],
        }
    )
    return table.iloc[order]


def test_mean_and_sd_are_those_of_the_members() -> None:
    combined = combine_members({"1": member(0), "2": member(1), "3": member(2)}).set_index("well_id")
    assert combined["pred_tscore"]["tc1_A1_A1"] == pytest.approx(2.0)
    assert combined["sd_tscore"]["tc1_A1_A1"] == pytest.approx(1.0)
    assert combined["sd_activation_probability"]["tc1_A1_A1"] == pytest.approx(0.1)
    assert combined["sd_tscore"]["tc1_A1_A2"] == 0.0
    assert set(combined["n_members"]) == {3}


def test_the_logit_is_that_of_the_mean_probability_and_finite() -> None:
    combined = combine_members({"1": member(0), "2": member(2)})
    assert combined["activation_logit"][0] == pytest.approx(np.log(0.3 / 0.7))
    assert np.isfinite(combined["activation_logit"]).all()


def test_members_are_matched_by_well() -> None:
    combined = combine_members({"1": member(0), "2": member(1, slice(None, None, -1))})
    assert combined["pred_tscore"].tolist() == [1.5, 2.0]


def test_one_member_has_no_spread() -> None:
    assert combine_members({"1": member(0)})["sd_tscore"].isna().all()


def test_members_with_other_wells_are_refused() -> None:
    with pytest.raises(ValueError, match="members 1 and 2 hold different wells"):
        combine_members({"1": member(0), "2": member(0).iloc[:1]})
