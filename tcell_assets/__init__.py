"""tcell_assets: a Dagster asset graph for DRUG-seq T-cell screens, from landed plates to scored metabolites.

In a notebook, `tcell_assets.open_screen()` opens what the lake holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tcell_assets.exports.opened_screen import Screen

__all__ = ["open_screen"]


def open_screen(home: str | Path | None = None, *, storage: str | None = None) -> Screen:
    """Open the screen of an installation, read-only; see `Screen` for what it offers.

    Args:
        home: Folder that holds `data/` and `storage/`; by default the settings of the environment, as for `tcell`.
        storage: Root of `lake/` and `models/`, a folder or an object-store address, where it is not `home`'s.

    Raises:
        FileNotFoundError: There is no lake.
    """
    # Imported here: the package itself loads in milliseconds, for `tcell --help` and for Dagster.
    from tcell_assets.exports import opened_screen

    return opened_screen.open_screen(home, storage=storage)
