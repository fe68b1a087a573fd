"""Whether a model has learnt anything is told from the wells held out of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score
from upath import UPath

from tcell_assets.science.evaluation.skill import HeldOutSkill, load_skill, save_skill, skill_of
from tcell_assets.targets import TARGETS


def held_out(share: float, compounds: int = 60, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two wells a compound; predictions explain `share` of the variance of every score, and nothing where it is 0."""
    generator = np.random.default_rng(seed)
    n = 2 * compounds
    wells = pd.DataFrame({"metabolite": np.repeat([f"m{number}" for number in range(compounds)], 2)})
    predictions = pd.DataFrame(index=wells.index)
    for target in TARGETS:
        signal = generator.normal(size=n)
        noise = generator.normal(size=n)
        predictions[target.prediction] = np.sqrt(share) * signal if share else 0.3 * generator.normal(size=n)
        wells[target.name] = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
        if target.is_binary:
            wells[target.name] = (wells[target.name] > 0).astype(float)
            predictions[target.prediction] = 1 / (1 + np.exp(-predictions[target.prediction]))
    return predictions, wells


def test_predictions_that_tell_nothing_are_no_better_than_the_mean() -> None:
    # Each of four targets is wrongly called better in at most 1 of 20, so a screen in about 1 of 5 at the very worst.
    none = [skill_of(*held_out(0.0, seed=seed), TARGETS).is_none for seed in range(40)]
    assert sum(none) >= 32


def test_predictions_that_tell_half_of_the_variance_are_better_with_their_own_numbers() -> None:
    predictions, wells = held_out(0.5)
    skill = skill_of(predictions, wells, TARGETS)
    assert not skill.is_none
    by_target = {target.target: target for target in skill.targets}
    assert by_target["tscore"].r2 == pytest.approx(r2_score(wells["tscore"], predictions["pred_tscore"]))
    assert by_target["is_activated"].r2 == pytest.approx(
        r2_score(wells["is_activated"], predictions["activation_probability"])
    )
    assert all(target.low < target.r2 for target in skill.targets)


def test_one_target_that_is_learnt_is_skill_and_the_others_are_named() -> None:
    predictions, wells = held_out(0.0)
    predictions["pred_cytotrace"] = wells["cytotrace"]
    skill = skill_of(predictions, wells, TARGETS)
    assert not skill.is_none
    assert (
        "but not for" in skill.sentence and "tscore" in skill.sentence.split("but not for")[1].split(":")[0]
    )


def test_a_screen_of_few_compounds_is_not_called_without_skill() -> None:
    skill = skill_of(*held_out(0.0, compounds=9), TARGETS)
    assert not skill.targets and not skill.is_none
    assert "nothing is known" in skill.sentence


def test_what_was_saved_beside_a_model_is_read_again_and_an_older_model_says_nothing(tmp_path: Path) -> None:
    skill = skill_of(*held_out(0.5), TARGETS)
    assert load_skill(UPath(tmp_path)) is None
    save_skill(skill, UPath(tmp_path))
    assert load_skill(UPath(tmp_path)) == skill
    save_skill(HeldOutSkill(()), UPath(tmp_path))
    assert load_skill(UPath(tmp_path)) == HeldOutSkill(())
