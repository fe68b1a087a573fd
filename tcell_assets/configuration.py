"""Where the platform lives and how it is set up: one typed place, read from environment variables.

| variable | default | what |
| --- | --- | --- |
| `TCELL_HOME` | the current folder if it holds `workspace.yaml`, else the project's | holds `data/` and `storage/` |
| `TCELL_DATA` | `$TCELL_HOME/data` | landing zone, one folder a batch |
| `TCELL_STORAGE` | `$TCELL_HOME/storage` | root of `lake/` and `models/`; a path or an object-store URL |
| `DAGSTER_HOME` | `$TCELL_HOME/storage` | Dagster's instance: run history, event log, schedules |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigurationError(ValueError):
    """A setting is not usable; the message names it and what would be."""


@dataclass(frozen=True)
class Configuration:
    """Resolved settings of one installation."""

    home: Path
    data: Path
    storage: str
    dagster_home: Path


def load_configuration(environment: Mapping[str, str] = os.environ) -> Configuration:
    """Resolve the settings from environment variables.

    Raises:
        ConfigurationError: `TCELL_HOME` names a folder that does not exist.
    """
    home = Path(environment.get("TCELL_HOME") or _default_home()).expanduser().resolve()
    if not home.is_dir():
        raise ConfigurationError(f"TCELL_HOME={home} is not a folder; create it or unset the variable")
    return Configuration(
        home=home,
        data=Path(environment.get("TCELL_DATA") or home / "data").expanduser().resolve(),
        storage=environment.get("TCELL_STORAGE") or str(home / "storage"),
        dagster_home=Path(environment.get("DAGSTER_HOME") or home / "storage").expanduser().resolve(),
    )


def _default_home() -> Path:
    here = Path.cwd()
    return here if (here / "workspace.yaml").exists() else Path(__file__).resolve().parents[1]
