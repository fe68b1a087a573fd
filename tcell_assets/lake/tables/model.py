"""How the model was trained."""

from __future__ import annotations

from collections.abc import Sequence

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import TRAIN
from tcell_assets.targets import Target, by_term


def _training_history(targets: Sequence[Target]) -> tuple[Column, ...]:
    terms = by_term(targets)
    weighted = [_weighted(term, first) for term, (first, *_) in terms.items()]
    return (
        Column("epoch", "int32", "epoch, from 1"),
        Column("split", "string", "train or val"),
        Column("total", "float64", " + ".join(weighted)),
        *(Column(term, "float64", _meaning(members), nullable=True) for term, members in terms.items()),
        Column("learning_rate", "float64", "learning rate at the end of the epoch"),
        Column("seconds", "float64", "wall time of this split's pass"),
        Column("is_best", "bool", "the epoch whose weights the model keeps"),
    )


def _weighted(term: str, target: Target) -> str:
    if target.weight_setting:
        return f"{target.weight_setting} × {term}"
    return term if target.weight == 1 else f"{target.weight:g} × {term}"


def _meaning(members: Sequence[Target]) -> str:
    named = ", ".join(f"{'standardised ' if target.is_scaled else ''}{target.title}" for target in members)
    kind = "binary cross-entropy" if members[0].is_binary else "mean squared error over wells"
    return f"{kind} of {named}; empty where it is known of no well"


TRAINING_HISTORY = Table(
    asset="training_history",
    made_by=TRAIN,
    description="Losses of every epoch, well-weighted, for training and validation wells.",
    columns_of=_training_history,
    key=("epoch", "split"),
    partitioned=False,
)
