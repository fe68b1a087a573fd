"""The effect that a layout is said to find with 80 % is found in 80 % of the conditions that have it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.screen.hit_calling import HIT_CLASSES, call_hits
from tcell_assets.science.screen.power import layout_power
from tcell_assets.science.screen.settings import HitRule

SCALES = np.linspace(2.0, 0.5, 12)


def idle_screen(seed: int, batches: int = 2, conditions: int = 90) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Wells of which none acts, a condition once a batch, and 12 features of unequal spread."""
    generator = np.random.default_rng(seed)
    frames = []
    for batch in range(batches):
        names = np.array([*(f"m{number:02d}" for number in range(conditions)), *["DMSO"] * 6])
        frame = pd.DataFrame({"metabolite": names[generator.permutation(96)], "batch": f"b{batch}"})
        frame["row"] = [chr(ord("A") + place // 12) for place in range(96)]
        frame["column"] = [place % 12 + 1 for place in range(96)]
        frames.append(frame)
    wells = pd.concat(frames, ignore_index=True).assign(plate="P1")
    wells["well_id"] = [f"w{number}" for number in range(len(wells))]
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    wells["is_activated"] = pd.array([pd.NA] * len(wells), dtype="boolean")
    features = pd.DataFrame(generator.normal(size=(len(wells), 12)) * SCALES)
    features.columns = [f"pc{number}" for number in range(12)]
    features.insert(0, "well_id", wells["well_id"])
    return features, wells


@pytest.mark.slow
def test_a_planted_effect_of_the_stated_size_is_found_in_four_of_five() -> None:
    stated = layout_power(*idle_screen(1)).effect
    assert stated is not None
    found = []
    for seed in range(100, 112):
        features, wells = idle_screen(seed)
        generator = np.random.default_rng(seed)
        for name in [f"m{number:02d}" for number in range(18)]:
            direction = SCALES * generator.normal(size=12)
            direction /= np.linalg.norm(direction)
            # The variance of a well along a direction d is Σ d² s², as its features are independent.
            shift = stated * np.sqrt(np.sum((direction * SCALES) ** 2)) * direction
            own = (wells["metabolite"] == name).to_numpy()
            features.loc[own, [f"pc{number}" for number in range(12)]] += shift
        calls = call_hits(features, features, wells, rule=HitRule(draws=20_000))
        hits = set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"])
        found.append(len(hits & {f"m{number:02d}" for number in range(18)}) / 18)
    # 216 planted conditions: standard error .03 of their share and as much of the stated effect.
    assert np.mean(found) == pytest.approx(0.8, abs=0.12)


def test_more_batches_find_smaller_effects() -> None:
    effects = (2.0, 3.0, 4.0, 6.0)
    two, three = (layout_power(*idle_screen(1, batches), effects=effects) for batches in (2, 3))
    assert two.effect is not None and three.effect is not None
    assert three.effect < two.effect
    assert f"a shift of {two.effect:.1f} standard deviations" in two.sentence


def test_a_layout_without_replicates_finds_nothing_and_says_why() -> None:
    features, wells = idle_screen(1, batches=1)
    power = layout_power(features, wells)
    assert power.effect is None
    assert "0 conditions have replicates that can be compared" in power.sentence


def test_effects_that_are_too_small_are_said_to_be_so() -> None:
    power = layout_power(*idle_screen(1), effects=(0.1, 0.2))
    assert power.effect is None
    assert power.sentence.startswith("no shift up to 0.2 standard deviations")


def test_cell_lines_far_apart_change_neither_the_unit_nor_what_is_found() -> None:
    features, wells = idle_screen(3)
    line = np.where(wells["column"] <= 6, "one", "other")
    wells = wells.assign(context=line, condition=wells["metabolite"])
    effects = (2.0, 3.0, 4.0, 6.0)
    here = layout_power(features, wells, effects=effects)
    apart = features.copy()
    apart.loc[line == "other", "pc0"] += 20.0
    there = layout_power(apart, wells, effects=effects)
    assert here.effect is not None and there.effect is not None
    assert there.effect == pytest.approx(here.effect, abs=1e-6)


def test_strong_hits_do_not_widen_the_unit() -> None:
    features, wells = idle_screen(4)
    effects = (2.0, 3.0, 4.0, 6.0)
    idle = layout_power(features, wells, effects=effects)
    strong = wells["metabolite"].isin([f"m{number:02d}" for number in range(6)]).to_numpy()
    features.loc[strong, "pc1"] += 30.0
    acting = layout_power(features, wells, effects=effects)
    assert idle.effect is not None and acting.effect is not None
    # As part of the unit they would have made it several times as long, and the number so much smaller.
    assert acting.effect > 0.8 * idle.effect
