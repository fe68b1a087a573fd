"""The targets: what is known of a well's phenotype and what the model learns to predict, each declared once.

Names, spellings on landing, columns of tables, heads of the network, terms of the loss and words of the documentation
follow from `Target`. Those of the code stand in `TARGETS`; a laboratory adds its own in a file (`targets.yaml`, see
`docs/targets.md`), which `known_targets` puts behind them. Wells and tables go by `known_targets()`; whatever a
model does goes by the targets it was trained with, which it carries.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tcell_assets.system.home import home_folder

Kind = Literal["regression", "binary"]

DECLARATION = "targets.yaml"
LARGEST_DECLARATION_BYTES = 64 * 1024
DECLARED_KEYS = ("kind", "description", "unit", "spellings", "classes", "weight")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# The label whose two classes span the resting→activated axis and by which wells are split.
ACTIVATION_LABEL = "is_activated"
# The score that gene importance explains where a model was trained with it.
LEGACY_SCORE = "activation_score"


class TargetError(ValueError):
    """A declared target cannot be used; the message has a sentence a cause, with the file and the target."""


@dataclass(frozen=True)
class Target:
    """One target. All that is empty follows from the name and the kind.

    Attributes:
        name: Column of the value in `targets.csv` and in the tables.
        kind: `regression`, a number, or `binary`, a label.
        title: What it is called in the descriptions of columns.
        description: What its value means.
        unit: Unit or scale of a number.
        spellings: Further names of its column on landing; upper case, signs and a `z` at the end play no part.
        classes: What 0 and 1 of a label mean.
        term: Term of the loss, a column of the training history. Targets of one term share its mean.
        weight: Weight of that term.
        weight_setting: Training setting that holds the weight instead.
        is_scaled: Whether training scales it by mean and standard deviation of the training wells; a number that is not
            z-scored would have another weight than `weight` says.
        head: Head of the network, `<head>_head` among its weights. Targets of one head share a matrix.
        prediction: Column of the prediction: the number, or the probability of a label.
        logit: Column of a label's log-odds.
        calibrated: Column of a label's probability after temperature scaling.
        temperature: Column of that temperature.
        is_evaluated: Whether the ladder of models is measured by it.
        is_of_metabolites: Whether its prediction is averaged over the wells of each metabolite.
        published_column: Column of its value in the published export; the published files leave the legacy score's out.
        published_prediction: Column of its prediction there.
        is_published: One of the published pipeline's own, which models from before targets could be declared have.
    """

    name: str
    kind: Kind
    title: str = ""
    description: str = ""
    unit: str = ""
    spellings: tuple[str, ...] = ()
    classes: tuple[str, str] = ("no", "yes")
    term: str = ""
    weight: float = 1.0
    weight_setting: str = ""
    is_scaled: bool | None = None
    head: str = ""
    prediction: str = ""
    logit: str = ""
    calibrated: str = ""
    temperature: str = ""
    is_evaluated: bool = True
    is_of_metabolites: bool = True
    published_column: str = ""
    published_prediction: str = ""
    is_published: bool = False

    def __post_init__(self) -> None:
        derived: dict[str, Any] = {
            "title": self.name,
            "term": f"loss_{self.name}",
            "is_scaled": not self.is_binary,
            "head": self.name,
            "prediction": f"pred_{self.name}",
        }
        if not self.is_published:
            derived |= {"published_column": self.name, "published_prediction": f"pred_{self.name}"}
        if self.is_binary:
            derived |= {
                "logit": f"logit_{self.name}",
                "calibrated": f"calibrated_{self.name}",
                "temperature": f"temperature_{self.name}",
            }
        for field, value in derived.items():
            if getattr(self, field) in ("", None):
                object.__setattr__(self, field, value)

    @property
    def is_binary(self) -> bool:
        """Whether it is a label."""
        return self.kind == "binary"

    @property
    def has_interval(self) -> bool:
        """Whether a prediction interval is made for it: of the evaluated numbers."""
        return self.is_evaluated and not self.is_binary

    @property
    def predictions(self) -> tuple[str, ...]:
        """Columns that the model's prediction takes, in their order."""
        return (self.logit, self.prediction) if self.is_binary else (self.prediction,)

    @property
    def output(self) -> str:
        """Column of what its head says as a number: the prediction, or the log-odds of a label."""
        return self.logit if self.is_binary else self.prediction

    @property
    def spread(self) -> str:
        """Column of the prediction's standard deviation over an ensemble."""
        return f"sd_{self.prediction.removeprefix('pred_')}"

    @property
    def low(self) -> str:
        """Column of the lower end of the prediction interval."""
        return f"low_{self.name}"

    @property
    def high(self) -> str:
        """Column of the upper end of the prediction interval."""
        return f"high_{self.name}"

    @property
    def meaning(self) -> str:
        """Description of the column of its value."""
        if self.is_binary:
            classes = f"{self.classes[0]} (false) or {self.classes[1]} (true)"
            return f"{self.description}: {classes}" if self.description else classes
        described = self.description or self.title
        return f"{described}, in {self.unit}" if self.unit else described

    @property
    def predicted(self) -> str:
        """What its prediction is, in words."""
        return f"probability of {self.title}" if self.is_binary else self.title

    def weight_under(self, settings: object) -> float:
        """Weight of its term in a training with these settings."""
        return float(getattr(settings, self.weight_setting)) if self.weight_setting else self.weight

    def trained_as(self) -> dict[str, Any]:
        """What of it decides the weights of a model, for the model's version."""
        return {name: getattr(self, name) for name in ("name", "kind", "term", "weight", "is_scaled", "head")}

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for the manifest of a model."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """The inverse of `to_dict`; fields of a later version are passed over.

        Raises:
            TypeError: It has no name or kind.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in known
        }
        return cls(**fields)


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
    return (*TARGETS, *_declared(path, (state.st_mtime_ns, state.st_size), TARGETS))


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


