"""Which network a training's settings ask for, and what it starts from: scaler, gene programmes, ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tcell_assets.science.model.linear_models import LinearHeads, fit_linear_heads
from tcell_assets.science.model.member_training import MemberFolds
from tcell_assets.science.model.network import ExpressionTransformer
from tcell_assets.science.model.programme_axes import programme_axes
from tcell_assets.science.model.programme_network import ProgrammeNetwork
from tcell_assets.science.model.settings import NetworkSettings, TrainingSettings
from tcell_assets.science.model.training_data import PreparedData
from tcell_assets.targets import TARGETS, Target

Network = ExpressionTransformer | ProgrammeNetwork


def new_network(
    settings: NetworkSettings,
    genes: int,
    targets: Sequence[Target] = TARGETS,
    programmes: int | None = None,
) -> Network:
    """A network of the architecture asked for, knowing nothing of the data yet.

    Args:
        settings: Shape of the network.
        genes: Number of genes.
        targets: What it predicts.
        programmes: Of architecture `programmes`: how many there are, by default as many as there may be.
    """
    if settings.architecture == "programmes":
        return ProgrammeNetwork(settings, genes, targets, programmes)
    return ExpressionTransformer(settings, genes, targets)


def untrained_network(
    data: PreparedData, targets: Sequence[Target], settings: TrainingSettings, folds: MemberFolds
) -> tuple[Network, str]:
    """The network before its first step, and what is to be said of it.

    Args:
        data: What it will learn from.
        targets: What it predicts.
        settings: Of the training.
        folds: Which member holds out which well; of a single network nothing is held out.
    """
    fit, said, axes = data.parts["train"], "", None
    if settings.network.architecture == "programmes":
        training = np.flatnonzero(data.split == "train")
        axes = programme_axes(_scaled(data, training), settings.network.programmes)
        said = f"{len(axes)} gene programmes in {len(training):,} training wells"
    network = new_network(settings.network, len(data.genes), targets, None if axes is None else len(axes))
    if data.scaler is not None:
        network.set_scaler(*data.scaler)
    starts_from_ridge = settings.linear_start == "ridge"
    if isinstance(network, ProgrammeNetwork):
        assert axes is not None
        network.set_programmes(axes)
        if starts_from_ridge:
            learnt = [np.setdiff1d(fit, np.flatnonzero(held)) for held in folds.held_out]
            network.start_from([_linear_heads(data, network, rows, targets) for rows in learnt], targets)
    elif starts_from_ridge:
        network.start_from(_linear_heads(data, network, fit, targets), targets)
    return network, said


def _scaled(data: PreparedData, rows: np.ndarray) -> np.ndarray:
    assert data.scaler is not None
    mean, standard_deviation = data.scaler
    scaled: np.ndarray = (data.expression_of(rows) - mean) / (standard_deviation + 1e-8)
    return scaled


def _linear_heads(
    data: PreparedData, network: Network, rows: np.ndarray, targets: Sequence[Target]
) -> LinearHeads:
    scaled = network.scale(torch.from_numpy(data.expression_of(rows))).numpy()
    is_binary = np.array([target.is_binary for target in targets])
    return fit_linear_heads(scaled, data.values[rows], is_binary)
