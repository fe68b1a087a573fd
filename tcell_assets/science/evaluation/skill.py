"""Whether a model has learnt anything: its predictions of the wells held out of its training against their mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import compounds, is_treated
from tcell_assets.science.evaluation.prediction_metrics import bootstrap_weights, r_squared
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.system.files import write_atomically
from tcell_assets.targets import Target, evaluated

if TYPE_CHECKING:
    from upath import UPath

    from tcell_assets.science.model.scoring import WellScores
    from tcell_assets.science.model.trained_model import TrainedModel
    from tcell_assets.science.model.training_data import TrainingData

FILE = "held_out_skill.json"
# Of fewer compounds a bootstrap tells nothing, and a screen so small is not refused its model for it.
FEWEST_COMPOUNDS = 10
DRAWS = 1000
# One-sided: an interval that reaches down to the mean is no skill.
LEVEL = 0.95


@dataclass(frozen=True)
class TargetSkill:
    """How well one target is predicted on held-out wells.

    Attributes:
        target: Its name.
        r2: R² against the mean of the same wells; of a label that of its probability, the Brier skill score. The
            AUROC would not do: an untrained network's output has one of .8 or .2 on a screen with one strong axis.
        low: Its lower bound of 95 %, by a bootstrap over compounds.
        n_wells: Held-out treated wells with a value.
    """

    target: str
    r2: float
    low: float
    n_wells: int

    @property
    def is_better(self) -> bool:
        """Whether the lower bound is above what the mean reaches."""
        return self.low > 0


@dataclass(frozen=True)
class HeldOutSkill:
    """What a model predicts better than the mean; no targets where too few compounds were held out to say."""

    targets: tuple[TargetSkill, ...]

    @property
    def is_none(self) -> bool:
        """Whether the model is known to predict nothing better than the mean."""
        return bool(self.targets) and not any(target.is_better for target in self.targets)

    @property
    def sentence(self) -> str:
        """What is known of it, in words."""
        if not self.targets:
            return f"fewer than {FEWEST_COMPOUNDS} compounds were held out, so nothing is known of its skill"
        numbers = ", ".join(
            f"{target.target} R² {target.r2:.2f} (at least {target.low:.2f})" for target in self.targets
        )
        wells = max(target.n_wells for target in self.targets)
        if self.is_none:
            return f"no better than the mean on its {wells} held-out wells: {numbers}"
        worse = [target.target for target in self.targets if not target.is_better]
        but = f", but not for {', '.join(worse)}" if worse else ""
        return f"better than the mean on its {wells} held-out wells{but}: {numbers}"


def held_out_skill(
    model: TrainedModel, data: TrainingData, score: Callable[[TrainedModel, pd.DataFrame], WellScores]
) -> HeldOutSkill:
    """Measure a model on the treated wells that were held out of its training.

    They chose its best epoch, which favours it; a model without skill on them has none. Replicates of a held-out well
    may have been trained on, which favours it too: `model_evaluation` holds out whole compounds.

    Args:
        model: Freshly trained on `data`.
        data: Expression and targets.
        score: Runs the model over expression (index well_id, a column a gene).
    """
    held_out = set(model.split.loc[model.split["split"] != "train", "well_id"])
    rows = np.flatnonzero(data.wells["well_id"].isin(held_out) & is_treated(data.wells))
    if not len(rows):
        return HeldOutSkill(())
    wells = data.wells.iloc[rows].reset_index(drop=True)
    expression = pd.DataFrame(
        data.expression[rows], index=pd.Index(wells["well_id"], name="well_id"), columns=list(data.genes)
    )
    predictions = rows_for_wells(
        score(model, expression).predictions, wells["well_id"].tolist(), "predictions"
    ).reset_index(drop=True)
    return skill_of(
        predictions, wells, [target for target in model.targets if target.name in model.trained_heads]
    )


def skill_of(
    predictions: pd.DataFrame, wells: pd.DataFrame, targets: Sequence[Target], seed: int = 614
) -> HeldOutSkill:
    """Measure predictions, row by row, of the targets that are evaluated.

    Args:
        predictions: A column a target's prediction.
        wells: The same wells with targets and `metabolite`, and `compound` where known.
        targets: Targets that were learnt.
        seed: Of the bootstrap.
    """
    measured = []
    of_compound = compounds(wells).astype(str).to_numpy()
    for target in evaluated(targets):
        observed = pd.to_numeric(wells[target.name], errors="coerce").to_numpy(dtype=np.float64)
        predicted = predictions[target.prediction].to_numpy(dtype=np.float64)
        known = np.isfinite(observed) & np.isfinite(predicted)
        if len(set(of_compound[known])) < FEWEST_COMPOUNDS:
            continue
        weights = bootstrap_weights(of_compound[known], DRAWS, seed)
        values = r_squared(observed[known], predicted[known], weights)
        if not np.isfinite(values[0]):
            continue
        low = float(np.quantile(values[1:][np.isfinite(values[1:])], 1 - LEVEL))
        measured.append(TargetSkill(target.name, float(values[0]), low, int(known.sum())))
    return HeldOutSkill(tuple(measured))


def save_skill(skill: HeldOutSkill, folder: UPath) -> None:
    """Write what is known of a model's skill beside it."""
    text = json.dumps([asdict(target) for target in skill.targets], indent=2)
    write_atomically(folder / FILE, text.encode())


def load_skill(folder: UPath) -> HeldOutSkill | None:
    """Read it; None for a model that was saved before it was measured."""
    path = folder / FILE
    if not path.exists():
        return None
    return HeldOutSkill(tuple(TargetSkill(**target) for target in json.loads(path.read_bytes())))
