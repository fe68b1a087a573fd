"""Where the platform lives and how it is set up: one typed place, read from environment variables.

| variable | default | what |
| --- | --- | --- |
| `TCELL_HOME` | the current folder if it holds `workspace.yaml`, else the project's | holds `data/` and `storage/` |
| `TCELL_DATA` | `$TCELL_HOME/data` | landing zone, one folder a batch |
| `TCELL_STORAGE` | `$TCELL_HOME/storage` | root of `lake/` and `models/`; a path or an object-store URL |
| `TCELL_TARGETS` | `$TCELL_HOME/targets.yaml` | declares targets beyond the published five, where it is there |
| `DAGSTER_HOME` | `$TCELL_HOME/storage` | Dagster's instance: run history, event log, schedules |
| `TCELL_ALERTS` | none | services that hear of failed runs, as Apprise URLs separated by spaces |
| `TCELL_UMASK` | `077` | who may not read new files: `077` all others, `027` all but the group |

and what the daemon does by itself: `TCELL_` and the name of each field of :class:`OperationSettings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tcell_assets.settings import Settings, SettingsError, declared, setting
from tcell_assets.system.home import home_folder

DEFAULT_UMASK = "077"


class ConfigurationError(ValueError):
    """A setting is not usable; the message names it and what would be."""


@dataclass(frozen=True)
class OperationSettings(Settings):
    """What the daemon does by itself. A switch in the UI overrules `on` and `off`."""

    new_plates: bool = setting(True, "ingest and score new and changed batches")
    settle_seconds: float = setting(
        60.0, "a folder without `_READY` is complete when nothing in it changed for so long", at_least=0
    )
    look_every_seconds: int = setting(30, "time between two looks at the landing zone", at_least=1)
    requests_per_tick: int = setting(20, "most batches that one look starts", at_least=1)
    nightly: bool = setting(True, "bring everything up to date once a night")
    nightly_cron: str = setting("0 2 * * *", "when the night is")
    weekly: bool = setting(True, "train when the training set has changed")
    weekly_cron: str = setting("0 4 * * 6", "when in the week")
    time_zone: str = setting("UTC", "of both crons, e.g. `Europe/Berlin`")
    retention: bool = setting(True, "once a day, take from the run history what nothing needs any more")
    retention_materializations: int = setting(
        20, "runs of the last so many materializations of an asset and batch are kept", at_least=1
    )
    retention_days: float = setting(
        14.0, "runs that ended within so many days are kept as they are", at_least=0
    )


@dataclass(frozen=True)
class Configuration:
    """Resolved settings of one installation."""

    home: Path
    data: Path
    storage: str
    dagster_home: Path
    operations: OperationSettings = OperationSettings()
    # URLs of services hold passwords, which no message or traceback may show.
    alerts: tuple[str, ...] = field(default=(), repr=False)


def load_configuration(environment: Mapping[str, str] = os.environ) -> Configuration:
    """Resolve the settings from environment variables.

    Raises:
        ConfigurationError: `TCELL_HOME` names a folder that does not exist, a folder is given as a URL, or an operation
            setting is not usable.
    """
    for variable in ("TCELL_HOME", "TCELL_DATA", "DAGSTER_HOME"):
        if "://" in environment.get(variable, ""):
            # As a path, s3://bucket would be an empty folder named `s3:` in which no batch ever arrives.
            raise ConfigurationError(
                f"{variable}={environment[variable]} is a URL, and must be a folder of this machine: mount the store, "
                "or copy new plates into a folder; only TCELL_STORAGE may be a URL"
            )
    home = home_folder(environment).resolve()
    if not home.is_dir():
        raise ConfigurationError(f"TCELL_HOME={home} is not a folder; create it or unset the variable")
    return Configuration(
        home=home,
        data=Path(environment.get("TCELL_DATA") or home / "data").expanduser().resolve(),
        storage=environment.get("TCELL_STORAGE") or str(home / "storage"),
        dagster_home=Path(environment.get("DAGSTER_HOME") or home / "storage").expanduser().resolve(),
        operations=_operation_settings(environment),
        alerts=tuple(environment.get("TCELL_ALERTS", "").split()),
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
    values = {}
    for name, item in declared(OperationSettings).items():
        variable = f"TCELL_{name.upper()}"
        text = environment.get(variable)
        if text:
            try:
                values[name] = item.read(text)
            except SettingsError as error:
                allowed = "on or off" if item.kind is bool else item.allowed
                raise ConfigurationError(f"{variable}={text!r}; it must be {allowed}") from error
    settings = OperationSettings(**values)
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"TCELL_TIME_ZONE={settings.time_zone!r} is no time zone; name one as Europe/Berlin is"
        ) from error
    return settings
