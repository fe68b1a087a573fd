"""Small screens, networks and trainings that the engine's tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.settings import TrainingSettings, settings_for_preset
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.model.training import TrainingData, train

ONE_THREAD = Compute(threads=1)
SMALL_NETWORK = {"d_model": 16, "heads": 2, "layers": 2, "feed_forward": 32, "latent": 8}


def small_screen(wells: int = 60, genes: int = 12, seed: int = 0) -> TrainingData:
    """Wells whose targets are linear in the expression; expression lies around 8 as VST values do."""
    random = np.random.default_rng(seed)
    expression = (8 + random.normal(size=(wells, genes))).astype(np.float32)
    scores = (expression - 8) @ random.normal(size=(genes, 3)) / np.sqrt(genes)
    table = pd.DataFrame(
        {
            "well_id": [f"tc{1 + i % 2}_A1_{i:03d}" for i in range(wells)],
            "batch": [f"tc{1 + i % 2}" for i in range(wells)],
            "metabolite": [f"metabolite_{i // 2}" for i in range(wells)],
            "is_dmso": [i % 10 == 0 for i in range(wells)],
            "tscore": scores[:, 0],
            "cytotrace": scores[:, 1],
            "pseudotime": scores[:, 2],
            "is_activated": (scores[:, 2] > -0.3).astype(float),
            "activation_score": 40 + 7 * scores.sum(axis=1),
        }
    )
    return TrainingData(
        expression, tuple(f"GENE{i}" for i in range(genes)), table, {"tc1": "hash-1", "tc2": "hash-2"}
    )


def small_settings(preset: str = "published", **overrides: Any) -> TrainingSettings:
    """Three epochs of a small network; every field may be overridden."""
    return settings_for_preset(preset, **{"epochs": 3, "batch_size": 16, **SMALL_NETWORK, **overrides})


def small_model(data: TrainingData | None = None, **overrides: Any) -> TrainedModel:
    """A model trained in under a second."""
    return train(data or small_screen(), small_settings(**overrides), ONE_THREAD)


def expression_frame(data: TrainingData) -> pd.DataFrame:
    """The expression as the platform passes it between packages."""
    return pd.DataFrame(
        data.expression, index=pd.Index(data.wells["well_id"], name="well_id"), columns=list(data.genes)
    )
