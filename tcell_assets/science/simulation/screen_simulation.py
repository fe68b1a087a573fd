"""Simulated screens with known truth: counts first, variance stabilisation second, scores computed from expression.

Unit of all effects on cell state: the well-to-well standard deviation of activation between untreated wells. One
numpy Generator, drawn from in a fixed order, makes every number; the thread count plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.science.counts.variance_stabilization import (
    KEEP_ALL_GENES,
    fit_variance_stabilization,
    transform,
)
from tcell_assets.science.plates.plate_geometry import PLATE_SHAPES, is_edge, row_letter, row_number
from tcell_assets.science.simulation.simulated_measurement import (
    draw_counts,
    simulated_counts,
    simulated_scores,
)
from tcell_assets.science.simulation.simulation_names import gene_programmes, metabolite_names

PresetName = Literal["clean", "null", "confounded", "plate_swap", "dead_wells", "sparse"]


DMSO_SHARE = 20 / 384
"""Share of DMSO wells where no number is given: the published screen's 20 of a batch's 384 wells."""

DEAD_SHARE = 0.04


STRONG_EFFECT = 3.0
"""An effect at least this large counts as strong in the truth table."""


@dataclass(frozen=True)
class Preset:
    """What a preset puts into the screen.

    Attributes:
        effect_share: share of metabolites with an effect.
        published_layout: replicates at one position in every batch and DMSO in the outer columns only, instead of
            positions drawn anew for every batch.
        position_strength: standard deviation over the plate of the position's effect on activation.
        position_differs: whether every batch has a position gradient of its own direction.
        depth_position_strength: size of the row, column and edge effects on ln depth.
        median_depth: UMI per well.
        has_dead_wells: whether 4 % of the wells hold almost no RNA.
        has_swap: whether two plates of different batches are exchanged.
    """

    effect_share: float = 0.2
    published_layout: bool = False
    position_strength: float = 0.1
    position_differs: bool = False
    depth_position_strength: float = 0.03
    median_depth: float = 25_000.0
    has_dead_wells: bool = False
    has_swap: bool = False


PRESETS: dict[PresetName, Preset] = {
    "clean": Preset(),
    "null": Preset(effect_share=0.0),
    "confounded": Preset(
        effect_share=0.0, published_layout=True, position_strength=2.5, depth_position_strength=0.15
    ),
    "plate_swap": Preset(published_layout=True, position_strength=2.5, position_differs=True, has_swap=True),
    "dead_wells": Preset(has_dead_wells=True),
    "sparse": Preset(median_depth=1_500.0),
}


@dataclass(frozen=True)
class SimulationSettings:
    """Size, preset and seed of a simulated screen.

    Attributes:
        preset: one of `PRESETS`.
        seed: seed of the one generator.
        n_genes: genes counted, at least 24.
        n_batches: screening batches, by default named tc1, tc2, …
        n_plates: plates per batch, named A1, A2, B1, B2, …
        wells_per_plate: 96, 384 or 1 536.
        dmso_wells: DMSO wells of the whole screen; by default the published share.
        batch_prefix: batches are named by it and their number.

    Raises:
        ValueError: a number is out of range, or the preset needs more batches or plates.
    """

    preset: PresetName = "clean"
    seed: int = 614
    n_genes: int = 2541
    n_batches: int = 2
    n_plates: int = 4
    wells_per_plate: int = 96
    dmso_wells: int | None = None
    batch_prefix: str = "tc"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(
                f"Unknown preset {self.preset!r}; choose one of {', '.join(get_args(PresetName))}."
            )
        if self.wells_per_plate not in PLATE_SHAPES:
            raise ValueError(
                f"wells_per_plate is {self.wells_per_plate}; a plate has 96, 384 or 1 536 wells."
            )
        if not 1 <= self.n_plates <= 52 or self.n_batches < 1:
            raise ValueError("A screen needs at least one batch, and 1 to 52 plates in each.")
        if PRESETS[self.preset].published_layout and self.n_batches < 2:
            raise ValueError(f"Preset {self.preset} compares batches and needs at least 2 of them.")
        if PRESETS[self.preset].has_swap and self.n_plates < 3:
            raise ValueError(
                f"Preset {self.preset} needs at least 3 plates per batch: of 2 plates, none tells which is foreign."
            )
        wells_per_batch = self.n_plates * self.wells_per_plate
        if self.dmso_wells is not None and not (
            3 * self.n_batches <= self.dmso_wells <= self.n_batches * wells_per_batch // 2
            and self.dmso_wells % self.n_batches == 0
        ):
            raise ValueError(
                f"dmso_wells is {self.dmso_wells}; it must be a multiple of the {self.n_batches} batches, at least 3 "
                f"and at most {wells_per_batch // 2} in each."
            )

    @property
    def dmso_wells_per_batch(self) -> int:
        """DMSO wells of one batch; in a single batch the rest of the wells is an even number, two per metabolite."""
        if self.dmso_wells is not None:
            return self.dmso_wells // self.n_batches
        wells_per_batch = self.n_plates * self.wells_per_plate
        wanted = round(DMSO_SHARE * wells_per_batch)
        return wanted + (self.n_batches == 1) * ((wells_per_batch - wanted) % 2)

    @property
    def n_metabolites(self) -> int:
        """Metabolites of the screen: one replicate in every batch, or two replicates in a single batch."""
        treated = self.n_plates * self.wells_per_plate - self.dmso_wells_per_batch
        return treated if self.n_batches > 1 else (treated + 1) // 2


@dataclass(frozen=True)
class SimulatedScreen:
    """A simulated screen and the truth it was made from.

    Attributes:
        settings: what was asked for.
        counts: UMI counts, wells × genes, in the order of `wells` and of the columns of `vst`.
        vst: variance-stabilised expression, index `well_id`, one float32 column per gene.
        wells: one row per well: `well_id, batch, plate, well, row, column, is_edge, metabolite, is_dmso, tscore,
            cytotrace, pseudotime, is_activated, activation_score`.
        metabolite_truth: `metabolite, effect_class` (activator, suppressor, other, none), `effect_strength` (signed
            along activation, positive for other), `is_strong`.
        gene_truth: `gene, programme, weight` (log2 per unit of its programme), `is_driver` (of activation).
        well_truth: `well_id, metabolite_effect, position_effect, activation, depth, is_dead, swapped_with` (the
            `<batch>_<plate>` whose content the well holds, or None).
    """

    settings: SimulationSettings
    counts: sparse.csr_matrix
    vst: pd.DataFrame
    wells: pd.DataFrame
    metabolite_truth: pd.DataFrame
    gene_truth: pd.DataFrame
    well_truth: pd.DataFrame


def simulate_screen(settings: SimulationSettings) -> SimulatedScreen:
    """Simulate a whole screen.

    Args:
        settings: size, preset and seed; the same settings give the same screen.
    """
    preset = PRESETS[settings.preset]
    generator = np.random.default_rng(settings.seed)
    gene_truth, base = _genes(settings.n_genes, generator)
    metabolite_truth = _metabolites(settings.n_metabolites, preset.effect_share, generator)
    wells = _layout(settings, preset, generator)
    well_truth = _well_truth(wells, metabolite_truth, settings, preset, generator)
    effects = _metabolite_gene_effects(metabolite_truth, settings.n_genes, generator)
    counts = simulated_counts(wells, well_truth, metabolite_truth, gene_truth, base, effects, generator)
    if preset.has_swap:
        counts, well_truth = _swap_two_plates(counts, wells, well_truth, generator)
    genes = list(gene_truth["gene"])
    well_ids = list(wells["well_id"])
    fit = fit_variance_stabilization(counts, genes, well_ids, KEEP_ALL_GENES)
    vst = transform(counts, genes, well_ids, fit)
    scores = simulated_scores(vst, counts, gene_truth, generator)
    return SimulatedScreen(
        settings=settings,
        counts=counts,
        vst=vst,
        wells=pd.concat([wells, scores], axis=1),
        metabolite_truth=metabolite_truth,
        gene_truth=gene_truth,
        well_truth=well_truth,
    )


def simulate_expression_for(wells: pd.DataFrame, n_genes: int = 2541, seed: int = 614) -> pd.DataFrame:
    """Simulate expression that fits given targets, for a sample sheet published without its expression.

    Activation and resting genes follow the mean of Tscore and pseudotime, proliferation genes follow CytoTRACE, all
    other genes are noise; a well without a target gets the average of 0.

    Args:
        wells: `well_id, tscore, cytotrace, pseudotime`, z-scored targets.
        n_genes: genes to simulate, at least 24.
        seed: seed of the generator.

    Returns:
        Variance-stabilised expression, index `well_id`, one float32 column per gene.
    """
    generator = np.random.default_rng(seed)
    gene_truth, base = _genes(n_genes, generator)
    targets = wells[["tscore", "cytotrace", "pseudotime"]].astype(float).fillna(0.0)
    weights = gene_truth["weight"].to_numpy()
    in_programme = {
        name: weights * (gene_truth["programme"] == name) for name in gene_truth["programme"].unique()
    }
    # One standard deviation of a target stands for two of the well-to-well noise, so that it can be learnt.
    activation = (targets["tscore"] + targets["pseudotime"]).to_numpy()
    log2_mean = (
        base
        + activation[:, None] * (in_programme["activation"] + in_programme["resting"]).to_numpy()
        + 2.0 * targets["cytotrace"].to_numpy()[:, None] * in_programme["proliferation"].to_numpy()
    )
    depth = 25_000.0 * generator.lognormal(0.0, 0.3, len(wells))
    counts = draw_counts(log2_mean, depth, base, generator)
    genes, well_ids = list(gene_truth["gene"]), list(wells["well_id"])
    return transform(
        counts, genes, well_ids, fit_variance_stabilization(counts, genes, well_ids, KEEP_ALL_GENES)
    )


def _genes(n_genes: int, generator: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Gene table in random order and each gene's log2 base expression."""
    programme_of = gene_programmes(n_genes)
    genes = np.array(list(programme_of), dtype=object)[generator.permutation(n_genes)]
    programme = np.array([programme_of[gene] for gene in genes], dtype=object)
    is_background = programme == "background"
    abundant = np.isin(programme, ["mitochondrial", "ribosomal"])
    # Background spans five orders of magnitude as transcriptomes do; programme genes are chosen to be measurable.
    base = np.where(
        is_background,
        generator.normal(-1.0, 2.0, n_genes),
        generator.normal(1.0, 1.0, n_genes) + 2.0 * abundant,
    )
    weight = generator.uniform(0.15, 0.5, n_genes) * ~(is_background | abundant)
    weight[programme == "resting"] *= -1.0
    is_driver = np.isin(programme, ["activation", "resting"])
    table = pd.DataFrame({"gene": genes, "programme": programme, "weight": weight, "is_driver": is_driver})
    return table, base


