"""How well importance finds the genes that drive a simulated screen.

`python -m benchmarks.driver_genes [--seeds 1 2 3]` prints a Markdown table, a row a seed of the preset `clean` at 256
genes: the area under the curve of the driver genes by Gradient × Input, by Integrated Gradients, and by the absolute
correlation with the label, which needs no network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.training_presets import FROM_ZERO
from tcell_assets.science.model.attribution import dmso_baseline, integrated_gradients
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.settings import settings_for_preset
from tcell_assets.science.model.training import TrainingData, train
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

GENES = 256
# Integrated Gradients cost 50 times a scoring: every 16th well tells enough of the mean over wells.
EVERY_SO_MANY_WELLS = 16


def driver_gene_areas(seed: int) -> dict[str, float]:
    """Return the area under the ROC curve of the driver genes, by what ranks the genes."""
    compute = Compute(threads=1)
    screen = simulate_screen(SimulationSettings(n_genes=GENES, seed=seed))
    label = screen.wells["is_activated"].astype(float)
    data = TrainingData(
        screen.vst.to_numpy(np.float32),
        tuple(screen.vst.columns),
        screen.wells.assign(is_activated=label),
        {},
    )
    settings = settings_for_preset("ridge_start", epochs=15, d_model=32, feed_forward=64, **FROM_ZERO)
    model = train(data, settings, compute)
    gradient = score_wells(model, screen.vst, compute, head="is_activated").importance
    assert gradient is not None
    start = dmso_baseline(screen.vst, screen.wells, model)
    some = screen.vst.iloc[::EVERY_SO_MANY_WELLS]
    integrated = integrated_gradients(model, some, start, compute, head="is_activated", steps=20).importance
    by = {
        "Gradient × Input": gradient.set_index("gene")["importance"],
        "Integrated Gradients": integrated.set_index("gene")["importance"],
        "|correlation|": screen.vst.corrwith(label.set_axis(screen.wells["well_id"])).abs(),
    }
    truth = screen.gene_truth.set_index("gene")["is_driver"]
    return {name: float(roc_auc_score(truth, score[truth.index])) for name, score in by.items()}


def main(seeds: Sequence[int]) -> None:
    """Print the table."""
    table = pd.DataFrame({seed: driver_gene_areas(seed) for seed in seeds}).T
    print("| seed | " + " | ".join(table.columns) + " |\n|" + " --- |" * (len(table.columns) + 1))
    for seed, row in table.iterrows():
        print(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    main(parser.parse_args().seeds)
