"""The loss: what each target adds to it, and its means over wells.

`Σ_terms weight · mean over the known entries of the term's targets`, which for the published five is
`MSE + BCE + λ·MSE_activation`. A number adds its squared error, a label its cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tcell_assets.science.model.network import NetworkOutput
from tcell_assets.science.model.settings import TrainingSettings
from tcell_assets.targets import Target, by_term


class Loss:
    """The loss of some targets; every array of it has a column a target, in their order."""

    def __init__(self, targets: Sequence[Target], settings: TrainingSettings) -> None:
        """Take the weights of the terms from the targets or, where they name one, from a setting."""
        self.targets = tuple(targets)
        term_of = np.array([target.term for target in targets])
        self.columns_of_term = {term: np.flatnonzero(term_of == term) for term in by_term(targets)}
        self.weight_of_term = {
            term: first.weight_under(settings) for term, (first, *_) in by_term(targets).items()
        }

    def of_wells(self, output: NetworkOutput, targets: Tensor) -> Tensor:
        """Loss of every well and target (wells, targets), 0 where the target is unknown; in fp32."""
        known = ~targets.isnan()
        targets = torch.where(known, targets, 0.0)
        columns = [
            binary_cross_entropy_with_logits(output.heads[target.name], truth, reduction="none")
            if target.is_binary
            else (output.heads[target.name] - truth).square()
            for target, truth in zip(self.targets, targets.unbind(dim=1), strict=True)
        ]
        return torch.where(known, torch.stack(columns, dim=1), 0.0)

    def weights(self, known: np.ndarray) -> np.ndarray:
        """What each target's loss counts in a batch's, so that each term is a mean over its known entries.

        Args:
            known: (wells, targets) of the batch.
        """
        weights = np.zeros(known.shape[1], dtype=np.float32)
        for term, columns in self.columns_of_term.items():
            weights[columns] = self.weight_of_term[term] / max(known[:, columns].sum(), 1)
        return weights


class LossSums:
    """Sums of the losses over wells, so that an epoch's loss is a mean over wells, not over batches."""

    def __init__(self, loss: Loss) -> None:
        """Start at no well."""
        self.loss = loss
        self.sums = np.zeros(len(loss.targets))
        self.counts = np.zeros(len(loss.targets), dtype=np.int64)

    def add(self, terms: np.ndarray, known: np.ndarray) -> None:
        """Add the losses (wells, targets) of some wells, and which of them are of known targets."""
        self.sums += terms.sum(axis=0, dtype=np.float64)
        self.counts += known.sum(axis=0)

    def means(self) -> dict[str, float]:
        """`total` and every term; a term without any known target is NaN and not in the total."""
        means = {
            term: self.sums[columns].sum() / count if (count := self.counts[columns].sum()) else float("nan")
            for term, columns in self.loss.columns_of_term.items()
        }
        total = sum(
            self.loss.weight_of_term[term] * value for term, value in means.items() if not np.isnan(value)
        )
        return {"total": float(total), **{term: float(value) for term, value in means.items()}}
