"""Which effect a layout finds: effects planted into the screen's own wells and called by its own rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import conditions, contexts, is_treated
from tcell_assets.science.screen.hit_calling import HIT_CLASSES, FeatureSet, call_combined_hits
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.well_join import rows_for_wells, usable_wells

WANTED_POWER = 0.8
EFFECTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
# As many act in the simulated screens the rule was chosen on: how many act decides how small an FDR of .1 must be.
PLANTED_SHARE = 0.2
FEWEST_PLANTED = 10
# A p of 1 in 5 000 is enough for a list of hundreds; the full rule draws 100 000.
DRAWS = 5000
REPEATS = 3


@dataclass(frozen=True)
class Power:
    """What a layout finds.

    Attributes:
        effect: Shift of a condition's wells, in standard deviations of a well along the shift's own direction, that is
            found with a power of 80 %; None where no effect up to 8 is.
        power: Share of planted conditions that were called, by effect.
        n_planted: Conditions that one screen was planted with.
        level: FDR at which they are called.
        why_not: Why nothing could be simulated, else empty.
    """

    effect: float | None
    power: dict[float, float]
    n_planted: int
    level: float
    why_not: str = ""

    @property
    def sentence(self) -> str:
        """What is found, in words."""
        if self.why_not:
            return f"not judged: {self.why_not}"
        size = (
            f"no shift up to {max(self.power):g}" if self.effect is None else f"a shift of {self.effect:.1f}"
        )
        return (
            f"{size} standard deviations of a well, in a direction of its own, is found with {WANTED_POWER:.0%} at an "
            f"FDR of {self.level:g} (planted into {self.n_planted} conditions of this screen, by 20 components of "
            "expression; the combined evidence finds more)"
        )


def layout_power(
    features: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    usable: pd.Series | None = None,
    rule: HitRule | None = None,
    effects: Sequence[float] = EFFECTS,
    seed: int = 614,
) -> Power:
    """Find the smallest effect that this screen's replicates, wells and null find with a power of 80 %.

    Conditions that can be compared and are not called get a shift in a direction of their own, so many that a fifth of
    the screen acts; the rule then calls the whole screen. A shift is measured in the standard deviation, along its own
    direction, of wells that are DMSO or not called, within their batch and context. The curve over effects is made
    monotone and interpolated.

    Args:
        features: `well_id` and one numeric column a feature, such as components of expression.
        wells: `well_id, batch, plate, row, column, metabolite, is_dmso` and, where known, the columns of conditions.
        usable: Booleans indexed by `well_id`; wells marked False count nowhere.
        rule: As hits will be called, with fewer draws.
        effects: Shifts tried, rising.
        seed: Of the directions and the conditions planted.
    """
    rule = replace(rule or HitRule(), draws=DRAWS)
    names = features["well_id"].tolist()
    metadata = rows_for_wells(wells, names, "well metadata")
    allowed = usable_wells(usable, names).to_numpy()
    treated = allowed & is_treated(metadata)
    if not treated.any():
        return Power(None, {}, 0, rule.level, "no usable treated well")
    condition = conditions(metadata).astype(str).to_numpy()
    values = features.drop(columns="well_id").to_numpy(dtype=np.float64)

    def called(shifted: np.ndarray) -> pd.DataFrame:
        table = pd.DataFrame(shifted, columns=features.columns.drop("well_id"))
        table.insert(0, "well_id", names)
        return call_combined_hits({"components": FeatureSet(table)}, wells, usable=usable, rule=rule)

    before = called(values).set_index("metabolite")
    comparable = before["p_replicate"].notna() & ~before["hit_class"].isin(HIT_CLASSES)
    candidates = np.array(sorted(before.index[comparable].astype(str)), dtype=object)
    hits = set(before.index[before["hit_class"].isin(HIT_CLASSES)].astype(str))
    # What acts already counts: the more hits a list has, the weaker one it lets in at the same FDR.
    n_planted = max(round(PLANTED_SHARE * (len(candidates) + len(hits))) - len(hits), FEWEST_PLANTED)
    if len(candidates) < n_planted:
        return Power(
            None,
            {},
            0,
            rule.level,
            f"{len(candidates)} conditions have replicates that can be compared, {FEWEST_PLANTED} are needed",
        )
    idle = allowed & (metadata["is_dmso"].to_numpy(dtype=bool) | (treated & ~np.isin(condition, list(hits))))
    covariance = _covariance(values[idle], metadata[idle])
    size, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(np.maximum(size, 0.0)) @ axes.T
    power: dict[float, float] = {}
    for effect in effects:
        found = []
        for repeat in range(REPEATS):
            generator = np.random.default_rng([seed, repeat])
            planted = generator.choice(candidates, n_planted, replace=False)
            # Directions in which wells vary, each as long as a well's standard deviation along it.
            directions = generator.normal(size=(n_planted, values.shape[1])) @ root
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            deviation = np.sqrt(np.einsum("pf,fg,pg->p", directions, covariance, directions))
            shifts = effect * deviation[:, None] * directions
            shift = pd.DataFrame(shifts, index=planted).reindex(condition).fillna(0.0)
            calls = called(values + np.where(treated[:, None], shift.to_numpy(), 0.0))
            named = set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"].astype(str))
            found.append(len(named & set(planted)) / n_planted)
        power[effect] = float(np.mean(found))
        if power[effect] >= 0.95:
            break
    rising = np.maximum.accumulate(list(power.values()))
    tried = np.array(list(power))
    reached = None
    if rising[-1] >= WANTED_POWER:
        last = int(np.argmax(rising >= WANTED_POWER))
        low = (tried[last - 1], rising[last - 1]) if last else (0.0, 0.0)
        share = (WANTED_POWER - low[1]) / (rising[last] - low[1])
        reached = float(low[0] + share * (tried[last] - low[0]))
    return Power(reached, power, n_planted, rule.level)


def _covariance(values: np.ndarray, metadata: pd.DataFrame) -> np.ndarray:
    """Covariance of wells within their batch and context, as hits are called against the DMSO wells of both."""
    group = [metadata["batch"].to_numpy(), contexts(metadata).to_numpy()]
    means = pd.DataFrame(values).groupby(group).transform("mean").to_numpy()
    return np.atleast_2d(np.cov(values - means, rowvar=False))
