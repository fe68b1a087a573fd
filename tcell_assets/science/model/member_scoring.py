"""What each member of one network says of wells, so that their spread tells how sure the network is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.programme_network import ProgrammeNetwork
from tcell_assets.science.model.scoring import build_network, finite_values, prediction_table
from tcell_assets.science.model.trained_model import TrainedModel, align_genes


@torch.no_grad()
def score_members(model: TrainedModel, expression: pd.DataFrame, compute: Compute) -> dict[str, pd.DataFrame]:
    """Predictions of each member of a model, by its number; none where the model is a single network.

    Args:
        model: The model.
        expression: Index well_id, a column a gene; genes are matched by name, others ignored.
        compute: Device.

    Raises:
        ModelError: Genes are missing or duplicated.
        ScoringError: A value is not finite.
    """
    members = model.settings.network.members
    if members == 1:
        return {}
    rows = align_genes(expression, model)
    said = np.empty((members, len(rows), len(model.targets)), dtype=np.float32)
    with compute.session() as device:
        network = build_network(model).to(device)
        assert isinstance(network, ProgrammeNetwork)
        for start in range(0, len(rows), compute.batch_size):
            piece = rows.iloc[start : start + compute.batch_size]
            scaled = network.scale(torch.from_numpy(finite_values(piece)).to(device))
            outputs = network.members(scaled).stacked().view(members, len(piece), -1)
            said[:, start : start + len(piece)] = outputs.cpu().numpy()
    split_of_well = model.split.set_index("well_id")["split"]
    return {
        f"member {number + 1}": prediction_table(model, rows.index, outputs, split_of_well)
        for number, outputs in enumerate(said)
    }
