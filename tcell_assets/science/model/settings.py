"""Settings of the network and its training: plain validated dataclasses, importable without torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

REGRESSION_TARGETS = ("tscore", "cytotrace", "pseudotime")
LABEL_TARGET = "is_activated"
LEGACY_TARGET = "activation_score"
TARGETS = (*REGRESSION_TARGETS, LABEL_TARGET, LEGACY_TARGET)

PRESETS = ("published", "recommended")


class SettingsError(ValueError):
    """A setting outside its allowed range, or a preset that does not exist."""


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of the Transformer. The defaults are the published ones, but for `attention_dropout`.

    Attributes:
        d_model: Width of a gene's token.
        heads: Attention heads; divides `d_model`.
        layers: Encoder layers.
        feed_forward: Width of the feed-forward network inside a layer.
        dropout: Dropout on the residual branches, in the feed-forward network and in the latent MLP.
        attention_dropout: Dropout on the attention weights. The published script uses 0.1, which forces the
            genes × genes matrix of every head into memory; 0, the one deviation, lets the fused kernel serve.
        latent: Length of the latent z.
        linear_path: Adds `A x` to the latent, a linear map of the (scaled) expression.
        attention: `full` compares every pair of genes; `induced` goes through `inducing_points` learnt
            queries (Lee et al. 2019, Set Transformer, equation 9) and costs time linear in the genes.
        inducing_points: Learnt queries a layer, used by `induced` attention alone.
        full_attention_gene_limit: More genes than this with `full` attention is an error that says what
            it would take; raise it to run all the same.
    """

    d_model: int = 128
    heads: int = 4
    layers: int = 2
    feed_forward: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0
    latent: int = 32
    linear_path: bool = False
    attention: Literal["full", "induced"] = "full"
    inducing_points: int = 64
    full_attention_gene_limit: int = 10_000

    def __post_init__(self) -> None:
        for name in ("d_model", "heads", "layers", "feed_forward", "latent", "inducing_points"):
            _require_whole_number(name, getattr(self, name), at_least=1)
        _require_whole_number("full_attention_gene_limit", self.full_attention_gene_limit, at_least=1)
        if self.d_model % self.heads:
            raise SettingsError(
                f"d_model {self.d_model} is not a multiple of heads {self.heads}: "
                "every head takes d_model / heads columns"
            )
        for name in ("dropout", "attention_dropout"):
            _require_number(name, getattr(self, name), at_least=0.0, below=1.0)
        if self.attention not in ("full", "induced"):
            raise SettingsError(f"attention is {self.attention!r}; choose 'full' or 'induced'")


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on beside its data. The defaults are the published set-up.

    Attributes:
        preset: Name these settings started from; kept for the record, overrides may differ from it.
        epochs: Passes over the training wells (the most, where early stopping is on).
        batch_size: Wells an optimizer step.
        learning_rate: AdamW step size.
        weight_decay: AdamW decoupled weight decay.
        activation_weight: λ of the legacy activation score's loss term.
        validation_fraction: Share of the wells held out, stratified by label.
        seed: Seeds the split, the initial weights, the order of the wells and dropout.
        use_zscore: Scale every gene by mean and sd of the training wells; part of the model.
        patience: Epochs without a better inner loss after which training stops; 0 trains every epoch.
        inner_fraction: Share of the *training* wells set aside to choose the best epoch, so that the held-out
            wells decide nothing; 0 chooses by the held-out wells, as published.
        linear_start: What the linear path starts from: `zero`, or `ridge`, a ridge regression of the targets on the
            wells of the fit, which the Transformer then has to better.
        network: Shape of the network.
    """

    preset: str = "published"
    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    activation_weight: float = 0.2
    validation_fraction: float = 0.2
    seed: int = 614
    use_zscore: bool = False
    patience: int = 0
    inner_fraction: float = 0.0
    linear_start: Literal["zero", "ridge"] = "zero"
    network: NetworkSettings = field(default_factory=NetworkSettings)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise SettingsError(f"preset {self.preset!r} does not exist; choose one of {', '.join(PRESETS)}")
        for name in ("epochs", "batch_size"):
            _require_whole_number(name, getattr(self, name), at_least=1)
        for name in ("seed", "patience"):
            _require_whole_number(name, getattr(self, name), at_least=0)
        _require_number("learning_rate", self.learning_rate, above=0.0)
        _require_number("weight_decay", self.weight_decay, at_least=0.0)
        _require_number("activation_weight", self.activation_weight, at_least=0.0)
        _require_number("validation_fraction", self.validation_fraction, above=0.0, below=1.0)
        _require_number("inner_fraction", self.inner_fraction, at_least=0.0, below=1.0)
        if self.linear_start not in ("zero", "ridge"):
            raise SettingsError(f"linear_start is {self.linear_start!r}; choose 'zero' or 'ridge'")
        if self.linear_start == "ridge" and not (
            self.network.linear_path and self.use_zscore and self.network.latent >= len(TARGETS)
        ):
            raise SettingsError(
                "linear_start 'ridge' needs linear_path, use_zscore and a latent of at least "
                f"{len(TARGETS)}; set them, or take linear_start 'zero'"
            )

    def as_json(self) -> dict[str, Any]:
        """Nested plain values, ready for a JSON file.

        A model's version is their hash too, so `linear_start`, which came later, is left out where it is `zero`: the
        models of before keep their versions.
        """
        values = dataclasses.asdict(self)
        if self.linear_start == "zero":
            del values["linear_start"]
        return values

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> TrainingSettings:
        """The inverse of :meth:`as_json`.

        Raises:
            SettingsError: A field is unknown or out of range.
        """
        try:
            return TrainingSettings(**{**values, "network": NetworkSettings(**values["network"])})
        except (TypeError, KeyError) as error:
            raise SettingsError(f"these are no training settings: {error}") from error


def settings_for_preset(name: str, **overrides: Any) -> TrainingSettings:
    """Settings of a preset, with single fields replaced.

    Args:
        name: `published` (section 1 of the method as published) or `recommended` (see
            `docs/training_presets.md` for the comparison that chose it).
        **overrides: Fields of :class:`TrainingSettings` or of :class:`NetworkSettings` by name.

    Raises:
        SettingsError: The preset or a field does not exist, or a value is out of range.
    """
    if name == "published":
        settings = TrainingSettings()
    elif name == "recommended":
        settings = TrainingSettings(
            preset="recommended",
            learning_rate=1e-4,
            use_zscore=True,
            patience=8,
            inner_fraction=0.1,
            linear_start="ridge",
            network=NetworkSettings(linear_path=True),
        )
    else:
        raise SettingsError(f"preset {name!r} does not exist; choose one of {', '.join(PRESETS)}")

    training_fields = {item.name for item in dataclasses.fields(TrainingSettings)} - {"preset"}
    network_fields = {item.name for item in dataclasses.fields(NetworkSettings)}
    unknown = sorted(set(overrides) - training_fields - network_fields)
    if unknown:
        raise SettingsError(
            f"no setting is called {', '.join(unknown)}; "
            f"there are {', '.join(sorted(training_fields | network_fields))}"
        )
    network = overrides.pop("network", settings.network)
    network = dataclasses.replace(network, **{k: v for k, v in overrides.items() if k in network_fields})
    training = {key: value for key, value in overrides.items() if key in training_fields}
    return dataclasses.replace(settings, network=network, **training)


def _require_whole_number(name: str, value: Any, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number of at least {at_least}")


def _require_number(
    name: str,
    value: Any,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < at_least or value <= above or value >= below:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("at least", at_least), ("above", above), ("below", below))
            if math.isfinite(bound)
        ]
        raise SettingsError(f"{name} is {value!r}; it must be a number {' and '.join(bounds)}")
