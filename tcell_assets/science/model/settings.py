"""Settings of the network, its training and its use, importable without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tcell_assets.settings import (
    Form,
    Setting,
    Settings,
    SettingsError,
    declared,
    refuse_unknown,
    seed,
    setting,
)
from tcell_assets.targets import TARGETS, known_targets, names_of

PRESETS = ("published", "recommended", "ridge_start")
AS_PRESET = "as_preset"

# Settings younger than the first models, with what those were trained by.
CAME_LATER = {"linear_start": "zero", "schedule": "constant"}
PROGRAMME_SETTINGS = ("architecture", "programmes", "read_out", "members")

# Of the targets when this was imported: what the Launchpad offers and a launch accepts.
HEADS = ("auto", *names_of(known_targets()))


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """Shape of the network. The defaults are the published ones, but for `attention_dropout`.

    The published script drops attention weights too, at 0.1, which forces the genes × genes matrix of every head into
    memory; at 0, the one deviation, the fused kernel serves.
    """

    architecture: Literal["transformer", "programmes"] = setting(
        "transformer",
        "transformer: tokens of genes, as published. programmes: tokens of the gene programmes that the training wells "
        "show, beside a wide read-out of them, in several members",
    )
    d_model: int = setting(128, "width of a token", at_least=1)
    heads: int = setting(4, "attention heads; divides d_model", at_least=1)
    layers: int = setting(2, "encoder layers", at_least=1)
    feed_forward: int = setting(512, "width of the feed-forward network inside a layer", at_least=1)
    dropout: float = setting(
        0.1,
        "dropout on the residual branches, in the feed-forward network and in the latent MLP",
        at_least=0,
        below=1,
    )
    attention_dropout: float = setting(
        0.0,
        "dropout on the attention weights; above 0 the genes × genes matrix of every head is held in memory",
        at_least=0,
        below=1,
    )
    latent: int = setting(32, "length of the latent z", at_least=1)
    linear_path: bool = setting(
        False, "add a linear map of the (scaled) expression to the latent, beside the Transformer"
    )
    attention: Literal["full", "induced", "none"] = setting(
        "full",
        "full compares all pairs of tokens; induced (of genes) goes through learnt queries (Lee et al. 2019, Set "
        "Transformer, equation 9) and costs time linear in the genes; none (of programmes) leaves the read-out alone",
    )
    inducing_points: int = setting(64, "learnt queries a layer, of induced attention alone", at_least=1)
    full_attention_gene_limit: int = setting(
        10_000, "more genes than this with full attention are refused with what they would take", at_least=1
    )
    programmes: int = setting(32, "gene programmes at most, of architecture programmes alone", at_least=1)
    read_out: int = setting(
        128, "width of the read-out of the programmes, of architecture programmes alone", at_least=1
    )
    members: int = setting(
        1,
        "networks trained side by side and averaged, each on other metabolites, of architecture programmes alone; what "
        "one holds out of the training wells judges it, and together they choose the epoch",
        at_least=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_model % self.heads:
            raise SettingsError(
                f"d_model {self.d_model} is not a multiple of heads {self.heads}: "
                "every head takes d_model / heads columns"
            )
        has_programmes = self.architecture == "programmes"
        if self.attention == ("induced" if has_programmes else "none"):
            raise SettingsError(
                f"attention {self.attention!r} does not exist in architecture {self.architecture!r}; take 'full'"
            )
        if self.members > 1 and not has_programmes:
            raise SettingsError(
                f"members is {self.members}, but architecture 'transformer' has one; `tcell ensemble` trains several"
            )

    def tokens_in_memory(self, genes: int) -> int:
        """What a well takes in a forward pass, counted in tokens of the published width."""
        if self.architecture == "transformer":
            return genes
        return max(1, self.members * self.programmes * self.d_model // 128)


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """What a training run depends on beside its data. The defaults are the published set-up."""

    preset: str = setting(
        "published",
        "published: the set-up of the publication. recommended: attention over gene programmes, five members that "
        "start from ridge regression. ridge_start: the published network with z-scored input and a linear path that "
        "starts from ridge regression, what recommended was before; docs/training_presets.md compares them",
        choices=PRESETS,
    )
    epochs: int = setting(
        50, "passes over the training wells, the most where early stopping is on", at_least=1
    )
    batch_size: int = setting(32, "wells an optimizer step", at_least=1)
    learning_rate: float = setting(1e-3, "AdamW step size", above=0)
    weight_decay: float = setting(0.01, "AdamW decoupled weight decay", at_least=0)
    activation_weight: float = setting(0.2, "weight of the legacy activation score in the loss", at_least=0)
    validation_fraction: float = setting(
        0.2, "share of the wells held out, stratified by label", above=0, below=1
    )
    seed: int = seed("of the split, the initial weights, the order of the wells and dropout")
    use_zscore: bool = setting(
        False, "scale every gene by mean and sd of the training wells; the scaler is part of the model"
    )
    patience: int = setting(
        0,
        "epochs without a better inner loss after which training stops; 0 trains every epoch",
        at_least=0,
    )
    inner_fraction: float = setting(
        0.0,
        "share of the training wells set aside to choose the best epoch, so that the held-out wells decide nothing; 0 "
        "chooses by the held-out wells, as published",
        at_least=0,
        below=1,
    )
    linear_start: Literal["zero", "ridge"] = setting(
        "zero",
        "what the linear path starts from: zero, or a ridge regression of the targets on the wells of the fit, which "
        "the Transformer then has to better",
    )
    schedule: Literal["constant", "cosine"] = setting(
        "constant",
        "of the learning rate: constant, or a rise over the first tenth of all steps and a cosine to zero",
    )
    network: NetworkSettings = field(default_factory=NetworkSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.members > 1 and self.inner_fraction:
            raise SettingsError(
                f"inner_fraction is {self.inner_fraction:g}, but {self.network.members} members already hold out each "
                "another part of the training wells; set it to 0"
            )
        if self.network.architecture == "programmes" and not self.use_zscore:
            raise SettingsError("architecture 'programmes' needs use_zscore; set it")
        self.require_room_for(len(TARGETS))

    def require_room_for(self, targets: int) -> None:
        """Refuse a linear start that cannot hold so many targets.

        Raises:
            SettingsError: `linear_start` is `ridge` without what it needs.
        """
        if self.linear_start == "ridge" and not (
            self.network.linear_path and self.use_zscore and self.network.latent >= targets
        ):
            raise SettingsError(
                "linear_start 'ridge' needs linear_path, use_zscore and a latent of at least "
                f"{targets}; set them, or take linear_start 'zero'"
            )

    def as_json(self) -> dict[str, Any]:
        """Nested plain values, ready for a JSON file.

        A model's version is their hash too, so settings that came later are left out where they say what was before:
        the models of before keep their versions.
        """
        values = dataclasses.asdict(self)
        for name, before in CAME_LATER.items():
            if values[name] == before:
                del values[name]
        if self.network.architecture == "transformer":
            for name in PROGRAMME_SETTINGS:
                del values["network"][name]
        return values

    def by_name(self) -> dict[str, Any]:
        """Every value by its name, those of the network among them."""
        values = {name: getattr(self, name) for name in declared(TrainingSettings)}
        return values | {name: getattr(self.network, name) for name in declared(NetworkSettings)}

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
        name: `published` (section 1 of the method as published), `recommended` (see `docs/training_presets.md` for
            the comparison that chose it) or `ridge_start`, which was `recommended` before.
        **overrides: Fields of :class:`TrainingSettings` or of :class:`NetworkSettings` by name.

    Raises:
        SettingsError: The preset or a field does not exist, or a value is out of range.
    """
    if name == "published":
        settings = TrainingSettings()
    elif name == "recommended":
        settings = TrainingSettings(
            preset="recommended",
            epochs=40,
            batch_size=64,
            validation_fraction=0.1,
            learning_rate=4e-3,
            weight_decay=0.3,
            use_zscore=True,
            linear_start="ridge",
            schedule="cosine",
            network=NetworkSettings(
                architecture="programmes",
                d_model=16,
                heads=1,
                layers=1,
                feed_forward=32,
                members=5,
                linear_path=True,
            ),
        )
    elif name == "ridge_start":
        settings = TrainingSettings(
            preset="ridge_start",
            learning_rate=1e-4,
            use_zscore=True,
            patience=8,
            inner_fraction=0.1,
            linear_start="ridge",
            network=NetworkSettings(linear_path=True),
        )
    else:
        raise SettingsError(f"preset {name!r} does not exist; choose one of {', '.join(PRESETS)}")

    network_fields = declared(NetworkSettings)
    training_fields = {key: item for key, item in declared(TrainingSettings).items() if key != "preset"}
    network = overrides.pop("network", settings.network)
    refuse_unknown(overrides, {**training_fields, **network_fields})
    network = dataclasses.replace(network, **{k: v for k, v in overrides.items() if k in network_fields})
    training = {key: value for key, value in overrides.items() if key in training_fields}
    return dataclasses.replace(settings, network=network, **training)


