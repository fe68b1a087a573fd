"""Kills a training ten times at random moments of its epochs, lets it go on each time, and reports what it lost."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tcell_assets_tests.robustness.kill_storm import forked
from tcell_assets_tests.small_screen import NARROW

if TYPE_CHECKING:
    from tcell_assets.science.model.training import Progress, TrainingData

KILLS = 10
EPOCHS = 120
WELLS, GENES = 160, 48
# About five epochs of a training this small.
LONGEST_SECONDS = 0.2
FINISHED_EPOCHS = "epochs.txt"
VERSION = "version.txt"


def training_data() -> TrainingData:
    """Return wells of random numbers; the arithmetic does not care."""
    import numpy as np
    import pandas as pd

    from tcell_assets.science.model.training import TrainingData

    chance = np.random.default_rng(0)
    targets = chance.normal(size=(WELLS, 4))
    wells = pd.DataFrame(targets, columns=["tscore", "cytotrace", "pseudotime", "activation_score"]).assign(
        well_id=[f"tc1_A1_A{number}" for number in range(WELLS)],
        batch="tc1",
        metabolite="DMSO",
        is_dmso=True,
        is_activated=(targets[:, 0] > 0).astype(float),
    )
    expression = chance.normal(size=(WELLS, GENES)).astype(np.float32)
    return TrainingData(expression, tuple(f"G{number}" for number in range(GENES)), wells, {"tc1": "0"})


def train_in(folder: Path, kill_after: float | None) -> None:
    """Train with checkpoints in `folder`; after the first epoch wait so many seconds and kill this process."""
    import torch

    from tcell_assets.science.model.compute import resolve_compute
    from tcell_assets.science.model.settings import settings_for_preset
    from tcell_assets.science.model.training import train

    torch.set_num_threads(1)
    with (folder / FINISHED_EPOCHS).open("w", buffering=1) as log:

        def note(progress: Progress) -> None:
            if progress.kind != "epoch":
                return
            print(progress.epoch, file=log)
            if kill_after is not None and threading.active_count() == 1:
                threading.Timer(kill_after, os.kill, (os.getpid(), signal.SIGKILL)).start()

        settings = settings_for_preset("published", **{**NARROW, "epochs": EPOCHS})
        compute = resolve_compute(device="cpu", precision="fp32")
        model = train(training_data(), settings, compute, folder / "checkpoint", note)
    (folder / VERSION).write_text(model.version)


def main() -> None:
    """Report the epochs finished before each kill, the first epoch after it, and the two models' versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch.optim  # noqa: F401  # before the forks, so once instead of twelve times

    chance = random.Random(614)
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    forked(partial(train_in, undisturbed, None))
    attempts = []
    for delay in [*(chance.uniform(0, LONGEST_SECONDS) for _ in range(KILLS)), None]:
        _, was_killed = forked(partial(train_in, killed, delay))
        epochs = [int(line) for line in (killed / FINISHED_EPOCHS).read_text().split()]
        attempts.append({"killed": was_killed, "first": epochs[0], "last": epochs[-1]})
    versions = [(part / VERSION).read_text() for part in (undisturbed, killed)]
    json.dump({"attempts": attempts, "versions": versions}, sys.stdout)


if __name__ == "__main__":
    main()
