"""Screens whose active metabolites are known, for hit calling: several kinds of effect, noise and layout.

Each well's expression is `base + plate + row and column effects + cell state + effect + noise`. A fifth of the
metabolites act. Two gene-programme axes of cell state vary from well to well, so that wells differ without a treatment,
as wells do; `|effect|` is drawn per metabolite, so that some are hard to find in every truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tcell_assets.science.plates.plate_geometry import PLATE_SHAPES, is_edge, row_letter

Effects = Literal["shared", "own", "none"]
Layout = Literal["random", "one_well"]

DMSO_WELLS_A_PLATE = 5
ACTIVE_SHARE = 0.2
PROGRAMMES = 6


@dataclass(frozen=True)
class HitTruth:
    """What is simulated.

    Attributes:
        effects: `shared`: an active metabolite moves one or two of six gene programmes. `own`: it moves a random tenth
            of the genes of its own. `none`: nothing acts.
        layout: `random`: positions drawn anew for each batch; `one_well`: a metabolite lies at one well of one plate in
            every batch.
        genes: Genes.
        batches: Batches; a metabolite has one well in each, or `replicates` in one batch.
        plates: Plates a batch.
        wells_per_plate: 96 or 384.
        tail: Degrees of freedom of the noise.
        replicates: Wells a metabolite in a batch; above 1 they lie on different plates.
        position: Size of the row and column effects, in standard deviations of the noise.
        strength: Scale of the effects; 1 is where the rule on 20 components finds about two thirds (shared) or a third
            (own) at 256 genes.
    """

    effects: Effects = "shared"
    layout: Layout = "random"
    genes: int = 256
    batches: int = 2
    plates: int = 4
    wells_per_plate: Literal[96, 384] = 96
    tail: float = 4.0
    replicates: int = 1
    position: float = 0.5
    strength: float = 1.0


@dataclass(frozen=True)
class TruthScreen:
    """Wells, expression (index `well_id`) and the names of the metabolites that act."""

    wells: pd.DataFrame
    expression: pd.DataFrame
    active: frozenset[str]


def simulate_hits(truth: HitTruth, seed: int) -> TruthScreen:
    """Simulate one screen."""
    random = np.random.default_rng(seed)
    wells = _wells(truth, random)
    names = np.array(sorted(set(wells["metabolite"]) - {"DMSO"}), dtype=object)
    is_active = np.zeros(len(names), dtype=bool)
    if truth.effects != "none":
        is_active[random.permutation(len(names))[: round(ACTIVE_SHARE * len(names))]] = True
    effects = _effects(truth, is_active, random)
    code = pd.Series(range(len(names)), index=names).reindex(wells["metabolite"]).to_numpy()
    values = np.zeros((len(wells), truth.genes))
    treated = np.isfinite(code)
    values[treated] = effects[code[treated].astype(int)]
    values += _plates_and_positions(truth, wells, random)
    # Two programmes of cell state vary between wells without any treatment.
    state = _loadings(truth.genes, 2, random)
    values += random.normal(size=(len(wells), 2)) @ state
    noise = random.standard_t(truth.tail, size=values.shape) / np.sqrt(truth.tail / (truth.tail - 2))
    spread = random.uniform(0.5, 1.5, size=truth.genes)
    expression = random.uniform(4.0, 12.0, size=truth.genes) + spread * (values + noise)
    columns = [f"gene_{number:04d}" for number in range(truth.genes)]
    return TruthScreen(
        wells,
        pd.DataFrame(expression, index=pd.Index(wells["well_id"], name="well_id"), columns=columns),
        frozenset(names[is_active]),
    )


def _wells(truth: HitTruth, random: np.random.Generator) -> pd.DataFrame:
    shape = PLATE_SHAPES[truth.wells_per_plate]
    row, column = (axis.ravel() + 1 for axis in np.indices(shape))
    per_plate = len(row) - DMSO_WELLS_A_PLATE
    places = truth.plates * per_plate
    names = [f"m{number:05d}" for number in range(places // truth.replicates)]
    frames = []
    order: list[np.ndarray] = []
    for batch in range(truth.batches):
        if not order or truth.layout == "random":
            order = _treatments(truth, names, len(row), random)
        for plate, treatment in enumerate(order):
            frames.append(
                pd.DataFrame(
                    {
                        "batch": f"b{batch + 1}",
                        "plate": f"P{plate + 1}",
                        "row": [row_letter(int(one)) for one in row],
                        "column": column,
                        "is_edge": is_edge(row, column, shape),
                        "metabolite": treatment,
                    }
                )
            )
    wells = pd.concat(frames, ignore_index=True)
    wells["well"] = wells["row"] + wells["column"].astype(str)
    wells.insert(0, "well_id", wells["batch"] + "_" + wells["plate"] + "_" + wells["well"])
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    wells["is_activated"] = np.nan
    return wells[wells["metabolite"] != ""].reset_index(drop=True)


def _treatments(
    truth: HitTruth, names: list[str], wells: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Treatment of every well of a batch, one array a plate; replicates of a batch lie on different plates."""
    per_plate = wells - DMSO_WELLS_A_PLATE
    copies = np.array([name for name in names for _ in range(truth.replicates)], dtype=object)
    shuffled = random.permutation(len(names))
    copies = copies.reshape(len(names), truth.replicates)[shuffled].T.ravel()
    # Copies of one metabolite stand len(names) places apart, so at most plates / replicates apart they differ in plate.
    treatments = []
    for plate in range(truth.plates):
        mine = copies[plate * per_plate : (plate + 1) * per_plate]
        filled = np.full(wells, "", dtype=object)
        filled[: len(mine)] = mine
        filled[len(mine) : len(mine) + DMSO_WELLS_A_PLATE] = "DMSO"
        treatments.append(filled[random.permutation(wells)])
    return treatments


