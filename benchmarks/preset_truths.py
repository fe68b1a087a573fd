"""Small screens with a known linear or non-linear truth, for the comparison of training presets."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from tcell_assets.science.model.training import TrainingData

PROGRAMMES = 8
ARMS = 2
TRUTHS = ("linear", "non_linear", "interactions", "thresholds")
Truth = Literal["linear", "non_linear", "interactions", "thresholds"]


def simulate_truth(truth: Truth, seed: int, wells: int = 384, genes: int = 256) -> TrainingData:
    """Expression driven by eight gene programmes, and targets that are functions of the first four.

    Expression of gene g in well i is `b_g + s_g·(Σ_k L_gk p_ik + e_ig)`: b uniform on 4 to 12 and s on 0.2 to 1, as
    VST values lie; p and e standard normal; a gene loads on a programme with probability 0.15.

    - `linear`: each score is a linear map of the programmes, pseudotime clipped at ±1.5 sd.
    - `non_linear`: Tscore saturates (tanh) and carries the product of two programmes; pseudotime is a Hill
      curve minus the product of two others; CytoTRACE holds a squared programme.
    - `interactions`: every programme has two arms, genes of their own and activities correlated at 0.5; the scores hold
      the product of the arms within a programme, beside linear terms.
    - `thresholds`: steps of single programmes and conjunctions of two.

    Each score is standardised and has noise of variance 0.1, CytoTRACE of 0.3. The label is pseudotime over the
    37 % quantile, so that about 63 % are activated; the legacy score is the sum of the three.

    Args:
        truth: Which of the four.
        seed: Of everything random.
        wells: Number of wells.
        genes: Number of genes.
    """
    random = np.random.default_rng([seed, TRUTHS.index(truth)])
    programmes = random.normal(size=(wells, PROGRAMMES))
    arms = np.stack([programmes] * ARMS, axis=2)
    if truth == "interactions":
        arms = np.sqrt(0.5) * (arms + random.normal(size=arms.shape))
    loadings = random.normal(size=(genes, PROGRAMMES)) * (random.random((genes, PROGRAMMES)) < 0.15)
    driven = programmes @ loadings.T
    if truth == "interactions":
        is_second = random.random((genes, PROGRAMMES)) < 0.5
        driven = arms[:, :, 0] @ (loadings * ~is_second).T + arms[:, :, 1] @ (loadings * is_second).T
    spread = random.uniform(0.2, 1.0, size=genes)
    signal = driven + random.normal(size=(wells, genes))
    expression = random.uniform(4.0, 12.0, size=genes) + spread * signal

    first, second, third, fourth = programmes[:, :4].T
    if truth == "linear":
        tscore = first + 0.5 * second
        pseudotime = np.clip(_standardised(first - 0.5 * third), -1.5, 1.5)
        cytotrace = first + second - third + 0.5 * fourth
    elif truth == "interactions":
        one, other = arms[:, :, 0].T, arms[:, :, 1].T
        tscore = one[0] * other[0] + 0.5 * one[1]
        pseudotime = one[1] + other[1] - 0.8 * one[2] * other[2]
        cytotrace = one[3] * other[3] + 0.7 * one[0]
    elif truth == "thresholds":
        tscore = (first > 0.5) + 0.5 * (second > 0)
        pseudotime = ((first > 0) & (third > 0)) + 0.4 * (fourth > 0.8)
        cytotrace = (second > -0.5) - 1.0 * ((third < -0.5) & (fourth < 0.3))
    else:
        tscore = np.tanh(2.0 * first) + 0.8 * first * second
        pseudotime = 1.0 / (1.0 + np.exp(-3.0 * first)) - 0.4 * third * fourth
        cytotrace = second + 0.5 * (third**2 - 1.0)
    scores = np.column_stack(
        [
            _standardised(values) + random.normal(scale=np.sqrt(noise), size=wells)
            for values, noise in ((tscore, 0.1), (cytotrace, 0.3), (pseudotime, 0.1))
        ]
    )
    table = pd.DataFrame(scores, columns=["tscore", "cytotrace", "pseudotime"])
    table.insert(0, "well_id", [f"tc{1 + i % 2}_A1_{i:04d}" for i in range(wells)])
    table.insert(1, "batch", [f"tc{1 + i % 2}" for i in range(wells)])
    table.insert(2, "metabolite", [f"metabolite_{i // 2}" for i in range(wells)])
    table.insert(3, "is_dmso", False)
    table["is_activated"] = (table["pseudotime"] > table["pseudotime"].quantile(0.37)).astype(float)
    table["activation_score"] = scores.sum(axis=1)
    names = tuple(f"gene_{i:04d}" for i in range(genes))
    return TrainingData(
        expression.astype(np.float32), names, table, {"tc1": f"{truth}-{seed}", "tc2": f"{truth}-{seed}"}
    )


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()
