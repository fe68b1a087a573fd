"""Knows the storage again: the empty folder under a vanished mount is not the storage that was written to before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tcell_assets.system.files import StorageError, is_local, storage_errors, write_atomically

if TYPE_CHECKING:
    from upath import UPath

MARKER = ".tcell_storage"
# In DAGSTER_HOME: the storage folders this installation has used, one a line.
KNOWN_STORAGES = "known_storages.txt"


def require_known_storage(root: UPath, dagster_home: Path) -> None:
    """Mark a storage folder at its first use, and from then on refuse a folder of that name without the mark.

    An object store answers with an error of its own when it is gone, so only local folders are marked.

    Raises:
        StorageError: The folder was used before, and what lies there now is not it; or it cannot be written to.
    """
    from upath import UPath

    if not is_local(root):
        return
    folder = Path(root.path)
    marker, known = folder / MARKER, dagster_home / KNOWN_STORAGES
    lines = known.read_text().splitlines() if known.exists() else []
    if str(folder) in lines:
        if not marker.exists():
            raise StorageError(
                f"{folder}: is not the storage that was used before (it has no {MARKER}). Is its disk mounted? If it "
                f"was emptied on purpose, delete its line in {known}."
            )
        return
    with storage_errors(folder, "cannot be used as storage"):
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    write_atomically(UPath(known), "".join(f"{line}\n" for line in [*lines, folder]).encode())
