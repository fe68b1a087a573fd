"""Settings of an evaluation, importable without pandas: what is held out, and which network is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from tcell_assets.science.model.settings import TrainingRequest
from tcell_assets.settings import Form, Setting, Settings, declared, seed, setting

Scheme = Literal["random", "leave_metabolite_out", "leave_plate_out", "leave_batch_out"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """What is held out, and which network is evaluated: by default the current model's."""

    schemes: tuple[Scheme, ...] = setting(
        (), "what to hold out; none of them takes every one for which the screen has enough groups"
    )
    n_folds: int = setting(5, "folds of random and leave_metabolite_out", at_least=2)
    members: int = setting(
        1,
        "networks, each of its own seed, averaged in one prediction; prediction intervals of the current model need "
        "1, since an average errs less than one network",
        at_least=1,
    )
    draws: int = setting(1000, "bootstrap draws over metabolites", at_least=1)
    level: float = setting(0.95, "level of the confidence intervals of metrics", above=0, below=1)
    interval_level: float = setting(0.9, "coverage of the prediction intervals", above=0, below=1)
    seed: int = seed("of the folds, the forests and the bootstrap")
    training: TrainingRequest | None = None

    @classmethod
    def form(cls) -> Form[EvaluationSettings]:
        """The settings, and those of a network other than the current model's."""
        fields: dict[str, Setting | Form[Any]] = {**declared(cls), "training": TrainingRequest.form()}
        return Form(cls.__name__, str(cls.__doc__), fields, cls)