def _loadings(genes: int, number: int, random: np.random.Generator) -> np.ndarray:
    """Programmes over genes, each of about 15 % of them, in standard deviations of a gene's noise."""
    return 0.5 * random.normal(size=(number, genes)) * (random.random((number, genes)) < 0.15)


def _effects(truth: HitTruth, is_active: np.ndarray, random: np.random.Generator) -> np.ndarray:
    effects = np.zeros((len(is_active), truth.genes))
    active = np.flatnonzero(is_active)
    size = truth.strength * random.uniform(1.0, 4.0, size=len(active))
    if truth.effects == "shared":
        programmes = _loadings(truth.genes, PROGRAMMES, random)
        for metabolite, amount in zip(active, size, strict=True):
            chosen = random.choice(PROGRAMMES, size=random.integers(1, 3), replace=False)
            effects[metabolite] = amount * random.choice([-1.0, 1.0], size=len(chosen)) @ programmes[chosen]
    elif truth.effects == "own":
        for metabolite, amount in zip(active, size, strict=True):
            moved = np.flatnonzero(random.random(truth.genes) < 0.1)
            effects[metabolite, moved] = amount * 0.9 * random.normal(size=len(moved))
    return effects


def _plates_and_positions(truth: HitTruth, wells: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """Plate offsets of every gene, and smooth row and column effects along gene programmes of their own."""
    plate = pd.factorize(wells["batch"] + wells["plate"])[0]
    offsets = 0.5 * random.normal(size=(plate.max() + 1, truth.genes))
    row = pd.factorize(wells["row"], sort=True)[0]
    column = wells["column"].to_numpy()
    along = np.column_stack([(axis - axis.mean()) / axis.std() for axis in (row, column)])
    edge = wells["is_edge"].to_numpy(dtype=float) - wells["is_edge"].mean()
    loadings = _loadings(truth.genes, 3, random) * 2.0
    return np.asarray(offsets[plate] + truth.position * np.column_stack([along, edge]) @ loadings)
