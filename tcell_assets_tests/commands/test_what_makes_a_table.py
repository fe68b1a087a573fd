"""A table knows what makes it: the command beside its schema, run from the shell, makes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcell_assets.cli import tcell
from tcell_assets.commands.platform import open_platform
from tcell_assets.installation.configuration import load_configuration
from tcell_assets.lake.stages import INGEST, SCORE, SCREEN, STAGES, Stage
from tcell_assets.lake.tables import TABLES, tables_made_by
from tcell_assets_tests.small_screen import NARROW, run_every_stage, simulate_into

BATCHES = ("tc1", "tc2")
MAKERS = [stage for stage in STAGES if tables_made_by(stage)]


def test_every_table_is_made_by_a_stage_that_has_a_job_and_a_command() -> None:
    from tcell_assets.cli import COMMANDS
    from tcell_assets.defs.jobs import JOBS

    jobs = {job.name for job in JOBS}
    for asset, table in TABLES.items():
        assert table.made_by.name in jobs, asset
        assert shlex.split(table.made_by.command)[:2] == ["tcell", table.made_by.name], asset
        assert table.made_by.name in COMMANDS, asset


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation with every table there is, made by a narrow network."""
    root = tmp_path_factory.mktemp("every_table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TCELL_HOME", str(root))
        for variable in ("TCELL_DATA", "TCELL_STORAGE", "DAGSTER_HOME"):
            patch.delenv(variable, raising=False)
        simulate_into(root / "data")
        with open_platform(load_configuration()) as platform:
            run_every_stage(platform)
            assert (
                platform.storage.models().manifest(str(platform.storage.models().current()))["settings"][
                    "network"
                ]["d_model"]
                == NARROW["d_model"]
            )
        yield root


@pytest.mark.slow
@pytest.mark.parametrize("stage", MAKERS, ids=[stage.name for stage in MAKERS])
def test_the_command_the_doctor_names_makes_the_table(home: Path, stage: Stage) -> None:
    """In the order of the flow, so that what a command reads was made by the ones before."""
    with open_platform(load_configuration()) as platform:
        lake = platform.storage.lake()
        current = platform.storage.models().current()
    wanted = [
        (asset, batch)
        for asset in tables_made_by(stage)
        for batch in (BATCHES if TABLES[asset].partitioned else (None,))
    ]
    for asset, batch in wanted:
        lake.path(asset, batch).unlink(missing_ok=True)
    for command in dict.fromkeys(TABLES[asset].command(batch) for asset, batch in wanted):
        result = CliRunner().invoke(tcell, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert [place for place in wanted if not lake.exists(*place)] == []
    with open_platform(load_configuration()) as platform:
        assert platform.storage.models().current() == current, (
            "the same settings and batches give the same model"
        )


@pytest.mark.slow
def test_a_backfill_makes_again_what_older_code_made_and_names_what_is_made_when_asked_for(
    home: Path,
) -> None:
    """One table of every stage at once; `test_judge` asks the same of every table without running it."""
    with open_platform(load_configuration()) as platform:
        lake = platform.storage.lake()
        older = [
            (stage, TABLES[asset], batch)
            for stage in MAKERS
            for asset in tables_made_by(stage)[:1]
            for batch in (BATCHES if TABLES[asset].partitioned else (None,))
            if lake.exists(asset, batch)
        ]
        for _, table, batch in older:
            lineage = lake.lineage(table.asset, batch)
            lake.write(lake.read_arrow(table.asset, batch), replace(lineage, code_version="older"))
    assert {INGEST, SCORE, SCREEN} < {stage for stage, _, _ in older}
    result = CliRunner().invoke(tcell, ["backfill"])
    assert result.exit_code == 0, result.output
    for stage, table, batch in older:
        if stage.is_routine:
            assert lake.lineage(table.asset, batch).code_version == table.code_version, (table.asset, batch)
        else:
            assert f"made only when asked for: {table.asset}" in result.output
