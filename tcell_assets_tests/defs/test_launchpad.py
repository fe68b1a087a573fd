"""The Launchpad shows every setting as science declares it, and what is out of bounds is refused at launch."""

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tcell_assets.definitions import build_defs
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.science.model.settings import TrainingRequest, settings_for_preset
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.settings import LARGEST_SEED, Form, Setting, Settings, declared, setting

SCIENCE = Path(__file__).parents[2] / "tcell_assets" / "science"


def steps() -> dict[str, tuple[type[Launchpad[Any]], dict[str, dg.Field]]]:
    """The configuration class of every step that has one, with the fields that the Launchpad shows of it."""
    found = {}
    for asset in build_defs().assets or ():
        if not isinstance(asset, dg.AssetsDefinition):
            continue
        configuration = getattr(asset.op, "__annotations__", {}).get("config")
        if configuration is not None:
            shown = asset.op.config_schema.as_field().config_type
            assert isinstance(shown, dg.Shape)
            found[asset.op.name] = (configuration, dict(shown.fields))
    return found


STEPS = steps()


def settings_classes() -> list[type[Settings]]:
    for file in SCIENCE.rglob("settings.py"):
        importlib.import_module(".".join(file.relative_to(SCIENCE.parents[1]).with_suffix("").parts))
    return Settings.__subclasses__()


def out_of_bounds(item: Setting) -> Iterator[Any]:
    """Values of the setting's type that it does not allow."""
    bounds = item.bounds
    step = 1 if item.kind is int else 1e-6
    if bounds.at_least is not None:
        yield item.kind(bounds.at_least - step)
    if bounds.above is not None:
        yield item.kind(bounds.above)
    if bounds.at_most is not None:
        yield item.kind(bounds.at_most + step)
    if bounds.below is not None:
        yield item.kind(bounds.below)
    if item.kind is float:
        yield math.nan
    if item.is_list and item.choices:
        yield ["another"]


CASES = [
    pytest.param(step, name, value, id=f"{step}-{name}-{value}")
    for step, (configuration, _) in STEPS.items()
    for name, item in configuration.form.fields.items()
    if isinstance(item, Setting)
    for value in out_of_bounds(item)
]


@pytest.mark.parametrize("step", STEPS)
def test_the_launchpad_shows_every_setting_with_its_default_its_description_and_its_bounds(step: str) -> None:
    configuration, shown = STEPS[step]
    assert set(shown) == set(configuration.form.fields)
    for name, item in configuration.form.fields.items():
        field = shown[name]
        if isinstance(item, Form):
            assert not field.is_required
            continue
        assert field.default_value == (list(item.default) if item.is_list else item.default), name
        assert item.description in str(field.description), name
        assert item.kind is str or item.allowed in str(field.description), name


def test_every_class_of_settings_is_in_the_launchpad() -> None:
    """Those of a training are part of what a training is asked for."""
    forms = [configuration.form for configuration, _ in STEPS.values()]
    shown = {form.name for form in forms} | {name for form in forms for name in form.fields}
    for settings_class in settings_classes():
        if settings_class.__module__.startswith("tcell_assets.science"):
            assert settings_class.__name__ in shown or set(declared(settings_class)) <= shown, settings_class


JOB = build_defs().resolve_implicit_global_asset_job_def()


@pytest.mark.parametrize(("step", "name", "value"), CASES)
def test_a_value_out_of_bounds_is_refused_when_the_run_is_launched(step: str, name: str, value: Any) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=rf"^{name} is .*; it must be "):
        dg.validate_run_config(JOB, {"ops": {step: {"config": {name: value}}}})


@pytest.mark.parametrize("step", STEPS)
def test_the_defaults_are_accepted_at_launch(step: str) -> None:
    assert dg.validate_run_config(JOB, {"ops": {step: {"config": {}}}})


def test_settings_that_contradict_each_other_are_refused_when_the_run_is_launched() -> None:
    for config, words in (
        ({"heads": 3}, "d_model 128 is not a multiple of heads 3"),
        ({"linear_start": "ridge"}, "'ridge' needs linear_path"),
    ):
        with pytest.raises(dg.DagsterInvalidConfigError, match=words):
            dg.validate_run_config(JOB, {"ops": {"train_model": {"config": config}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="heads 3"):
        dg.validate_run_config(JOB, {"ops": {"evaluate_models": {"config": {"training": {"heads": 3}}}}})


def test_a_refused_run_starts_no_step() -> None:
    started = []

    @dg.asset
    def called(config: Launchpad[HitRule]) -> None:
        started.append(config.settings())

    job = dg.Definitions(assets=[called]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterInvalidConfigError, match=f"seed is {LARGEST_SEED + 1}"):
            job.execute_in_process(
                run_config={"ops": {"called": {"config": {"seed": LARGEST_SEED + 1}}}}, instance=instance
            )
        assert instance.get_runs() == []
    assert started == []


def test_a_field_added_to_a_class_of_settings_is_shown_checked_and_read_without_another_edit() -> None:
    @dataclass(frozen=True)
    class Toy(HitRule):
        """A rule with one setting more."""

        patience_of_the_reader: int = setting(3, "seconds a reader waits", at_least=1, below=60)

    seen = []

    @dg.asset
    def toy(config: Launchpad[Toy]) -> None:
        seen.append(config.settings())

    job = dg.Definitions(assets=[toy]).resolve_implicit_global_asset_job_def()
    shown = Launchpad[Toy].to_fields_dict()["patience_of_the_reader"]
    assert shown.default_value == 3
    assert shown.description == "seconds a reader waits (a whole number of at least 1 and below 60)"
    with pytest.raises(dg.DagsterInvalidConfigError, match="patience_of_the_reader is 60"):
        dg.validate_run_config(job, {"ops": {"toy": {"config": {"patience_of_the_reader": 60}}}})
    job.execute_in_process(run_config={"ops": {"toy": {"config": {"patience_of_the_reader": 5}}}})
    assert seen == [Toy(patience_of_the_reader=5)]


@pytest.mark.parametrize("preset", ["published", "recommended", "ridge_start"])
def test_a_training_of_which_only_the_preset_is_said_is_that_preset(preset: str) -> None:
    resolved = dg.validate_run_config(JOB, {"ops": {"train_model": {"config": {"preset": preset}}}})
    filled = TrainingRequest.form().filled(resolved["ops"]["train_model"]["config"])
    assert filled.training == settings_for_preset(preset)
    assert filled.training.as_json() == settings_for_preset(preset).as_json()


def test_what_an_error_advises_to_set_can_be_set() -> None:
    shown = STEPS["train_model"][1]
    assert {"full_attention_gene_limit", "attention", "inducing_points", "linear_path", "latent"} <= set(
        shown
    )


def test_the_launchpad_of_train_starts_with_the_recommended_preset() -> None:
    job = build_defs().resolve_job_def("train")
    assert job.run_config == {"ops": {"train_model": {"config": {"preset": "recommended"}}}}
