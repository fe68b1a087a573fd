"""Who may read what the platform writes: its owner, unless the installation says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcell_assets.installation.configuration import ConfigurationError, restrict_new_files


@pytest.mark.parametrize(("mask", "file", "folder"), [("", 0o600, 0o700), ("027", 0o640, 0o750)])
def test_what_a_command_writes_has_the_mode_that_was_asked_for(
    tmp_path: Path, mask: str, file: int, folder: int
) -> None:
    code = "import sys; from tcell_assets.cli import main; main()"
    own = {name: value for name, value in os.environ.items() if not name.startswith("TCELL_")}
    target = tmp_path / "data"
    subprocess.run(
        [sys.executable, "-c", code, "simulate", str(target)],
        env={**own, "TCELL_UMASK": mask},
        check=True,
        umask=0o022,
        timeout=300,
    )
    written = [path for path in target.rglob("*") if path.is_file()]
    assert written
    assert {path.stat().st_mode & 0o777 for path in written} == {file}
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_dir()} == {folder}


@pytest.mark.parametrize("mask", ["000", "0o77", "88", "770", "77777", "-1"])
def test_a_mask_that_lets_everyone_write_or_is_none_is_refused(mask: str) -> None:
    with pytest.raises(ConfigurationError, match="TCELL_UMASK"):
        restrict_new_files({"TCELL_UMASK": mask})
