"""Time of hit calling with 100 000 null draws, by one feature set and by all of them with a model's latents.

A screen of the published size, and one of ten thousand metabolites, 1 000 genes.

`python -m benchmarks.hit_calling` prints a line a screen and then one line of JSON.
"""

from __future__ import annotations

import json
import resource
import time
from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.science.plates.plate_geometry import row_letter
from tcell_assets.science.screen.feature_sets import expression_feature_sets
from tcell_assets.science.screen.hit_calling import FeatureSet, call_combined_hits, call_hits
from tcell_assets.science.screen.settings import HitRule

ROWS, COLUMNS, LATENT, GENES = 8, 12, 32, 1000


def screen(plates: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return wells and noise latents of two batches of 96-well plates, each metabolite once a batch, 5 % DMSO."""
    generator = np.random.default_rng(614)
    row, column = (axis.ravel() + 1 for axis in np.indices((ROWS, COLUMNS)))
    frames = []
    for batch in ("tc1", "tc2"):
        for plate in range(plates):
            frame = pd.DataFrame({"row": [row_letter(int(one)) for one in row], "column": column})
            frame["batch"], frame["plate"] = batch, f"P{plate + 1}"
            frame["metabolite"] = [
                f"metabolite {plate * ROWS * COLUMNS + well}" for well in range(ROWS * COLUMNS)
            ]
            frame.loc[frame.index % 20 == 0, "metabolite"] = "DMSO"
            frames.append(frame)
    wells = pd.concat(frames, ignore_index=True)
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    wells["is_activated"] = generator.random(len(wells)) < 0.63
    wells["well_id"] = [f"w{number}" for number in range(len(wells))]
    latents = pd.DataFrame(
        generator.normal(size=(len(wells), LATENT)), columns=[f"z_{axis:02d}" for axis in range(LATENT)]
    )
    latents.insert(0, "well_id", wells["well_id"])
    return wells, latents


def measure(plates: int) -> dict[str, Any]:
    """Call hits once and return the seconds."""
    wells, latents = screen(plates)
    started = time.perf_counter()
    call_hits(latents, latents, wells)
    by_one_set = time.perf_counter() - started
    values = np.random.default_rng(1).normal(size=(len(wells), GENES)).astype(np.float32)
    expression = pd.DataFrame(
        values, index=pd.Index(wells["well_id"]), columns=[f"G{one}" for one in range(GENES)]
    )
    started = time.perf_counter()
    sets = expression_feature_sets(expression, expression)
    sets["latent"] = FeatureSet(latents, latents)
    call_combined_hits(sets, wells)
    return {
        "feature_sets": len(sets),
        "metabolites": int(wells.loc[~wells["is_dmso"], "metabolite"].nunique()),
        "draws": HitRule().draws,
        "seconds": round(by_one_set, 2),
        "seconds_all_sets": round(time.perf_counter() - started, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure both sizes."""
    results = [measure(plates) for plates in (4, 115)]
    for result in results:
        print(
            "{metabolites} metabolites, {draws} draws: {seconds} s, {feature_sets} feature sets "
            "{seconds_all_sets} s, peak {peak_gib} GiB".format(**result)
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
