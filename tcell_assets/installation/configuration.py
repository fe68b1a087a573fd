"""Where the platform lives and how it is set up: one typed place, read from environment variables.

| variable | default | what |
| --- | --- | --- |
| `TCELL_HOME` | the current folder if it holds `workspace.yaml`, else the project's | holds `data/` and `storage/` |
| `TCELL_DATA` | `$TCELL_HOME/data` | landing zone, one folder a batch |
| `TCELL_STORAGE` | `$TCELL_HOME/storage` | root of `lake/` and `models/`; a path or an object-store URL |
| `DAGSTER_HOME` | `$TCELL_HOME/storage` | Dagster's instance: run history, event log, schedules |
| `TCELL_NEW_PLATES` | `on` | ingest and score new and changed batches |
| `TCELL_SETTLE_SECONDS` | `60` | a folder without `_READY` is complete when nothing in it changed for so long |
| `TCELL_LOOK_EVERY_SECONDS` | `30` | time between two looks at the landing zone |
| `TCELL_REQUESTS_PER_TICK` | `20` | most batches that one look starts |
| `TCELL_NIGHTLY` | `on` | bring everything up to date once a night |
| `TCELL_NIGHTLY_CRON` | `0 2 * * *` | when |
| `TCELL_WEEKLY` | `on` | train when the training set has changed |
| `TCELL_WEEKLY_CRON` | `0 4 * * 6` | when |
| `TCELL_UMASK` | `077` | who may not read new files: `077` all others, `027` all but the group |
| `TCELL_TIME_ZONE` | `UTC` | of both crons, e.g. `Europe/Berlin` |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT_UMASK = "077"


class ConfigurationError(ValueError):
    """A setting is not usable; the message names it and what would be."""


@dataclass(frozen=True)
class OperationSettings:
    """What the daemon does by itself; see the table above. A switch in the UI overrules `on` and `off`."""

    new_plates: bool = True
    settle_seconds: float = 60.0
    look_every_seconds: int = 30
    requests_per_tick: int = 20
    nightly: bool = True
    nightly_cron: str = "0 2 * * *"
    weekly: bool = True
    weekly_cron: str = "0 4 * * 6"
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Configuration:
    """Resolved settings of one installation."""

    home: Path
    data: Path
    storage: str
    dagster_home: Path
    operations: OperationSettings = OperationSettings()


def load_configuration(environment: Mapping[str, str] = os.environ) -> Configuration:
    """Resolve the settings from environment variables.

    Raises:
        ConfigurationError: `TCELL_HOME` names a folder that does not exist, or an operation setting is not usable.
    """
    home = Path(environment.get("TCELL_HOME") or _default_home()).expanduser().resolve()
    if not home.is_dir():
        raise ConfigurationError(f"TCELL_HOME={home} is not a folder; create it or unset the variable")
    return Configuration(
        home=home,
        data=Path(environment.get("TCELL_DATA") or home / "data").expanduser().resolve(),
        storage=environment.get("TCELL_STORAGE") or str(home / "storage"),
        dagster_home=Path(environment.get("DAGSTER_HOME") or home / "storage").expanduser().resolve(),
        operations=_operation_settings(environment),
    )


def restrict_new_files(environment: Mapping[str, str] = os.environ) -> None:
    """Have this process and those it starts make files that are their owner's alone, or as `TCELL_UMASK` says.

    Raises:
        ConfigurationError: `TCELL_UMASK` is no mask, or would let everybody write.
    """
    text = environment.get("TCELL_UMASK") or DEFAULT_UMASK
    if not (0 < len(text) <= 4 and set(text) <= set("01234567")) or not int(text, 8) & 0o002:
        raise ConfigurationError(
            f"TCELL_UMASK={text!r} is no mask that keeps others from writing; 077 keeps files to their owner, 027 to "
            "the group"
        )
    os.umask(int(text, 8))


def _operation_settings(environment: Mapping[str, str]) -> OperationSettings:
    defaults = OperationSettings()
    return OperationSettings(
        new_plates=_switch(environment, "TCELL_NEW_PLATES", defaults.new_plates),
        settle_seconds=_number(environment, "TCELL_SETTLE_SECONDS", defaults.settle_seconds, at_least=0),
        look_every_seconds=round(
            _number(environment, "TCELL_LOOK_EVERY_SECONDS", defaults.look_every_seconds, at_least=1)
        ),
        requests_per_tick=round(
            _number(environment, "TCELL_REQUESTS_PER_TICK", defaults.requests_per_tick, at_least=1)
        ),
        nightly=_switch(environment, "TCELL_NIGHTLY", defaults.nightly),
        nightly_cron=environment.get("TCELL_NIGHTLY_CRON") or defaults.nightly_cron,
        weekly=_switch(environment, "TCELL_WEEKLY", defaults.weekly),
        weekly_cron=environment.get("TCELL_WEEKLY_CRON") or defaults.weekly_cron,
        time_zone=_time_zone(environment, "TCELL_TIME_ZONE", defaults.time_zone),
    )


def _switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name) or ("on" if default else "off")
    if text.lower() not in ("on", "off"):
        raise ConfigurationError(f"{name}={text!r} is neither on nor off")
    return text.lower() == "on"


def _number(environment: Mapping[str, str], name: str, default: float, at_least: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not at_least <= value < float("inf"):
        raise ConfigurationError(f"{name}={text!r} is not a number of at least {at_least:g}")
    return value


def _time_zone(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name) or default
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"{name}={text!r} is no time zone; name one as Europe/Berlin is") from error
    return text


def _default_home() -> Path:
    here = Path.cwd()
    return here if (here / "workspace.yaml").exists() else Path(__file__).resolve().parents[2]
