"""Reads `screen.yaml`: how a screen is written down, where it differs from the defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tcell_assets.landing.columns import COLUMN_SPELLINGS, ROLE_NAMES
from tcell_assets.landing.files import (
    SETTINGS_FILE,
    LandingFile,
    read_file_bytes,
    screen_settings_file,
    settings_file,
)
from tcell_assets.landing.names import folded
from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.quantities import time_unit
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings
from tcell_assets.landing.wells import well_pattern

LARGEST_SETTINGS_BYTES = 64 * 1024
# A limit or a name lies two levels deep.
DEEPEST_SETTINGS = 8


def settings_of(folder: Path, problems: ProblemCollector) -> LandingSettings:
    """The settings that hold for a folder: its own `screen.yaml`, else the one beside it, else the defaults."""
    return settings_from(settings_file(folder, problems), problems)


def settings_from(file: LandingFile | None, problems: ProblemCollector) -> LandingSettings:
    """The settings of a `screen.yaml`, or the defaults where there is none.

    Whoever may write a batch folder is not whoever answers for the machine: a batch's own file lowers the limits of
    the screen and never raises them.
    """
    if file is None:
        return LandingSettings()
    if file.name != SETTINGS_FILE:
        return read_screen_settings(file, LandingSettings(), problems)
    beside = screen_settings_file(file.path.parent, problems)
    screen = LandingLimits()
    if beside is not None:
        screen = read_screen_settings(beside, LandingSettings(), problems).limits
    settings = read_screen_settings(file, LandingSettings(limits=screen), problems)
    _refuse_raised_limits(file.name, settings.limits, screen, problems)
    return settings


def _refuse_raised_limits(
    file: str, own: LandingLimits, screen: LandingLimits, problems: ProblemCollector
) -> None:
    for item in fields(LandingLimits):
        stated, allowed = getattr(own, item.name), getattr(screen, item.name)
        if stated > allowed:
            found = f"sets limits.{item.name} to {stated:,}, above the screen's {allowed:,}"
            mend = (
                "A batch's own file may lower limits: raise them in the screen.yaml beside the batch folders"
            )
            problems.add("settings", file, "", found, mend)


def read_screen_settings(
    file: LandingFile, defaults: LandingSettings, problems: ProblemCollector
) -> LandingSettings:
    """The settings of a screen.

    Args:
        file: YAML; every key is optional: ``control_names, positive_control_names, plate_format, well_pattern,
            columns, factors, ignore_columns, dose_unit, time_unit, names, value_kind, concentration_in_name,
            unmapped_wells, missing_wells, duplicates, limits``.
        defaults: What holds where the file says nothing; its limits cap the limits of the file's own reading.
        problems: Receives unknown keys, with the nearest known one, and values of the wrong kind.

    Returns:
        The settings; the defaults where a problem was noted.
    """
    content = _load(file, defaults.limits, problems)
    if content is None:
        return defaults
    before = problems.total
    values = _checked(file.name, "", content, _READERS, problems)
    if "limits" in values:
        limits = _checked(file.name, "limits.", values["limits"], _LIMIT_READERS, problems)
        values["limits"] = LandingLimits(
            **{
                item.name: limits.get(item.name, getattr(defaults.limits, item.name))
                for item in fields(LandingLimits)
            }
        )
    if problems.total > before:
        return defaults
    return LandingSettings(
        **{item.name: values.get(item.name, getattr(defaults, item.name)) for item in fields(LandingSettings)}
    )


def _load(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> dict[Any, Any] | None:
    # Imported here: most batches have no such file.
    import yaml

    if file.bytes > LARGEST_SETTINGS_BYTES:
        found = f"has {file.bytes:,} bytes, more than {LARGEST_SETTINGS_BYTES:,}"
        problems.add("settings", file.name, "", found, "Keep only the settings in it")
        return None
    raw = read_file_bytes(file, limits, problems)
    if raw is None:
        return None
    try:
        text = raw.decode("utf-8")
        refused = _hostile(text)
        if refused is not None:
            problems.add("settings", file.name, "", *refused)
            return None
        doubled = _doubled_keys(yaml.compose(text, yaml.SafeLoader))
        for key in doubled:
            found = f"sets {quoted(key)} twice"
            problems.add("settings", file.name, "", found, "Keep one of the two lines")
        if doubled:
            return None
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = f"is not YAML ({' '.join(str(error).split())[:200]})"
        problems.add("settings", file.name, "", found, "Correct the file")
        return None
    if content is None:
        return {}
    if not isinstance(content, dict):
        problems.add("settings", file.name, "", "holds no 'key: value' lines", "Write one setting a line")
        return None
    return content


def _hostile(text: str) -> tuple[str, str] | None:
    """What makes a YAML text too much to parse, and the mend; None where nothing does. Read token by token."""
    import yaml

    opens = (
        yaml.BlockSequenceStartToken,
        yaml.BlockMappingStartToken,
        yaml.FlowSequenceStartToken,
        yaml.FlowMappingStartToken,
    )
    closes = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
    depth = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        # Aliases can make a few lines stand for gigabytes; no setting needs one.
        if isinstance(token, yaml.AliasToken):
            return "uses YAML aliases (*name)", "Write the values out"
        depth += isinstance(token, opens) - isinstance(token, closes)
        if depth > DEEPEST_SETTINGS:
            return f"is nested more than {DEEPEST_SETTINGS} levels deep", "Keep only the settings in it"
    return None


def _doubled_keys(node: Any) -> list[str]:
    """Keys that stand twice in one mapping; YAML's reader would keep the last without a word."""
    if node is None or not isinstance(node.value, list):
        return []
    doubled: list[str] = []
    seen: set[str] = set()
    for item in node.value:
        pair = item if isinstance(item, tuple) else (None, item)
        if pair[0] is not None:
            key = str(pair[0].value)
            doubled += [key] if key in seen else []
            seen.add(key)
        doubled += _doubled_keys(pair[1])
    return doubled


