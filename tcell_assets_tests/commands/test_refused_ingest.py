"""What `tcell ingest` says of a batch that it refuses: each cause once, few lines, nothing of NumPy's."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tcell_assets.cli import tcell
from tcell_assets_tests.landing.test_conditions import screen_folder


def ingest(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the shell shows of an ingest that fails."""
    monkeypatch.setenv("TCELL_HOME", str(home))
    result = CliRunner().invoke(tcell, ["ingest", "tc1"])
    assert result.exit_code == 1
    return result.output


def test_a_cause_is_told_once_and_the_whole_list_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["DMSO", "x", "a"], *([["Torin", "x", "a"], ["Torin", "x", "b"]] * 12)]
    screen_folder(tmp_path / "data" / "tc1", ["metabolite", "batch", "stim"], rows)
    output = ingest(tmp_path, monkeypatch)
    assert output.count("says batch 'x' of the well tc1_P1_A1") == 1
    assert "25 contradictions, such as" in output
    assert "every one of them: " in output
    assert len(output.splitlines()) <= 15


def test_a_batch_of_too_few_usable_wells_fails_without_a_warning_of_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No well of four passes on three genes: the correlation with DMSO is known of none.
    screen_folder(tmp_path / "data" / "tc1", ["metabolite"], [["DMSO"], ["Torin"], ["Torin"], ["AZD"]])
    output = ingest(tmp_path, monkeypatch)
    assert "enough_usable_wells: 0 of 4 of tc1 pass" in output
    assert "Warning" not in output
