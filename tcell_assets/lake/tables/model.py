"""How the model was trained."""

from __future__ import annotations

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import TRAIN

TRAINING_HISTORY = Table(
    asset="training_history",
    made_by=TRAIN,
    description="Losses of every epoch, well-weighted, for training and validation wells.",
    columns=(
        Column("epoch", "int32", "epoch, from 1"),
        Column("split", "string", "train or val"),
        Column("total", "float64", "mse + bce + weight × reg"),
        Column("mse", "float64", "mean squared error over wells and the three scores"),
        Column("bce", "float64", "binary cross-entropy of resting or activated"),
        Column("reg", "float64", "squared error of the standardised legacy activation score", nullable=True),
        Column("learning_rate", "float64", "learning rate at the end of the epoch"),
        Column("seconds", "float64", "wall time of this split's pass"),
        Column("is_best", "bool", "the epoch whose weights the model keeps"),
    ),
    key=("epoch", "split"),
    partitioned=False,
)
