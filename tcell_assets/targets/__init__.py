"""The targets: what is known of a well's phenotype and what the model learns to predict, each declared once.

Names, spellings on landing, columns of tables, heads of the network, terms of the loss and words of the documentation
follow from `Target`. Those of the code stand in `TARGETS`; a laboratory adds its own in a file (`targets.yaml`, see
`docs/targets.md`), which `known_targets` puts behind them. Wells and tables go by `known_targets()`; whatever a
model does goes by the targets it was trained with, which it carries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tcell_assets.system.home import home_folder
from tcell_assets.targets.declarations import declared_targets
from tcell_assets.targets.target import Kind, Target, TargetError, spelling

__all__ = [
    "ACTIVATION_LABEL",
    "DECLARATION",
    "LEGACY_SCORE",
    "TARGETS",
    "Kind",
    "Target",
    "TargetError",
    "by_head",
    "by_term",
    "declaration_path",
    "evaluated",
    "known_targets",
    "known_with",
    "labels",
    "names_of",
    "published_targets",
    "scores",
    "spelling",
    "target_of",
    "target_spellings",
]

DECLARATION = "targets.yaml"

# The label whose two classes span the resting→activated axis and by which wells are split.
ACTIVATION_LABEL = "is_activated"
# The score that gene importance explains where a model was trained with it.
LEGACY_SCORE = "activation_score"


TARGETS: tuple[Target, ...] = (
    Target(
        name="tscore",
        kind="regression",
        title="Tscore",
        description="Tscore",
        unit="z-scores over the screen",
        term="mse",
        is_scaled=False,
        head="scores",
        is_of_metabolites=False,
        published_column="Tscore_z",
        published_prediction="pred_Tscore",
        is_published=True,
    ),
    Target(
        name="cytotrace",
        kind="regression",
        title="CytoTRACE",
        description="CytoTRACE",
        unit="z-scores over the screen",
        spellings=("cytoscore", "cytotrace_score"),
        term="mse",
        is_scaled=False,
        head="scores",
        is_of_metabolites=False,
        published_column="CytoTRACE_z",
        published_prediction="pred_CytoTRACE",
        is_published=True,
    ),
    Target(
        name="pseudotime",
        kind="regression",
        description="pseudotime",
        unit="z-scores over the screen",
        spellings=("pseudotime_score",),
        term="mse",
        is_scaled=False,
        head="scores",
        is_of_metabolites=False,
        published_column="Pseudotime_z",
        published_prediction="pred_Pseudotime",
        is_published=True,
    ),
    Target(
        name=ACTIVATION_LABEL,
        kind="binary",
        title="activation",
        spellings=("activated", "label", "label_cls", "labels_cls"),
        classes=("resting", "activated"),
        term="bce",
        prediction="activation_probability",
        logit="activation_logit",
        calibrated="calibrated_probability",
        temperature="temperature",
        published_column="label_cls",
        published_prediction="activation_probability",
        is_published=True,
    ),
    Target(
        name=LEGACY_SCORE,
        kind="regression",
        title="legacy activation score",
        description="legacy activation score",
        unit="its own unit",
        spellings=("activation_score_old", "legacy_score"),
        term="reg",
        weight_setting="activation_weight",
        is_scaled=True,
        prediction="pred_activation",
        published_prediction="pred_activation",
        # On the published screen it is the sum of the three scores, so measuring it would count them twice.
        is_evaluated=False,
        is_published=True,
    ),
)
"""The targets of the code, in the order of their columns and of the network's outputs."""


def known_targets() -> tuple[Target, ...]:
    """The targets of this installation: those of the code, then those its file declares.

    The file is read again when it changes, so no process goes by an older one for long.

    Raises:
        TargetError: The declaration cannot be used.
    """
    path = declaration_path()
    try:
        state = path.stat()
    except FileNotFoundError:
        if os.environ.get("TCELL_TARGETS"):
            raise TargetError(
                f"TCELL_TARGETS={path} is not there; write the file or unset the variable"
            ) from None
        return TARGETS
    return (*TARGETS, *declared_targets(path, (state.st_mtime_ns, state.st_size), TARGETS))


def known_with(targets: Iterable[Target]) -> tuple[Target, ...]:
    """The targets of this installation, then those of a model that it no longer declares.

    Raises:
        TargetError: The installation now declares one of them as another kind.
    """
    known = {target.name: target for target in known_targets()}
    for target in targets:
        now = known.setdefault(target.name, target)
        if now.kind != target.kind:
            raise TargetError(
                f"the model learnt {target.name} as {target.kind}, and {declaration_path()} now declares it as "
                f"{now.kind}; train again, or declare it as before"
            )
    return tuple(known.values())


def declaration_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this installation declares its own targets: `TCELL_TARGETS`, or `targets.yaml` in its home."""
    stated = environment.get("TCELL_TARGETS")
    return Path(stated).expanduser().resolve() if stated else home_folder(environment) / DECLARATION


def published_targets() -> tuple[Target, ...]:
    """The targets of a model that does not say which it was trained with."""
    return tuple(target for target in TARGETS if target.is_published)


def names_of(targets: Iterable[Target]) -> list[str]:
    """Their names, in their order."""
    return [target.name for target in targets]


def evaluated(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Those that the ladder of models is measured by."""
    return tuple(target for target in targets if target.is_evaluated)


def scores(targets: Iterable[Target]) -> tuple[Target, ...]:
    """The evaluated numbers."""
    return tuple(target for target in targets if target.has_interval)


def labels(targets: Iterable[Target]) -> tuple[Target, ...]:
    """The labels."""
    return tuple(target for target in targets if target.is_binary)


def by_term(targets: Iterable[Target]) -> dict[str, list[Target]]:
    """Targets of each term of the loss, in the order of their first."""
    terms: dict[str, list[Target]] = {}
    for target in targets:
        terms.setdefault(target.term, []).append(target)
    return terms


def by_head(targets: Iterable[Target]) -> dict[str, list[Target]]:
    """Targets of each head of the network, in the order of their first."""
    heads: dict[str, list[Target]] = {}
    for target in targets:
        heads.setdefault(target.head, []).append(target)
    return heads


def target_spellings(targets: Iterable[Target]) -> dict[str, str]:
    """The name of the target that each spelling stands for, reduced as `spelling` does."""
    return {spelling(text): target.name for target in targets for text in (target.name, *target.spellings)}


def target_of(column: str, targets: Iterable[Target]) -> str | None:
    """The target a column name stands for (``cytoscore_z`` → ``cytotrace``), or None."""
    known, text = target_spellings(targets), spelling(column)
    return known.get(text) or known.get(re.sub("z$", "", text))
