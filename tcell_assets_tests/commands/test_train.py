"""`tcell train` says beforehand what a training takes; a dry run leaves no trace."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tcell_assets.commands.jobs import train_command
from tcell_assets.commands.platform import Platform
from tcell_assets_tests.operations.small_installation import score, train


def test_a_dry_run_says_what_the_training_would_take_and_trains_nothing(platform: Platform) -> None:
    told = CliRunner().invoke(
        train_command, ["--dry-run", "--preset", "recommended", "--set", "epochs=3"], catch_exceptions=False
    )
    assert told.exit_code == 0
    assert "training would take: " in told.output
    assert "for at most 3 epochs" in told.output
    assert platform.storage.models().current() is None
    assert not platform.instance.get_runs()


@pytest.mark.slow
def test_a_model_of_several_members_says_how_sure_it_is_without_an_ensemble(platform: Platform) -> None:
    alone = {"architecture": "transformer", "members": 1, "schedule": "constant", "linear_start": "zero"}
    train(platform, **alone)
    score(platform, "tc1")
    assert platform.storage.lake().read("well_predictions", "tc1")["sd_tscore"].isna().all()
    several = {"architecture": "programmes", "members": 3, "heads": 1, "use_zscore": True}
    train(platform, **several, validation_tolerance=1e6)
    score(platform, "tc1")
    assert (platform.storage.lake().read("well_predictions", "tc1")["sd_tscore"] > 0).all()
