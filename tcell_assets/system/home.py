"""The folder an installation lives in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`TCELL_HOME`, else the current folder where it holds `workspace.yaml`, else the project's."""
    stated = environment.get("TCELL_HOME")
    if stated:
        return Path(stated).expanduser().resolve()
    here = Path.cwd()
    return here if (here / "workspace.yaml").exists() else Path(__file__).resolve().parents[2]
