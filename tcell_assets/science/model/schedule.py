"""The learning rate over a training, by the number of the step alone: a resumed training goes on as an unbroken one."""

from __future__ import annotations

import math

from tcell_assets.science.model.settings import TrainingSettings

# Share of all steps over which the cosine schedule rises.
WARM_UP = 0.1


def learning_rate_share(settings: TrainingSettings, step: int, steps: int) -> float:
    """Share of `learning_rate` that a step takes.

    Args:
        settings: Whose schedule it is.
        step: Counted from 1 over all epochs.
        steps: Of all epochs asked for.
    """
    if settings.schedule == "constant":
        return 1.0
    warm_up = max(1.0, WARM_UP * steps)
    if step < warm_up:
        return step / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1.0, steps - warm_up)))
