"""What can be set in the shell: every setting of every step, as the class that declares it says."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tcell_assets.cli import COMMANDS, tcell
from tcell_assets.commands.settings import SettingsCommand, run_config
from tcell_assets.definitions import build_defs
from tcell_assets.defs.jobs import JOBS

JOB_NAMES = {job.name for job in JOBS}
SETTABLE = sorted(
    name for name in COMMANDS if isinstance(tcell.get_command(click.Context(tcell), name), SettingsCommand)
)


def command(name: str) -> SettingsCommand:
    found = tcell.get_command(click.Context(tcell), name)
    assert isinstance(found, SettingsCommand)
    return found


def said(name: str, *arguments: str) -> dict[str, Any]:
    """The configuration that a command makes of its arguments."""
    context = command(name).make_context(name, list(arguments))
    config: dict[str, Any] = context.params["config"]
    return config


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(tcell, arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_every_command_of_a_job_with_settings_can_set_those_of_every_step() -> None:
    definitions = build_defs()
    for job in sorted(JOB_NAMES & set(COMMANDS)):
        steps = {
            node.name: node.definition.__annotations__["config"].form.name
            for node in definitions.resolve_job_def(job).nodes
            if "config" in getattr(node.definition, "__annotations__", {})
        }
        if steps:
            assert {step: form.name for step, form in command(job).steps.items()} == steps, job


@pytest.mark.parametrize("name", SETTABLE)
def test_help_names_every_setting_with_its_default_and_its_bounds(name: str) -> None:
    shown = " ".join(CliRunner().invoke(tcell, [name, "--help"]).output.replace("-\n", "-").split())
    for form in command(name).steps.values():
        for setting_name, item in form.flat().items():
            assert f"{setting_name} " in shown, setting_name
            assert item.kind is str or item.allowed.replace(" ", "") in shown.replace(" ", ""), setting_name
    assert shown.count("[default:") >= sum(len(form.flat()) for form in command(name).steps.values())


def test_what_is_not_said_is_not_configured_so_that_shell_and_launchpad_have_the_same_defaults() -> None:
    for name in SETTABLE:
        assert said(name) == {}, name


def test_values_are_read_as_the_type_of_their_setting() -> None:
    config = said("train", "--set", "epochs=3", "--set", "learning_rate=1e-3", "--set", "use_zscore=yes")
    assert config == {"train_model": {"epochs": 3, "learning_rate": 1e-3, "use_zscore": True}}
    assert run_config(config) == {"ops": {"train_model": {"config": config["train_model"]}}}


def test_flags_and_set_values_reach_the_steps_they_name() -> None:
    assert said("score", "tc1", "--reference", "plate", "--set", "drift_blocks=true") == {
        "dmso_distances": {"reference": "plate"},
        "score_wells": {"drift_blocks": True},
    }
    assert said("screen", "--set", "hit_calls.seed=3", "--set", "phenotype_correlation.seed=4") == {
        "hit_calls": {"seed": 3},
        "phenotype_correlation": {"seed": 4},
    }


def test_the_network_of_an_evaluation_is_set_as_a_group() -> None:
    config = said("evaluate", "--scheme", "random", "--set", "training.preset=recommended")
    assert config == {"evaluate_models": {"schemes": ["random"], "training": {"preset": "recommended"}}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--set", "epoch=3"), "no setting is called epoch; did you mean epochs?"),
        (("evaluate", "--set", "epoch=3"), "did you mean training.epochs?"),
        (("train", "--set", "qqq=3"), "no setting is called qqq. `tcell train --help` names them all"),
        (("train", "--set", "epochs=-1"), "epochs is -1; it must be a whole number of at least 1"),
        (("train", "--set", "epochs=many"), "epochs is 'many'; it must be a whole number of at least 1"),
        (("train", "--set", "heads=3"), "d_model 128 is not a multiple of heads 3"),
        (("train", "--set", "seed=4294967296"), "seed is 4294967296; it must be a whole number from 0 to"),
        (("train", "--set", "epochs"), "'epochs' is not NAME=VALUE"),
        (("train", "--preset", "best"), "preset is 'best'; it must be published, recommended or ridge_start"),
        (("train", "--again", "--preset", "published"), "leave one out"),
        (("screen", "--set", "seed=3"), "write hit_calls.seed or"),
        (("evaluate", "--folds", "1"), "n_folds is 1; it must be a whole number of at least 2"),
        (("evaluate", "--set", "training.heads=3"), "d_model 128 is not a multiple of heads 3"),
        (("run", "--seed", "4294967296"), "seed is 4294967296"),
        (("run", "--epochs", "0"), "epochs is 0; it must be a whole number of at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_before_anything_is_opened(
    arguments: tuple[str, ...], words: str
) -> None:
    assert words in refusal(*arguments)


def test_help_with_every_setting_imports_neither_dagster_nor_pandas() -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom tcell_assets.cli import tcell\n"
        "assert 'epochs' in CliRunner().invoke(tcell, ['train', '--help']).output\n"
        "print([name for name in ('dagster', 'pandas', 'numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
