"""Settings of quality control, the position audit and the adjustment, importable without pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tcell_assets.settings import Settings, SettingsError, seed, setting

Adjustment = Literal["none", "plate_median", "median_polish", "auto"]


@dataclass(frozen=True)
class WellQualityThresholds(Settings):
    """When a well fails. Only technical measures fail a well: being unlike DMSO may be the effect."""

    minimum_total_umi: int = setting(100, "fewest UMI of any well", at_least=0)
    minimum_umi_share: float = setting(
        0.1, "fewest UMI, as a share of the plate's median", at_least=0, at_most=1
    )
    minimum_genes_share: float = setting(
        0.3, "fewest genes seen, as a share of the plate's median", at_least=0, at_most=1
    )
    maximum_mitochondrial_share: float = setting(
        0.5, "largest share of mitochondrial UMI", at_least=0, at_most=1
    )
    maximum_outlier_score: float = setting(
        8.0,
        "largest outlier score of a count measure, robust standard deviations from the plate's median",
        above=0,
    )
    maximum_dmso_correlation_drop: float = setting(
        0.3,
        "a DMSO well fails when its correlation to the plate's other DMSO wells lies this much below their median",
        above=0,
    )


@dataclass(frozen=True)
class PlateQualityThresholds(Settings):
    """When a plate is flagged."""

    maximum_failed_share: float = setting(
        0.3, "share of failed wells above which a plate fails", at_least=0, at_most=1
    )
    fewest_dmso: int = setting(3, "usable DMSO wells below which a plate is to be watched", at_least=1)
    minimum_plate_umi_share: float = setting(
        0.2,
        "median UMI, as a share of the batch's median plate, below which a plate fails",
        at_least=0,
        at_most=1,
    )
    watch_morans_i: float = setting(
        0.2,
        "Moran's I of ln UMI beyond which, on either side, a plate is to be watched (at p < 0.01)",
        above=0,
    )
    watch_edge_effect: float = setting(
        0.5,
        "edge effect of ln UMI, in standard deviations, beyond which a plate is to be watched (at p < 0.01)",
        above=0,
    )
    fewest_controls: int = setting(3, "wells of each control that Z′ and SSMD need", at_least=2)
    permutations: int = setting(999, "permutations behind Moran's p", at_least=1)
    seed: int = seed("of the permutations")


@dataclass(frozen=True)
class QualityThresholds(WellQualityThresholds, PlateQualityThresholds):
    """When wells fail and plates are flagged."""


@dataclass(frozen=True)
class DesignThresholds(Settings):
    """When a layout is to be watched."""

    same_position_share: float = setting(
        0.5,
        "share of replicate pairs at one well position above which replicates cannot tell the metabolite from the "
        "position; randomised plates reach about 1/96",
        at_least=0,
        at_most=1,
    )
    dmso_edge_share: float = setting(
        0.6,
        "share of DMSO wells on edges above which the controls see another plate than the metabolites; a 96-well plate "
        "has 0.375 of its wells there",
        at_least=0,
        at_most=1,
    )
    fewest_dmso_columns: int = setting(
        3, "columns with DMSO below which it sees too little of the plate", at_least=1
    )
    fewest_dmso_per_batch: int = setting(3, "DMSO wells below which a batch has no centre", at_least=1)
    fewest_replicates: int = setting(
        2, "replicates below which a metabolite's result is inconclusive", at_least=1
    )


@dataclass(frozen=True)
class SwapThresholds(Settings):
    """When two plates are a suspected swap."""

    margin: float = setting(
        0.15,
        "how much higher each plate's median correlation must be to the other's batch than to its own",
        above=0,
    )
    margin_apart: float = setting(
        0.04,
        "the same where each suspect is nearer to every plate of the other's batch than to any of its own",
        above=0,
    )
    minimum_correlation: float = setting(
        0.3,
        "each plate's median correlation to the other's batch must reach this; where plate maps share no pattern, "
        "correlations cannot tell batches apart",
        at_least=0,
        at_most=1,
    )
    fewest_plates: int = setting(
        3,
        "plates below which a batch is not judged: of two plates, none tells which one is foreign",
        at_least=3,
    )
    same_treatment: float = setting(
        0.5,
        "plates that share more than this part of their treatments, well by well, are not compared: they resemble each "
        "other whatever batch they are from",
        at_least=0,
        at_most=1,
    )
    profile_margin: float = setting(
        0.5,
        "how much higher the correlation of each plate's mean expression must be to the other's batch than to its own",
        above=0,
    )
    profile_rest: float = setting(
        0.3,
        "how much higher that of 19 of 20 other plates must be to their own batch than to any other: where batches "
        "have no profile of their own, chance puts plates anywhere",
        at_least=0,
    )
    fewest_common_wells: int = setting(
        10, "common positions over which two maps are compared, at least", at_least=3
    )


@dataclass(frozen=True)
class PositionThresholds(Settings):
    """When position explains too much, and how the audit looks for it."""

    watch_r2: float = setting(
        0.1, "R² of the better position-only fit above which a score is to be watched", at_least=0, at_most=1
    )
    confounded_r2: float = setting(
        0.3, "R² above which a score is confounded with position", at_least=0, at_most=1
    )
    watch_auc: float = setting(
        0.65,
        "area under the receiver operating characteristic above which a label is to be watched",
        at_least=0,
        at_most=1,
    )
    confounded_auc: float = setting(
        0.75, "area above which a label is confounded with position", at_least=0, at_most=1
    )
    watch_morans_p: float = setting(
        0.001,
        "p of Moran's I up to which a variable is to be watched although position predicts little of it; each of the "
        "ten or so variables of a screen is tested, so this low. No p is below 1 / (1 + permutations)",
        at_least=0,
        at_most=1,
    )
    folds: int = setting(5, "folds of whole metabolites", at_least=2)
    trees: int = setting(50, "trees of the position-only forest", at_least=1)
    permutations: int = setting(
        999, "permutations within each plate for the p-value of Moran's I", at_least=1
    )
    seed: int = seed("of forest and permutations")

    def __post_init__(self) -> None:
        super().__post_init__()
        for watch, confounded in (("watch_r2", "confounded_r2"), ("watch_auc", "confounded_auc")):
            if getattr(self, watch) > getattr(self, confounded):
                raise SettingsError(
                    f"{watch} {getattr(self, watch)} lies above {confounded} {getattr(self, confounded)}: what is "
                    "confounded is to be watched too"
                )


@dataclass(frozen=True)
class AdjustmentSettings(Settings):
    """How the plate position is taken out."""

    position_adjustment: Adjustment = setting(
        "auto",
        "auto polishes rows and columns where the batch's position audit says confounded, and takes the plate median "
        "out elsewhere",
    )
