"""Tables too long for memory: written a piece at a time to a file without a name, and mapped from there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tcell_assets.system.files import storage_errors, temporary_beside

if TYPE_CHECKING:
    import pyarrow as pa


def spilled(pieces: Iterable[pa.Table], folder: Path) -> pa.Table:
    """Return pieces as one table that lies on disk and takes memory only where it is read.

    The file has no name once this returns, so the system takes its space back when the table is no longer used, in
    whatever way the process ends.

    Args:
        pieces: At least one, all of one schema.
        folder: A local folder with room for the table as it is in memory.

    Raises:
        StorageError: The folder cannot be written to or the disk is full.
    """
    import pyarrow as pa

    file = temporary_beside(folder / "table")
    with storage_errors(folder, "could not hold a table that is too long for memory"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            writer: pa.RecordBatchFileWriter | None = None
            for piece in pieces:
                writer = writer or pa.ipc.new_file(str(file), piece.schema)
                writer.write_table(piece)
            if writer is None:
                raise ValueError("a table needs at least one piece, be it empty")
            writer.close()
            return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        finally:
            file.unlink(missing_ok=True)
