"""What a running training reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """A report from a running training.

    Attributes:
        kind: `step` inside an epoch, `epoch` at its end, `message` for something to know.
        text: The report as a line.
        epoch: Current epoch, from 1.
        epochs: Epochs asked for.
        fraction: Share of the whole run that is done, 0 to 1.
        wells_per_second: Training speed so far.
        seconds_left: Expected time to the last epoch.
        losses: At the end of an epoch: `total` and every term of the loss, by split.
        is_best: At the end of an epoch: whether it is the best so far.
    """

    kind: Literal["step", "epoch", "message"]
    text: str
    epoch: int
    epochs: int
    fraction: float = 0.0
    wells_per_second: float = float("nan")
    seconds_left: float = float("nan")
    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    is_best: bool = False