def _checked(
    file: str,
    prefix: str,
    content: dict[Any, Any],
    readers: dict[str, Callable[[Any], Any]],
    problems: ProblemCollector,
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key)
        if name not in readers:
            near = get_close_matches(name[:64], readers, n=1, cutoff=0.0)[0]
            mend = f"The nearest setting is {prefix}{near}: rename or remove it"
            problems.add("settings", file, "", f"has the unknown setting {quoted(prefix + name)}", mend)
            continue
        try:
            values[name] = readers[name](value)
        except ValueError as error:
            found = f"sets {prefix}{name} to {quoted(str(value))}, which {error}"
            problems.add("settings", file, "", found, "Correct the value")
    return values


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("is not a name or a list of names (put names like NA in quotes)")
    return tuple(name.strip() for name in names)


def _some_names(value: Any) -> tuple[str, ...]:
    names = _names(value)
    if not names:
        raise ValueError("names no control")
    return names


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # True == 1 in Python, but `plate_format: yes` is no number.
        if (
            isinstance(value, bool) != any(isinstance(choice, bool) for choice in allowed)
            or value not in allowed
        ):
            raise ValueError(f"is not one of {', '.join(map(str, allowed))}")
        return value

    return read


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("is not a text such as '{row}{column}'")
    return well_pattern(value)


def _columns(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise ValueError("is not a list of 'what it holds: column name'")
    known = [*COLUMN_SPELLINGS, *ROLE_NAMES]
    for role in value:
        if role not in known:
            near = get_close_matches(str(role)[:64], known, n=1, cutoff=0.0)[0]
            raise ValueError(f"has the unknown key {quoted(str(role))} (the nearest is {near})")
    return dict(value)


def _name_map(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise ValueError("is not a list of 'name as written: name as meant' (put names like NA in quotes)")
    return {folded(written): folded(meant) for written, meant in value.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text such as uM")
    return value.strip()


def _time_unit(value: Any) -> str:
    if not isinstance(value, str) or time_unit(value) is None:
        raise ValueError("is not a unit of time such as h")
    return value


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError("is not a list of 'limit: number'")
    return value


def _positive_number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("is not a number above 0")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "control_names": _some_names,
    "positive_control_names": _names,
    "plate_format": _one_of(96, 384, 1536),
    "well_pattern": _pattern,
    "columns": _columns,
    "factors": _names,
    "ignore_columns": _names,
    "dose_unit": _text,
    "time_unit": _time_unit,
    "names": _name_map,
    "value_kind": _one_of("vst", "counts"),
    "concentration_in_name": _one_of(True, False),
    "unmapped_wells": _one_of("refuse", "drop"),
    "duplicates": _one_of("count_once", "allow"),
    "missing_wells": _one_of("refuse", "drop"),
    "limits": _mapping,
}
_LIMIT_READERS: dict[str, Callable[[Any], Any]] = {
    item.name: _positive_number for item in fields(LandingLimits)
}
