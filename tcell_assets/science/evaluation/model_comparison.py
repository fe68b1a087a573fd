"""Whether a freshly trained model may replace the current one: finite losses, and no worse on unseen wells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.targets import Target, by_term

if TYPE_CHECKING:
    from tcell_assets.science.model.scoring import WellScores
    from tcell_assets.science.model.training_data import TrainingData

# Fewer wells that both models have never seen say too little; then all of the candidate's validation wells serve.
FEWEST_UNSEEN_WELLS = 20


@dataclass(frozen=True)
class Comparison:
    """The losses of two models on the same wells.

    Attributes:
        candidate_loss: See `validation_loss`.
        current_loss: Likewise, of the current model.
        n_wells: Wells both were measured on.
        wells: Which wells these are, in words.
        heads: Heads both models have.
    """

    candidate_loss: float
    current_loss: float
    n_wells: int
    wells: str
    heads: tuple[str, ...]

    def is_not_worse(self, tolerance: float) -> bool:
        """Whether the candidate's loss exceeds the current model's by no more than this share of it."""
        return self.candidate_loss <= self.current_loss * (1 + tolerance)


def has_finite_losses(history: pd.DataFrame) -> bool:
    """Whether the total loss of every epoch and split is finite (a term without targets is NaN and not in it)."""
    return bool(np.isfinite(history["total"].to_numpy(dtype=float)).all())


def comparison_wells(candidate: TrainedModel, current: TrainedModel) -> tuple[list[str], str]:
    """Choose which of the candidate's validation wells to compare on, and say so.

    A model knows the wells it was trained on by heart, so the current one would win on those for ever: wells that
    neither was trained on are taken where there are enough.
    """
    validation = candidate.split.loc[candidate.split["split"] == "val", "well_id"]
    trained_on = current.split.loc[current.split["split"] == "train", "well_id"]
    unseen = validation[~validation.isin(trained_on)]
    if len(unseen) >= FEWEST_UNSEEN_WELLS:
        return unseen.tolist(), "the candidate's validation wells that neither model was trained on"
    return validation.tolist(), "the candidate's validation wells; the current model was trained on some"


def shared_heads(candidate: TrainedModel, current: TrainedModel) -> tuple[str, ...]:
    """Heads that both models have trained."""
    return tuple(head for head in candidate.trained_heads if head in current.trained_heads)


def validation_loss(
    predictions: pd.DataFrame, wells: pd.DataFrame, heads: Sequence[str], candidate: TrainedModel
) -> float:
    """The training loss of predictions: the weighted terms, each a mean over its known entries.

    Weights and the scale of standardised targets are the candidate's, whichever model predicted, so that two models'
    losses are comparable.

    Args:
        predictions: `well_id` and the predictions of the heads.
        wells: `well_id` and the targets, NaN where unknown.
        heads: Heads to count, all of them the candidate's.
        candidate: Gives targets, weights and scales.
    """
    joined = wells.merge(predictions, on="well_id", validate="one_to_one", suffixes=("", "_predicted"))
    counted = [target for target in candidate.targets if target.name in heads]
    loss = 0.0
    for first, *others in by_term(counted).values():
        losses = [_losses(target, joined, candidate) for target in (first, *others)]
        loss += first.weight_under(candidate.settings) * _mean_of_known(np.concatenate(losses))
    return loss


def _losses(target: Target, joined: pd.DataFrame, candidate: TrainedModel) -> np.ndarray:
    """What every well adds to the term of a target, NaN where it is unknown."""
    said = joined[target.output].to_numpy(dtype=float)
    truth = joined[target.name].to_numpy(dtype=float)
    if target.is_binary:
        # log(1 + exp(logit)) − label·logit is the cross-entropy, without overflow for large logits.
        return np.asarray(np.logaddexp(0.0, said) - truth * said)
    scale = candidate.scales.get(target.name)
    return np.asarray(np.square((said - truth) / (1.0 if scale is None else scale.standard_deviation)))


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def compare_models(
    candidate: TrainedModel,
    current: TrainedModel,
    data: TrainingData,
    score: Callable[[TrainedModel, pd.DataFrame], WellScores],
) -> Comparison:
    """Measure both models on the same validation wells.

    Args:
        candidate: The freshly trained model.
        current: The one it would replace; its genes are among those of `data`.
        data: What the candidate was trained on.
        score: Runs a model over expression (index well_id, a column a gene).
    """
    well_ids, which = comparison_wells(candidate, current)
    rows = np.flatnonzero(data.wells["well_id"].isin(well_ids))
    wells = data.wells.iloc[rows]
    expression = pd.DataFrame(
        data.expression[rows], index=pd.Index(wells["well_id"], name="well_id"), columns=list(data.genes)
    )
    heads = shared_heads(candidate, current)
    losses = [
        validation_loss(score(model, expression).predictions, wells, heads, candidate)
        for model in (candidate, current)
    ]
    return Comparison(losses[0], losses[1], len(wells), which, heads)
