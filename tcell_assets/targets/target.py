"""One target: its names, kind, columns, head and loss; all that is empty follows from the name and the kind."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["regression", "binary"]


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


def spelling(name: str) -> str:
    """A column name reduced to its lower-case letters and digits: ``Plate_ID`` → ``plateid``.

    The prefix that CellProfiler's tools put before every such name plays no part: ``Metadata_Well`` → ``well``.
    """
    reduced = re.sub(r"[^a-z0-9]", "", name.lower())
    return reduced.removeprefix("metadata") or reduced