@dataclass(frozen=True)
class TrainingRequest(Settings):
    """Hyper-parameters of a training run, the genes it models and when its model becomes current.

    A setting on which the presets differ is left to the preset where nothing is said.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    n_genes: int | None = setting(
        None,
        "of batches that landed as counts, model the genes that vary most over the training wells (none: 2541, the "
        "published number); landed VST is modelled whole",
        at_least=1,
    )
    compare_with_linear: bool = setting(
        False,
        "fit ridge and logistic regression on the same split and show their held-out accuracy beside the model's; "
        "minutes on a large screen",
    )
    validation_tolerance: float = setting(
        0.05,
        "the model becomes current unless its validation loss exceeds the current model's by more than this share",
        at_least=0,
    )
    promote_without_skill: bool = setting(
        False,
        "let a model become current that is no better than the mean on the wells held out of its training",
    )

    @classmethod
    def form(cls) -> Form[TrainingRequest]:
        """Presets and what differs from them, network and training side by side."""
        presets = {name: settings_for_preset(name).by_name() for name in PRESETS}
        training = {**declared(TrainingSettings), **declared(NetworkSettings)}
        overrides = {
            name: _left_to_the_preset(item, {preset: values[name] for preset, values in presets.items()})
            for name, item in training.items()
            if name != "preset"
        }
        fields = {"preset": training["preset"], **overrides, **declared(cls)}
        return Form(cls.__name__, str(cls.__doc__), fields, _request)


def _left_to_the_preset(item: Setting, values: Mapping[str, Any]) -> Setting:
    """A setting of a training, left to the preset where the presets differ."""
    if len(set(values.values())) == 1:
        return item
    said = ", ".join(f"{preset}: {str(value).lower()}" for preset, value in values.items())
    described = f"{item.description}; {said}"
    if item.choices:
        choices = (AS_PRESET, *item.choices)
        return dataclasses.replace(item, default=AS_PRESET, choices=choices, description=described)
    return dataclasses.replace(
        item, default=None, is_optional=True, none_means="the preset's", description=described
    )


def _request(preset: str = "published", **values: Any) -> TrainingRequest:
    own = {name: value for name, value in values.items() if name in declared(TrainingRequest)}
    overrides = {
        name: value
        for name, value in values.items()
        if name not in own and value is not None and value != AS_PRESET
    }
    return TrainingRequest(settings_for_preset(preset, **overrides), **own)


@dataclass(frozen=True)
class EnsembleSettings(Settings):
    """How many seeds an ensemble has."""

    members: int = setting(5, "models, the current one included", at_least=2)


@dataclass(frozen=True)
class StabilitySettings(Settings):
    """What the members of the ensemble are asked."""

    head: str = setting("auto", "head whose importance is compared", choices=HEADS)
    top: int = setting(50, "a gene counts as found by a member among so many", at_least=1)


@dataclass(frozen=True)
class ScoringSettings(Settings):
    """Which model scores, and which of its heads gene importance explains."""

    model_version: str = setting("", "model to score with; empty takes the current one")
    importance_head: str = setting(
        "auto",
        "head whose prediction gene importance explains; auto takes the legacy activation score where it was trained "
        "and the activation label otherwise",
        choices=HEADS,
    )
    drift_threshold: float = setting(
        1.0,
        "largest drift that passes: how many training standard deviations the median gene's mean may lie from the "
        "training wells'",
        above=0,
    )
    drift_blocks: bool = setting(False, "refuse to score a drifted batch instead of warning")


@dataclass(frozen=True)
class AttributionSettings(Settings):
    """What Integrated Gradients explain, and how exactly."""

    model_version: str = setting("", "model to explain; empty takes the current one")
    head: str = setting(
        "auto",
        "head to explain; auto takes the legacy activation score where it was trained and the activation label "
        "otherwise",
        choices=HEADS,
    )
    steps: int = setting(50, "points of the integral between DMSO mean and well", at_least=2)
