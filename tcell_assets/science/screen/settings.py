"""Settings of what is computed over a screen, importable without pandas: hits, distances, map, explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tcell_assets.settings import Settings, seed, setting

ReplicateUnit = Literal["auto", "batch", "plate"]
ReferenceScope = Literal["screen", "batch", "plate", "plate_shrunk"]


@dataclass(frozen=True)
class DistanceSettings(Settings):
    """Which DMSO wells a well is compared with."""

    reference: ReferenceScope = setting(
        "batch",
        "DMSO wells of the whole screen (every batch's current embeddings), of the batch, of the plate, or of the "
        "plate shrunk towards the batch by five wells' worth",
    )
    leave_one_out: bool = setting(
        True,
        "compare a DMSO well with the other DMSO wells only; the published script included it in its own centre, "
        "which makes its distance (n − 1)/n too small",
    )


@dataclass(frozen=True)
class HitRule(Settings):
    """When a metabolite is called a hit."""

    level: float = setting(0.1, "q below which a metabolite is called", above=0, below=1)
    draws: int = setting(
        100_000,
        "null sets of wells drawn a replicate pattern; sets drawn twice count once",
        at_least=1,
    )
    minimum_matched_sets: int = setting(
        200,
        "different sets of wells at one row and column below which the position-matched null is not used",
        at_least=1,
    )
    replicate_unit: ReplicateUnit = setting(
        "auto",
        "what replicates must differ in to be compared; auto takes the batch, and the plate for metabolites whose "
        "replicates all lie in one batch, at the price that an effect of the batch itself is taken for agreement",
    )
    # On simulated screens of 73 active among 364 metabolites (1 000 genes, 5 seeds) 1, 2, 3 and 5 rounds found 51, 81,
    # 90 and 90 % of the strong effects at a false-discovery proportion of 0.01, 0.03, 0.05 and 0.08. Two: a false hit
    # costs more than a missed one.
    null_rounds: int = setting(
        2,
        "rounds of the call on one feature set; later ones leave called metabolites out of the null. Several sets "
        "together take one round more",
        at_least=1,
    )
    principal_components: int = setting(20, "components of expression beside the latent", at_least=1)
    seed: int = seed("of the null draws and the folds of the direction")


@dataclass(frozen=True)
class LatentMapSettings(Settings):
    """How the latent space is drawn in two dimensions."""

    with_umap: bool = setting(
        False, "UMAP beside principal components; loading umap-learn alone takes about 20 s"
    )
    neighbours: int = setting(15, "UMAP's n_neighbors, lowered where there are fewer wells", at_least=2)
    minimum_distance: float = setting(0.1, "UMAP's min_dist", at_least=0)
    seed: int = seed("of UMAP")


@dataclass(frozen=True)
class CorrelationSettings(Settings):
    """How correlations with the phenotype are adjusted and how sure they are."""

    position_adjustment: Literal["plate_median", "median_polish"] = setting(
        "median_polish", "what is taken out of quantity and score for the adjusted rows"
    )
    draws: int = setting(
        500, "bootstrap draws over metabolites; 500 take about 10 s for 768 wells", at_least=1
    )
    level: float = setting(0.95, "level of the intervals", above=0, below=1)
    seed: int = seed("of the bootstrap")


@dataclass(frozen=True)
class DriverSettings(Settings):
    """How many genes a hit shows."""

    top: int = setting(20, "genes a hit", at_least=1)


@dataclass(frozen=True)
class EnrichmentSettings(Settings):
    """Which gene sets are looked for."""

    gene_sets: str = setting("", "a GMT file; empty takes the bundled activation and resting programmes")
    ranked_by: Literal["importance", "signed_importance"] = setting(
        "importance",
        "what ranks the genes. The signed mean of Gradient × Input cancels out over a screen if genes are z-scored: "
        "on a simulated screen it had no relation to the direction of a gene (r 0.08)",
    )
    permutations: int = setting(1000, "permutations of the genes", at_least=1)
    seed: int = seed("of the permutations")


@dataclass(frozen=True)
class ProfileSettings(Settings):
    """How conditions are profiled: neighbours, pathways and dose series."""

    neighbours: int = setting(10, "most neighbours listed an active condition", at_least=1)
    gene_sets: str = setting("", "a GMT file; empty takes the bundled activation and resting programmes")
    dose_level: float = setting(
        0.01, "p of the F-test against a constant below which a dose series is a response", above=0, below=1
    )
    seed: int = seed("of the pairs drawn for the null of the neighbours")
