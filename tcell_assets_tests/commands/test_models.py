"""`tcell models`: list, promote and roll back from the shell."""

from __future__ import annotations

from click.testing import CliRunner, Result

from tcell_assets.commands.models import models_command
from tcell_assets.commands.platform import Platform
from tcell_assets.lake.models import UnknownModelError
from tcell_assets_tests.operations.small_installation import score, train


def _models(*arguments: str) -> Result:
    return CliRunner().invoke(models_command, list(arguments))


def test_without_a_model_the_list_says_how_to_get_one(platform: Platform) -> None:
    assert "tcell train" in _models("list").output


def test_the_list_shows_versions_promotions_and_stale_batches(platform: Platform) -> None:
    first = train(platform)
    score(platform, "tc1")
    second = train(platform, epochs=2, validation_tolerance=10.0)
    lines = _models("list").output.splitlines()
    assert next(line for line in lines if line.startswith("current")).split()[1] == second
    assert next(line for line in lines if line.lstrip().startswith(first)).endswith("tc1")
    assert any("promoted" in line and second in line and "asked for without skill" in line for line in lines)
    assert lines[-1].startswith("stale: tc1;")


def test_promoting_and_rolling_back_say_who_why_and_what_is_stale(platform: Platform) -> None:
    first = train(platform)
    second = train(platform, epochs=2, validation_tolerance=10.0)
    score(platform, "tc1")
    told = _models("rollback", "--why", "tc1 looks wrong").output
    assert f"{first} is current now; before: {second}" in told
    assert "1 batches were scored by another model and are stale: tc1" in told
    last = platform.storage.models().promotions()[-1]
    assert (last.version, last.why, last.is_rollback) == (first, "tc1 looks wrong", True)
    assert _models("promote", second).exit_code == 0
    assert platform.storage.models().current() == second
    assert "already" in _models("promote", second).output


def test_an_unknown_version_is_refused_with_the_known_ones(platform: Platform) -> None:
    version = train(platform)
    error = _models("promote", "model-nonsense").exception
    assert isinstance(error, UnknownModelError)
    assert version in str(error)
    assert platform.storage.models().current() == version
