"""Members of one network, trained side by side: who learns from which well, and what its loss counts to whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tcell_assets.science.conditions import compounds, is_treated
from tcell_assets.science.model.loss import Loss
from tcell_assets.science.model.network import NetworkOutput


@dataclass(frozen=True, eq=False)
class MemberFolds:
    """Which member holds out which well.

    Attributes:
        held_out: (members, wells) booleans; of every training well exactly one member learns nothing, and with one
            member none is held out.
    """

    held_out: np.ndarray

    def loss_weights(self, loss: Loss, known: np.ndarray, rows: np.ndarray) -> Tensor:
        """What each entry's loss counts in each member's: (members, wells, targets), 0 where the well is held out.

        Args:
            loss: Of the targets.
            known: (wells, targets) of the rows.
            rows: Positions of the wells.
        """
        learns = ~self.held_out[:, rows]
        weights = [loss.weights(known & each[:, None]) * each[:, None] for each in learns]
        return torch.from_numpy(np.stack(weights).astype(np.float32))

    def of_members(self, output: NetworkOutput, targets: Tensor, loss: Loss) -> Tensor:
        """Losses (members, wells, targets) of the members' outputs, which stand member by member."""
        members = len(self.held_out)
        return loss.of_wells(output, targets.repeat(members, 1)).view(members, *targets.shape)

    def learnt(self, terms: Tensor, rows: np.ndarray) -> Tensor:
        """Mean loss (wells, targets) over the members that learn from each well."""
        return _mean_over(terms, ~self.held_out[:, rows])

    def held(self, terms: Tensor, rows: np.ndarray) -> Tensor:
        """Loss (wells, targets) by the member that did not learn from each well."""
        return _mean_over(terms, self.held_out[:, rows])


def _mean_over(terms: Tensor, chosen: np.ndarray) -> Tensor:
    share = torch.from_numpy(chosen / np.maximum(chosen.sum(axis=0), 1)).to(terms)
    return torch.einsum("mwt,mw->wt", terms, share)


def fold_members(wells: pd.DataFrame, training: np.ndarray, members: int, seed: int) -> MemberFolds:
    """Let each member hold out another part of the training wells, all wells of a compound together.

    Args:
        wells: Metadata a well; where it names no metabolites every well is its own group.
        training: Positions of the training wells.
        members: How many.
        seed: Of the drawing.
    """
    held_out = np.zeros((members, len(wells)), dtype=bool)
    if members == 1:
        return MemberFolds(held_out)
    rows = wells.iloc[training]
    names = rows["well_id"].to_numpy(dtype=str)
    if {"metabolite", "is_dmso"} <= set(rows):
        # Every control its own: as one group they would all be missed by one member.
        names = np.where(is_treated(rows), compounds(rows).to_numpy(dtype=str), names)
    distinct, group = np.unique(names, return_inverse=True)
    member_of = np.empty(len(distinct), dtype=int)
    member_of[np.random.default_rng([seed, members]).permutation(len(distinct))] = (
        np.arange(len(distinct)) % members
    )
    held_out[member_of[group], training] = True
    return MemberFolds(held_out)
