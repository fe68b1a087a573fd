"""The documentation site says what the code does: contract words, asset pages, links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tcell_assets.definitions import build_defs
from tcell_assets.exports.asset_reference import (
    asset_graph_svg,
    asset_reference,
    documented_assets,
    groups_in_order,
)
from tcell_assets.lake.column_lineage import column_sources
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.landing.columns import COLUMN_SPELLINGS
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings
from tcell_assets.targets import TARGETS, names_of, spelling

ROOT = Path(__file__).parents[2]
LANDING = (ROOT / "docs" / "landing.md").read_text()
MIGRATION = (ROOT / "docs" / "migration.md").read_text()


def test_the_landing_contract_names_every_column_setting_limit_and_target() -> None:
    text = re.sub(r"```.*?```", "", LANDING, flags=re.DOTALL)
    coded = {spelling(word) for word in re.findall(r"`([^`]+)`", text)}
    # A second compound's columns are spelled out, and the third's and fourth's are theirs with another number.
    roles = [role for role in COLUMN_SPELLINGS if not role.endswith(("_3", "_4"))]
    expected = {
        *roles,
        *(name for role in roles for name in COLUMN_SPELLINGS[role]),
        *names_of(TARGETS),
        *(field.name for field in fields(LandingSettings)),
        *(field.name for field in fields(LandingLimits)),
    }
    assert {name for name in expected if spelling(name) not in coded} == set()


def test_the_migration_page_has_every_flag_of_the_published_script() -> None:
    from tcell_assets.commands.drop_in import run_command

    flags = {flag for option in run_command.params for flag in option.opts if "_" in flag}
    assert flags
    assert {flag for flag in flags if f"`{flag}`" not in MIGRATION} == set()


def test_the_asset_page_has_every_asset_and_every_column() -> None:
    page = asset_reference(build_defs())
    for asset in documented_assets(build_defs()):
        assert f"### {asset.name} " in page
    for table in TABLES.values():
        for column in table.columns:
            if column.name not in LATENT_COLUMNS:
                assert f"| `{column.name}`" in page, (table.asset, column.name)


def test_the_graph_runs_from_left_to_right_in_the_order_of_the_groups() -> None:
    graph = asset_graph_svg(build_defs())
    places = {
        group: int(match[1])
        for group in groups_in_order(build_defs())
        if (match := re.search(rf'<text x="(\d+)"[^>]*>{group}</text>', graph))
    }
    assert list(places) == list(groups_in_order(build_defs()))
    assert sorted(places.values()) == list(places.values())


def test_column_lineage_names_columns_that_exist_upstream() -> None:
    upstream = {asset.name: set(asset.upstream) for asset in documented_assets(build_defs())}

    def ancestors(asset: str) -> set[str]:
        parents = upstream[asset]
        return parents | {each for parent in parents for each in ancestors(parent)}

    for asset, sources in column_sources().items():
        assert set(sources) <= {column.name for column in TABLES[asset].columns}, asset
        for source, column in {pair for made_from in sources.values() for pair in made_from}:
            assert column in {each.name for each in TABLES[source].columns}, (asset, source, column)
            assert source in ancestors(asset), (asset, source)


def test_pictures_of_the_readme_are_small_and_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for address in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            picture = page.parent / address
            assert picture.is_file(), f"{page.name}: {address}"
            assert picture.stat().st_size < 300 * 1024, address


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_no_other_host_for_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert [address for address in fetched if "canonical" not in address] == [], page.name
