"""Settings refuse what cannot work, in words."""

from __future__ import annotations

import json

import pytest

from tcell_assets.science.model.settings import NetworkSettings, TrainingSettings, settings_for_preset
from tcell_assets.settings import SettingsError


def test_the_published_preset_is_the_default_and_has_the_published_values() -> None:
    settings = settings_for_preset("published")
    assert settings == TrainingSettings()
    network = settings.network
    assert (network.d_model, network.heads, network.layers, network.feed_forward) == (128, 4, 2, 512)
    assert (network.dropout, network.attention_dropout, network.latent) == (0.1, 0.0, 32)
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (50, 32, 1e-3)
    assert (settings.activation_weight, settings.validation_fraction, settings.seed) == (0.2, 0.2, 614)
    assert (settings.use_zscore, settings.patience, settings.inner_fraction) == (False, 0, 0.0)


def test_held_out_wells_choose_no_epoch_but_in_the_published_preset() -> None:
    assert settings_for_preset("recommended").network.members > 1
    assert settings_for_preset("ridge_start").inner_fraction > 0


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"attention": "induced"}, "attention 'induced' does not exist in architecture 'programmes'"),
        ({"architecture": "transformer"}, "members is 5, but architecture 'transformer' has one"),
        ({"inner_fraction": 0.1}, "5 members already hold out"),
        ({"use_zscore": False, "linear_start": "zero"}, "architecture 'programmes' needs use_zscore"),
    ],
)
def test_settings_that_contradict_the_architecture_are_refused(
    overrides: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_for_preset("recommended", **overrides)


def test_overrides_reach_training_and_network_fields_by_name() -> None:
    settings = settings_for_preset("published", epochs=3, d_model=64)
    assert (settings.epochs, settings.network.d_model) == (3, 64)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("activation_weight", -0.1),
        ("validation_fraction", 1.0),
        ("validation_fraction", 0.0),
        ("seed", -1),
        ("patience", -1),
        ("inner_fraction", 1.0),
        ("d_model", 0),
        ("heads", 3),
        ("dropout", 1.0),
        ("attention_dropout", -0.1),
        ("attention", "sparse"),
        ("inducing_points", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        settings_for_preset("published", **{field: value})


def test_a_field_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SettingsError, match=r"no setting is called epoch; there are .*epochs"):
        settings_for_preset("published", epoch=3)


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        SettingsError, match=r"'best' does not exist; choose one of published, recommended, ridge_start"
    ):
        settings_for_preset("best")


def test_settings_survive_json() -> None:
    settings = settings_for_preset("ridge_start", epochs=7, attention="induced")
    assert TrainingSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


def test_settings_of_a_newer_version_are_refused() -> None:
    with pytest.raises(SettingsError, match="momentum"):
        TrainingSettings.from_json({**TrainingSettings().as_json(), "momentum": 0.9})


def test_network_settings_are_validated_when_made_alone() -> None:
    with pytest.raises(SettingsError, match="multiple of heads"):
        NetworkSettings(d_model=10, heads=4)


def test_settings_of_a_model_from_before_the_linear_start_are_read_and_written_as_they_were() -> None:
    """A model's version is the hash of them: one field more and every model of before would be refused as edited."""
    before = settings_for_preset("published", linear_path=True, use_zscore=True).as_json()
    assert "linear_start" not in before
    assert TrainingSettings.from_json(before).as_json() == before
    since = settings_for_preset("recommended")
    assert TrainingSettings.from_json(since.as_json()) == since
