"""One small screen for all export tests: every stage run, with a metabolite whose name is markup."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets_tests.small_screen import (
    configuration_in,
    rename_metabolite,
    run_every_stage,
    simulate_into,
)

HOSTILE_NAME = '<script>alert(1)</script> & "more", or less'


@pytest.fixture(scope="session")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two batches through ingest, train, score and screen; nobody changes it."""
    configuration = configuration_in(tmp_path_factory.mktemp("exports"))
    wells = simulate_into(configuration.data).wells
    rename_metabolite(
        configuration.data, str(wells.loc[~wells["is_dmso"], "metabolite"].iloc[0]), HOSTILE_NAME
    )
    with open_platform(configuration) as platform:
        run_every_stage(platform)
        platform.run("report", "tc1")
        yield platform


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An installation in which nothing has been materialized."""
    with open_platform(configuration_in(tmp_path_factory.mktemp("empty"))) as platform:
        yield platform
