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
class PositionThresholds(Settings):
    """When position explains too much, and how the audit looks for it."""

    watch_r2: float = setting(
        0.1, "R² of the position-only forest above which a score is to be watched", at_least=0, at_most=1
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
