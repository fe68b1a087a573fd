"""Figures of a model's training; matplotlib is imported where it is used."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Figure:
    """A picture in two sizes.

    Attributes:
        full: PNG bytes for a file.
        thumbnail: PNG bytes of at most 50 KiB, for metadata that stays in the event log.
    """

    full: bytes
    thumbnail: bytes


def loss_curve(history: pd.DataFrame) -> Figure:
    """Draw the total loss of training and validation wells over epochs, the best epoch marked.

    Args:
        history: `epoch, split, total, is_best`, one row an epoch and split.
    """
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import MaxNLocator

    canvas = Canvas(figsize=(6, 3.6), layout="constrained")
    axes = canvas.subplots()
    for split, label in (("train", "training wells"), ("val", "validation wells")):
        rows = history[history["split"] == split]
        axes.plot(rows["epoch"], rows["total"], marker="o", markersize=3, label=label)
    best = history.loc[history["is_best"], "epoch"]
    if len(best):
        axes.axvline(
            int(best.iloc[0]), color="0.5", linestyle="--", label=f"best epoch ({int(best.iloc[0])})"
        )
    axes.set(xlabel="epoch", ylabel="loss", title="Training and validation loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    pictures = []
    for resolution in (160, 72):
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="png", dpi=resolution)
        pictures.append(buffer.getvalue())
    return Figure(full=pictures[0], thumbnail=pictures[1])
