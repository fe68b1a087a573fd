"""Every landed batch is hashed within thirty nights, whatever its stamp says, and each night only a share."""

from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from tcell_assets.installation import operations
from tcell_assets.installation.operations import DAYS_TO_LOOK, SECONDS_OF_A_DAY, is_due, landed_content
from tcell_assets.lake.staleness import Ingested
from tcell_assets.lake.store import Lake
from tcell_assets.landing.arrivals import scan_folder
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets_tests.landing.folders import mapped_folder

NIGHTS = [number * SECONDS_OF_A_DAY + 7_200.0 for number in range(20_000, 20_000 + DAYS_TO_LOOK)]


def test_each_batch_is_due_on_exactly_one_of_thirty_nights() -> None:
    for batch in ("tc1", "tc2", "screen_2", "a"):
        assert sum(is_due(batch, night) for night in NIGHTS) == 1


def test_a_night_takes_about_a_thirtieth_of_many_batches() -> None:
    batches = [f"tc{number}" for number in range(600)]
    # 20 are expected; a Poisson count is beyond 45 once in a million nights.
    assert max(sum(is_due(batch, night) for batch in batches) for night in NIGHTS) <= 45


def test_bytes_that_changed_under_an_equal_stamp_are_found_when_the_batch_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    scan = scan_folder(folder)
    monkeypatch.setattr(operations, "ingested_from", lambda lake, batch: Ingested("what it was", scan.stamp))
    lake = Lake(UPath(tmp_path / "lake"))
    assert landed_content(folder, lake, scan) == "what it was"
    assert landed_content(folder, lake, scan, hashes_anyway=True) == content_hash(folder)