def _metabolites(n_metabolites: int, effect_share: float, generator: np.random.Generator) -> pd.DataFrame:
    """Spike and slab: most metabolites do nothing, the others do one clear thing."""
    names = np.array(metabolite_names(n_metabolites), dtype=object)[generator.permutation(n_metabolites)]
    n_active = round(effect_share * n_metabolites)
    effect_class = np.full(n_metabolites, "none", dtype=object)
    effect_class[:n_active] = np.resize(
        ["activator", "suppressor", "activator", "suppressor", "other"], n_active
    )
    strength = np.zeros(n_metabolites)
    strength[:n_active] = generator.uniform(1.5, 5.0, n_active)
    is_strong = strength >= STRONG_EFFECT
    strength[effect_class == "suppressor"] *= -1.0
    return pd.DataFrame(
        {
            "metabolite": names,
            "effect_class": effect_class,
            "effect_strength": strength,
            "is_strong": is_strong,
        }
    )


def _layout(settings: SimulationSettings, preset: Preset, generator: np.random.Generator) -> pd.DataFrame:
    shape = PLATE_SHAPES[settings.wells_per_plate]
    row, column = (axis.ravel() + 1 for axis in np.indices(shape))
    plates = [f"{row_letter(1 + number // 2)}{1 + number % 2}" for number in range(settings.n_plates)]
    names = np.array(metabolite_names(settings.n_metabolites), dtype=object)
    copies = names if settings.n_batches > 1 else np.concatenate([names, names])
    frames = []
    treatments: list[np.ndarray] = []
    for batch_number in range(settings.n_batches):
        if not treatments or not preset.published_layout:
            treatments = _treatments(settings, preset, copies, shape, generator)
        frames += [
            pd.DataFrame(
                {
                    "batch": f"{settings.batch_prefix}{batch_number + 1}",
                    "plate": plate,
                    "well": [f"{row_letter(int(r))}{c}" for r, c in zip(row, column, strict=True)],
                    "row": [row_letter(int(r)) for r in row],
                    "column": column,
                    "is_edge": is_edge(row, column, shape),
                    "metabolite": treatment,
                }
            )
            for plate, treatment in zip(plates, treatments, strict=True)
        ]
    wells = pd.concat(frames, ignore_index=True)
    wells.insert(0, "well_id", wells["batch"] + "_" + wells["plate"] + "_" + wells["well"])
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    return wells


