"""What a long step has finished, kept in a folder until all of it is, so that a stopped step goes on where it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pandas as pd
from upath import UPath

from tcell_assets.system.files import write_atomically


class KeptFrames(MutableMapping[str, pd.DataFrame]):
    """Frames by name, each in a Parquet file of its own; a file that cannot be read counts as not kept.

    Args:
        folder: Holds the frames of this work and of no other. Its neighbours are what remains of other work that was
            stopped and never taken up; they are deleted.
        work: Whatever the frames depend on, as text; another text is another folder.
    """

    def __init__(self, folder: Path, work: str) -> None:
        self.folder = folder / hashlib.sha256(work.encode()).hexdigest()[:16]
        if folder.is_dir():
            for other in folder.iterdir():
                if other != self.folder:
                    shutil.rmtree(other, ignore_errors=True)

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a frame.

        Raises:
            KeyError: It is not kept.
        """
        import pyarrow as pa

        try:
            return pd.read_parquet(self._file(name))
        except (OSError, pa.ArrowException) as error:
            raise KeyError(name) from error

    def __setitem__(self, name: str, frame: pd.DataFrame) -> None:
        write_atomically(UPath(self._file(name)), frame.to_parquet())

    def __delitem__(self, name: str) -> None:
        self._file(name).unlink()

    def __iter__(self) -> Iterator[str]:
        return (
            iter(path.stem for path in self.folder.glob("[!.]*.parquet"))
            if self.folder.is_dir()
            else iter(())
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def finish(self) -> None:
        """Delete what was kept: all of the work is done."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"
