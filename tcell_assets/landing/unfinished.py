"""The hidden folder in which batches are written before they take their names, and its removal after a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

from tcell_assets.landing.wells import batch_name_fault
from tcell_assets.system.files import is_leftover, temporary_beside

REPLACED_SUFFIX = ".replaced"


def staging_folder(data_folder: Path) -> Path:
    """Make and return a hidden folder beside the batches."""
    folder = temporary_beside(data_folder / "batches")
    folder.mkdir(parents=True)
    return folder


def remove_staging(folder: Path) -> None:
    """Delete a staging folder; a batch that was moved aside, and whose successor never took its name, goes back."""
    for aside in folder.glob(f"*{REPLACED_SUFFIX}"):
        batch = folder.parent / aside.name.removesuffix(REPLACED_SUFFIX)
        if batch_name_fault(batch.name) is None and not batch.exists():
            aside.rename(batch)
    shutil.rmtree(folder, ignore_errors=True)


def sweep_unfinished_batches(data_folder: Path) -> list[str]:
    """Remove the staging folders of dead writers and return their names."""
    if not data_folder.is_dir():
        return []
    dead = sorted(path for path in data_folder.iterdir() if is_leftover(path) and path.is_dir())
    for folder in dead:
        remove_staging(folder)
    return [str(folder) for folder in dead]
