"""Recall and false discoveries on screens with known hits: the combined evidence beside one feature set.

`python -m benchmarks.hit_recall [truth …] [--seeds FIRST COUNT] [--draws N]` prints a line a truth. The choices behind
the combined evidence (feature sets, cut-off, rounds) were made on seeds below 100; seeds from 100 on judge them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.hit_truths import HitTruth, TruthScreen, simulate_hits
from tcell_assets.science.plates.audit_variables import audited_expression
from tcell_assets.science.plates.position import (
    adjust_for_position,
    position_audit,
    resolve_adjustment,
    worst_verdict,
)
from tcell_assets.science.plates.settings import Adjustment
from tcell_assets.science.screen.feature_sets import expression_feature_sets
from tcell_assets.science.screen.hit_calling import HIT_CLASSES, call_combined_hits, call_hits
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

# Strengths at which 20 components find what they found on screens that no choice had seen: 66 % of shared programmes,
# 31 % of signatures of their own.
TRUTHS: Mapping[str, HitTruth] = {
    "shared": HitTruth(strength=1.1),
    "own": HitTruth(effects="own", strength=0.9),
    "shared, 1000 genes": HitTruth(genes=1000, strength=0.8),
    "own, 1000 genes": HitTruth(effects="own", genes=1000, strength=0.8),
    "heavy tails": HitTruth(tail=2.5, strength=1.1),
    "one well": HitTruth(layout="one_well"),
    "three batches": HitTruth(batches=3, strength=0.8),
    "four batches": HitTruth(batches=4, strength=0.7),
    "384 wells": HitTruth(wells_per_plate=384, plates=1, strength=1.1),
    "one batch, 3 plates": HitTruth(batches=1, plates=3, replicates=3, strength=1.1),
    "null": HitTruth(effects="none"),
    "null, one well": HitTruth(effects="none", layout="one_well"),
    "null, three batches": HitTruth(effects="none", batches=3),
    "null, one batch": HitTruth(effects="none", batches=1, plates=3, replicates=3),
}


def clean_screen(seed: int) -> TruthScreen:
    """The preset `clean` with 1 000 genes: counts, and effects along activation."""
    screen = simulate_screen(SimulationSettings(preset="clean", n_genes=1000, seed=seed))
    truth = screen.metabolite_truth
    active = frozenset(truth.loc[truth["effect_class"] != "none", "metabolite"])
    return TruthScreen(screen.wells, screen.vst.astype("float64"), active)


def adjusted(screen: TruthScreen) -> pd.DataFrame:
    """Expression as the screen's assets adjust it: batch by batch, by its own position audit."""
    adjusted_batches = []
    for _, wells in screen.wells.groupby("batch"):
        expression = screen.expression.loc[wells["well_id"]]
        verdict = worst_verdict(position_audit(audited_expression(expression), wells))
        method: Adjustment = resolve_adjustment("auto", verdict)
        adjusted_batches.append(adjust_for_position(expression, wells, method))
    return pd.concat(adjusted_batches).loc[screen.expression.index]


def judge(screen: TruthScreen, rule: HitRule) -> dict[str, tuple[float, float, int, float]]:
    """Recall, false-discovery proportion, hits and seconds of the rule on 20 components and of combined evidence."""
    values = adjusted(screen)
    started = time.perf_counter()
    sets = expression_feature_sets(values, screen.expression)
    few = sets["components_20"]
    assert few.unadjusted is not None
    made = time.perf_counter() - started
    results = {}
    for name in ("20 components", "combined"):
        started = time.perf_counter()
        calls = (
            call_combined_hits(sets, screen.wells, rule=rule)
            if name == "combined"
            else call_hits(few.adjusted, few.unadjusted, screen.wells, rule=rule)
        )
        seconds = time.perf_counter() - started + made * (name == "combined")
        found = set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"])
        true = found & screen.active
        results[name] = (
            len(true) / max(len(screen.active), 1),
            1 - len(true) / len(found) if found else 0.0,
            len(found),
            seconds,
        )
    return results


def main() -> None:
    """Judge the truths that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truths", nargs="*", default=[*TRUTHS, "clean, 1000 genes"])
    parser.add_argument("--seeds", nargs=2, type=int, default=(100, 4), metavar=("FIRST", "COUNT"))
    parser.add_argument("--draws", type=int, default=20_000)
    options = parser.parse_args()
    rule = HitRule(draws=options.draws)
    print(f"{'truth':22} {'rule':14} recall  fdp   hits  seconds")
    for truth in options.truths:
        judged = []
        for seed in range(options.seeds[0], options.seeds[0] + options.seeds[1]):
            screen = clean_screen(seed) if truth not in TRUTHS else simulate_hits(TRUTHS[truth], seed)
            judged.append(judge(screen, rule))
        for name in judged[0]:
            recall, proportion, hits, seconds = np.mean([one[name] for one in judged], axis=0)
            print(
                f"{truth:22} {name:14} {recall:6.2f} {proportion:5.2f} {hits:6.1f} {seconds:6.1f}", flush=True
            )


if __name__ == "__main__":
    main()