def spelling(name: str) -> str:
    """A column name reduced to its lower-case letters and digits: ``Plate_ID`` → ``plateid``.

    The prefix that CellProfiler's tools put before every such name plays no part: ``Metadata_Well`` → ``well``.
    """
    reduced = re.sub(r"[^a-z0-9]", "", name.lower())
    return reduced.removeprefix("metadata") or reduced


def target_spellings(targets: Iterable[Target]) -> dict[str, str]:
    """The name of the target that each spelling stands for, reduced as `spelling` does."""
    return {spelling(text): target.name for target in targets for text in (target.name, *target.spellings)}


def target_of(column: str, targets: Iterable[Target]) -> str | None:
    """The target a column name stands for (``cytoscore_z`` → ``cytotrace``), or None."""
    known, text = target_spellings(targets), spelling(column)
    return known.get(text) or known.get(re.sub("z$", "", text))


@lru_cache(maxsize=8)
def _declared(path: Path, state: tuple[int, int], of_the_code: tuple[Target, ...]) -> tuple[Target, ...]:
    problems: list[str] = []
    content = _load(path, problems)
    declared = [
        target
        for name, fields in content.items()
        if (target := _read_target(name, fields, problems)) is not None
    ]
    if not problems:
        _check_together(of_the_code, declared, problems)
    if problems:
        raise TargetError("\n".join(f"{path}: {problem}" for problem in problems))
    return tuple(declared)


def _load(path: Path, problems: list[str]) -> dict[Any, Any]:
    # Imported here: most installations declare nothing.
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, of which YAML would keep the last without a word."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key} stands in it twice")
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST_DECLARATION_BYTES:
            raise ValueError(f"it has {len(raw):,} bytes, more than {LARGEST_DECLARATION_BYTES:,}")
        text = raw.decode("utf-8")
        # Aliases can make a few lines stand for gigabytes; no declaration needs one.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ValueError("it uses YAML aliases (*name)")
        content = yaml.load(text, Loader)
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        problems.append(f"cannot be read ({' '.join(str(error).split())[:200]}); correct the file")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict) or set(content) != {"targets"}:
        problems.append("must hold one key, targets, with a name a target below it; see docs/targets.md")
        return {}
    declared = content["targets"]
    if declared is not None and not isinstance(declared, dict):
        problems.append("targets must be a name a target, each with its kind below it; see docs/targets.md")
        return {}
    return declared or {}


