"""Exchanged plates found by their mean expression, and pairs named where none was exchanged.

`python -m benchmarks.plate_swaps` prints a line a number of batches, of 20 screens on which nothing was chosen, and a
line a layout without batches.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from tcell_assets.science.plates.plate_similarity import plate_profiles, plate_similarity, swaps_by_profile
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

SCORES = ["tscore", "cytotrace", "pseudotime"]
SEEDS = range(50, 70)
IDLE_SCREENS, GENES = 150, 200


def found(batches: int) -> tuple[int, int]:
    """Screens whose exchanged pair alone is named, and screens in which another one is."""
    right = wrong = 0
    for seed in SEEDS:
        settings = SimulationSettings(
            preset="plate_swap", n_batches=batches, n_plates=4, n_genes=64, seed=seed
        )
        screen = simulate_screen(settings)
        similarity = plate_similarity(screen.wells.set_index("well_id")[SCORES], screen.wells)
        named = [
            set(swap.plates)
            for swap in swaps_by_profile(plate_profiles(screen.vst, screen.wells), similarity)
        ]
        true = set(screen.well_truth["swapped_with"].dropna())
        right += named == [true]
        wrong += any(pair != true for pair in named)
    return right, wrong


def named_without_batches(generator: np.random.Generator, batches: int, plates: int, axes: int) -> int:
    """Screens with a pair named where plates differ along few axes and batches not at all."""
    names = [f"b{batch}_P{plate}" for batch in range(batches) for plate in range(plates)]
    pairs = pd.DataFrame(
        [(one, other, one[:2], other[:2]) for one, other in combinations(names, 2)],
        columns=["plate_a", "plate_b", "batch_a", "batch_b"],
    )
    count = 0
    for _ in range(IDLE_SCREENS):
        values = 0.2 * generator.normal(size=(len(names), GENES))
        values += generator.normal(size=(len(names), axes)) @ generator.normal(size=(axes, GENES))
        count += bool(swaps_by_profile(pd.DataFrame(values, index=names), pairs))
    return count


def main() -> None:
    """Print both."""
    for batches in (3, 4):
        right, wrong = found(batches)
        print(f"{batches} batches: {right} of {len(SEEDS)} found, another pair in {wrong}", flush=True)
    generator = np.random.default_rng(0)
    for batches, plates in ((3, 3), (3, 4), (4, 4)):
        counts = [named_without_batches(generator, batches, plates, axes) for axes in (1, 2, 3)]
        print(f"{batches} × {plates} plates, 1, 2, 3 axes: {counts} of {IDLE_SCREENS}", flush=True)


if __name__ == "__main__":
    main()