def _treatments(
    settings: SimulationSettings,
    preset: Preset,
    names: np.ndarray,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Treatment of every well of one batch, one array per plate."""
    share, further = divmod(settings.dmso_wells_per_batch, settings.n_plates)
    dmso_per_plate = [share + (number >= settings.n_plates - further) for number in range(settings.n_plates)]
    remaining = list(names[generator.permutation(len(names))])
    treatments = []
    for n_dmso in dmso_per_plate:
        if preset.published_layout:
            # As published: up the last column from the lowest row, then up the first one.
            rows_upwards = np.arange(shape[0])[::-1] * shape[1]
            half = shape[0] // 2
            candidates = np.concatenate(
                [
                    rows_upwards[:half] + shape[1] - 1,
                    rows_upwards[:half],
                    rows_upwards[half:] + shape[1] - 1,
                    rows_upwards[half:],
                ]
            )
            dmso = candidates[:n_dmso]
            if n_dmso > len(candidates):
                raise ValueError(
                    f"{n_dmso} DMSO wells do not fit the two outer columns of a plate; use at most {len(candidates)}."
                )
        else:
            dmso = generator.choice(settings.wells_per_plate, n_dmso, replace=False)
        treatment = np.full(settings.wells_per_plate, "DMSO", dtype=object)
        treated = np.setdiff1d(np.arange(settings.wells_per_plate), dmso)
        treatment[treated], remaining = remaining[: len(treated)], remaining[len(treated) :]
        treatments.append(treatment)
    return treatments


def _well_truth(
    wells: pd.DataFrame,
    metabolite_truth: pd.DataFrame,
    settings: SimulationSettings,
    preset: Preset,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Cell state and depth of every well."""
    n_wells = len(wells)
    shape = PLATE_SHAPES[settings.wells_per_plate]
    downwards = 2.0 * (wells["row"].map(row_number).to_numpy() - 1) / (shape[0] - 1) - 1.0
    leftwards = 1.0 - 2.0 * (wells["column"].to_numpy() - 1) / (shape[1] - 1)
    batch_number = pd.factorize(wells["batch"])[0]
    plate_number = pd.factorize(wells["batch"] + "_" + wells["plate"])[0]
    angle = np.full(n_wells, np.pi / 4)
    if preset.position_differs:
        angle = np.deg2rad(15.0 + 60.0 * batch_number / max(settings.n_batches - 1, 1))
    # Additive in row and column, so that a median polish can in principle take all of it away.
    field = np.cos(angle) * leftwards + np.sin(angle) * downwards
    position_effect = preset.position_strength * field / field.std()
    is_activation = metabolite_truth["effect_class"] != "other"
    strength_of = metabolite_truth.assign(strength=metabolite_truth["effect_strength"] * is_activation)
    metabolite_effect = (
        wells["metabolite"].map(strength_of.set_index("metabolite")["strength"]).fillna(0.0).to_numpy()
    )
    batch_effect = generator.normal(0.0, 0.15, batch_number.max() + 1)[batch_number]
    plate_effect = generator.normal(0.0, 0.15, plate_number.max() + 1)[plate_number]
    activation = (
        metabolite_effect
        + position_effect
        + batch_effect
        + plate_effect
        + generator.normal(0.0, 1.0, n_wells)
    )
    ln_depth = (
        generator.normal(0.0, 0.05, plate_number.max() + 1)[plate_number]
        + preset.depth_position_strength * (downwards - leftwards - wells["is_edge"].to_numpy())
        + generator.normal(0.0, 0.3, n_wells)
    )
    is_dead = np.zeros(n_wells, dtype=bool)
    if preset.has_dead_wells:
        is_dmso = wells["is_dmso"].to_numpy()
        # One of them is a DMSO well, since those would spoil every centre.
        is_dead[generator.choice(np.flatnonzero(is_dmso), 1)] = True
        is_dead[
            generator.choice(np.flatnonzero(~is_dead), max(1, round(DEAD_SHARE * n_wells) - 1), replace=False)
        ] = True
    depth = (
        preset.median_depth
        * np.exp(ln_depth)
        * np.where(is_dead, generator.uniform(0.005, 0.03, n_wells), 1.0)
    )
    return pd.DataFrame(
        {
            "well_id": wells["well_id"],
            "metabolite_effect": metabolite_effect,
            "position_effect": position_effect,
            "activation": np.where(is_dead, 0.0, activation),
            "depth": depth,
            "is_dead": is_dead,
            "swapped_with": pd.Series([None] * n_wells, dtype=object),
        }
    )


def _metabolite_gene_effects(
    metabolite_truth: pd.DataFrame, n_genes: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """A signature of its own for every active metabolite: log2 changes of 2 % of the genes."""
    active = metabolite_truth[metabolite_truth["effect_class"] != "none"]
    return {
        name: 0.15 * strength * generator.normal(size=n_genes) * (generator.random(n_genes) < 0.02)
        for name, strength in zip(active["metabolite"], active["effect_strength"].abs(), strict=True)
    }


def _swap_two_plates(
    counts: sparse.csr_matrix, wells: pd.DataFrame, well_truth: pd.DataFrame, generator: np.random.Generator
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Exchange what lies on two plates of the same name in two batches, keeping the labels."""
    batches = generator.choice(wells["batch"].unique(), 2, replace=False)
    plate = generator.choice(wells["plate"].unique())
    first, second = (
        np.flatnonzero((wells["batch"] == batch) & (wells["plate"] == plate)) for batch in batches
    )
    source = np.arange(len(wells))
    source[first], source[second] = second, first
    moved = well_truth.iloc[source].reset_index(drop=True).assign(well_id=well_truth["well_id"])
    moved.loc[first, "swapped_with"] = f"{batches[1]}_{plate}"
    moved.loc[second, "swapped_with"] = f"{batches[0]}_{plate}"
    return counts[source], moved