def _read_target(name: Any, fields: Any, problems: list[str]) -> Target | None:
    before = len(problems)

    def wrong(found: str, mend: str) -> None:
        problems.append(f"target {name!r} {found}; {mend}")

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        wrong(
            "is no name of a column",
            "write it in lower-case letters, digits and _, from a letter, 40 characters at most",
        )
    if not isinstance(fields, dict):
        wrong(f"says {fields!r}", "write its fields below it, at least kind: regression or kind: binary")
        return None
    for key in fields:
        if key not in DECLARED_KEYS:
            near = get_close_matches(str(key)[:64], DECLARED_KEYS, n=1)
            wrong(
                f"has the unknown field {key!r}",
                f"did you mean {near[0]}?" if near else f"there are {', '.join(DECLARED_KEYS)}",
            )
    kind: Any = fields.get("kind")
    if kind not in ("regression", "binary"):
        wrong(f"has the kind {kind!r}", "write regression (a number) or binary (0 or 1)")
    for key in ("description", "unit"):
        if not isinstance(fields.get(key, ""), str):
            wrong(f"has the {key} {fields[key]!r}", "write text")
    weight = fields.get("weight", 1.0)
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight) or weight <= 0:
        wrong(
            f"has the weight {weight!r}",
            "write a number above 0; a target that shall not be learnt is left out",
        )
    spellings = fields.get("spellings", [])
    if not isinstance(spellings, list) or not all(
        isinstance(text, str) and spelling(text) for text in spellings
    ):
        wrong(f"has the spellings {spellings!r}", "write a list of column names")
    classes = fields.get("classes", ["no", "yes"])
    if not isinstance(classes, list) or len(classes) != 2 or not all(isinstance(c, str) for c in classes):
        wrong(f"has the classes {classes!r}", "write two words, what 0 and what 1 means, in quotation marks")
    for key, owner in (("unit", "regression"), ("classes", "binary")):
        if key in fields and kind in ("regression", "binary") and kind != owner:
            wrong(f"is {kind} and has {key}", f"leave it out, only a {owner} target has {key}")
    if len(problems) > before:
        return None
    low, high = classes
    return Target(
        name=name,
        kind=kind,
        description=fields.get("description", ""),
        unit=fields.get("unit", ""),
        spellings=tuple(spellings),
        classes=(low, high),
        weight=float(weight),
    )


def _check_together(known: Iterable[Target], declared: Iterable[Target], problems: list[str]) -> None:
    """No two targets may share a name, a spelling, a head, a term or a column."""
    owners: dict[tuple[str, str], Target] = {}
    for target in known:
        for claim in _claims(target):
            owners.setdefault(claim, target)
    for target in declared:
        taken = [claim for claim in _claims(target) if owners.setdefault(claim, target) is not target]
        for what, text in taken[:1]:
            problems.append(
                f"target {target.name!r} has the {what} {text!r} of target {owners[what, text].name!r}; "
                "choose another name"
            )


def _claims(target: Target) -> list[tuple[str, str]]:
    reduced = {spelling(text) for text in (target.name, *target.spellings)}
    # A z at the end plays no part on landing, so with and without it a spelling is one.
    spelled = sorted(
        reduced | {re.sub("z$", "", text) for text in reduced} | {f"{text}z" for text in reduced}
    )
    columns = (
        *target.predictions,
        target.spread,
        target.low,
        target.high,
        target.calibrated,
        target.temperature,
    )
    return [
        ("name", target.name),
        *(("spelling", text) for text in spelled),
        ("head", target.head),
        *(("column", name) for name in dict.fromkeys((target.name, *columns)) if name),
    ]
