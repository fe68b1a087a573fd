"""Questions that a plate map leaves open, each with the line of `screen.yaml` that answers it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tcell_assets.landing.columns import HARMLESS
from tcell_assets.landing.names import alike
from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import Quantity, is_dose_unit, time_unit
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import parse_number
from tcell_assets.landing.well_types import EMPTY, POSITIVE_CONTROL, SAMPLE, type_word
from tcell_assets.targets import spelling

# A designed factor has few levels that many wells share; what most wells have for themselves was read off them.
FEWEST_IDENTIFIERS = 20
WORDS_OF_IDENTIFIERS = ("sample", "well", "label", "barcode", "file", "uuid", "guid", "key")
WORDS_OF_COORDINATES = ("row", "col", "letter", "index", "pos")
DONOR_WORD = re.compile(r"^(?:donor|patient|subject|individual|d|p)[ _-]*(?=[0-9]+$)", re.IGNORECASE)


def ask_about_names(
    wells: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector
) -> None:
    """Ask about names that look like one name written in several ways."""
    treated = [well for well in wells if well.well_type in (SAMPLE, POSITIVE_CONTROL)]
    kinds: dict[str, Callable[[WellEntry], Iterable[str]]] = {
        "compound": lambda well: (well.compound or well.metabolite, *(name for name, _ in well.partners)),
        "cell line": lambda well: (well.cell_line,),
        "donor": lambda well: (well.donor,),
    }
    for factor in sorted({name for well in wells for name, _ in well.factors}):
        kinds[f"level of {quoted(factor)}"] = partial(_level_of, factor)
    for kind, names_of in kinds.items():
        found = treated if kind == "compound" else wells
        first: dict[str, WellEntry] = {}
        for well in found:
            for name in names_of(well):
                if name and settings.names.get(name) != name:
                    first.setdefault(name, well)
        groups = _alike(kind, first)
        times = Counter(name for each in found for name in names_of(each)) if groups else Counter()
        for group in groups:
            well = first[group[0]]
            meant = max(group, key=lambda name: (times[name], name.isascii(), len(name)))
            line = ", ".join(f"{yaml_value(name)}: {yaml_value(meant)}" for name in group if name != meant)
            apart = ", ".join(f"{yaml_value(name)}: {yaml_value(name)}" for name in group)
            problems.add(
                f"{kind} names that look alike: {group[0]}",
                well.file,
                "",
                f"spells what may be one {kind} as {listed(group)}",
                f"Say in screen.yaml names: {{{line}}} if they are one, or names: {{{apart}}} if they are not",
            )


def ask_about_units(wells: Sequence[WellEntry], problems: ProblemCollector) -> None:
    """Ask about amounts that cannot be compared with others of their column: 24 beside 24 h, ``late`` beside 6 h."""
    treated = [well for well in wells if well.well_type in (SAMPLE, POSITIVE_CONTROL)]
    doses = [(well, dose) for well in treated for dose in (well.dose, *(dose for _, dose in well.partners))]
    times = [(well, well.time) for well in wells if well.well_type != EMPTY]
    for what, found, setting in (("dose", doses, "dose_unit: uM"), ("time", times, "time_unit: h")):
        given = [(well, quantity) for well, quantity in found if quantity is not None]
        numbers = [(well, quantity) for well, quantity in given if isinstance(quantity, Quantity)]
        # Nothing is nothing in every unit.
        bare = [(well, number) for well, number in numbers if not number.unit and number.amount]
        for well, number in bare if any(number.unit for _, number in numbers) else []:
            text = f"gives the {what} {quoted(number.written)} without a unit, where others have one"
            mend = f"Write the unit, or say in screen.yaml what numbers without one are in, e.g. {setting}"
            problems.add(f"{what}s without a unit", well.file, f"row {well.file_row}", text, mend)
        words = [(well, quantity) for well, quantity in given if isinstance(quantity, str)]
        for well, word in words if len(words) < len(given) else []:
            text = f"gives the {what} {quoted(word)}, where others are numbers"
            mend = (
                "Write a number and its unit, such as 24 h, or list the column under factors in screen.yaml"
            )
            problems.add(f"{what}s that are no number", well.file, f"row {well.file_row}", text, mend)


def ask_about_unread(wells: Sequence[WellEntry], problems: ProblemCollector, notes: list[str]) -> None:
    """Refuse a column that nobody read and that varies within a condition; name the others in a note."""
    files: dict[str, list[WellEntry]] = defaultdict(list)
    for well in wells:
        files[well.file].append(well)
    constant: dict[str, list[str]] = defaultdict(list)
    harmless: dict[str, list[str]] = defaultdict(list)
    asked: set[str] = set()
    for name in dict.fromkeys(name for well in wells for name in well.others):
        holders = [well for well in wells if name in well.others and well.well_type != EMPTY]
        values: dict[str, dict[str, WellEntry]] = defaultdict(dict)
        for well in holders:
            values[well.condition].setdefault(well.others[name], well)
        varying = [condition for condition, found in values.items() if len(found) > 1]
        files_of = dict.fromkeys(well.file for well in wells if name in well.others)
        if not varying:
            for file in files_of:
                is_read = any(name in well.columns.values() for well in files[file][:1])
                constant[file] += [] if is_read else [name]
        elif not _is_of_types(name, holders) and _is_harmless(name, holders):
            for file in files_of:
                harmless[file].append(name)
        elif name not in asked:
            asked.add(name)
            _ask_about(name, holders, varying, problems)
    for file, names in ((file, names) for file, names in constant.items() if names):
        notes.append(f"{file}: columns not read: {', '.join(names)}")
    for file, names in harmless.items():
        notes.append(
            f"{file}: columns not read, though they differ between replicates (identifiers, measurements, comments): "
            f"{', '.join(names)}"
        )


def _ask_about(
    name: str, holders: Sequence[WellEntry], varying: list[str], problems: ProblemCollector
) -> None:
    levels = sorted({well.others[name] for well in holders})
    example = quoted(varying[0]) + (f" and {len(varying) - 1} more" if len(varying) > 1 else "")
    role = next((role for role, column in holders[0].columns.items() if column == name), None)
    what = f"is read as {role.replace('_', ' ')} and tells no conditions apart" if role else "nobody reads"
    found = (
        f"has the column {quoted(name)}, which {what}, and its values "
        f"{listed([level or 'blank' for level in levels])} differ between wells of one condition ({example})"
    )
    guess = _guessed_role(name, [level for level in levels if level])
    as_role = (
        f", columns: {{{guess}: {yaml_value(name)}}} if it is the {guess.replace('_', ' ')}" if guess else ""
    )
    mend = (
        f"Say in screen.yaml what it is: factors: [{yaml_value(name)}] if it tells conditions apart{as_role}, "
        f"or ignore_columns: [{yaml_value(name)}] if it plays no part"
    )
    problems.add(f"unread columns that vary: {name}", holders[0].file, "row 1", found, mend)


def _guessed_role(name: str, levels: Sequence[str]) -> str | None:
    text = spelling(name)
    are_dose_units = bool(levels) and all(map(is_dose_unit, levels))
    are_time_units = bool(levels) and all(map(time_unit, levels))
    if are_dose_units or are_time_units:
        return "concentration_unit" if are_dose_units else "time_unit"
    if any(word in text for word in ("conc", "dose", "molar")) and "log" not in text:
        return "concentration"
    if any(word in text for word in ("time", "hour", "day")):
        return "time"
    if "line" in text or "cell" in text:
        return "cell_line"
    if any(word in text for word in ("donor", "patient", "subject")):
        return "donor"
    if levels and any(word in text for word in ("control", "type", "role")) and all(map(type_word, levels)):
        return "control_type"
    return None


def _is_of_types(name: str, holders: Sequence[WellEntry]) -> bool:
    """Whether the column is read as a kind of well, and so is no identifier however few wells share a word."""
    return name in (holders[0].columns.get("sample_type"), holders[0].columns.get("control_type"))


def _is_harmless(name: str, holders: Sequence[WellEntry]) -> bool:
    """Whether a column that differs between replicates cannot be a factor.

    Known names of identifiers, measurements and comments; what nearly every well has for itself; coordinates.
    """
    if spelling(name) in HARMLESS or spelling(name) in {"rowname", "rownames", "index", "x", "unnamed0"}:
        return True
    levels = [well.others[name] for well in holders if well.others[name]]
    if _guessed_role(name, levels) == "concentration":
        return False
    distinct = len(set(levels))
    if distinct >= FEWEST_IDENTIFIERS and distinct > len(levels) / 2:
        return True
    words = spelling(name)
    # A name for each well of each plate, in a screen too small to have twenty.
    if words in ("id", "name") or any(word in words for word in WORDS_OF_IDENTIFIERS):
        per_plate = Counter((well.id.plate, well.others[name]) for well in holders)
        if len(levels) == len(holders) and max(per_plate.values()) == 1:
            return True
    # A gradient along the plate has the numbers of its columns too, but not their name.
    if words not in ("x", "y", "r", "c") and not any(word in words for word in WORDS_OF_COORDINATES):
        return False
    found = [well.others[name] for well in holders]
    positions = [well.position for well in holders]
    return found in (
        [position.row for position in positions],
        [str(position.column) for position in positions],
        [str(position.column - 1) for position in positions],
    )


def _level_of(factor: str, well: WellEntry) -> tuple[str]:
    level = dict(well.factors).get(factor, "")
    # 2.5 and 25 have the same digits, and numbers were brought to one spelling already.
    return ("" if parse_number(level) is not None else level,)


def _alike(kind: str, names: Iterable[str]) -> list[list[str]]:
    """Groups that look alike; ``Donor 1``, ``D1`` and ``1`` are one donor."""
    if kind != "donor":
        return alike(names)
    shown: dict[str, list[str]] = defaultdict(list)
    for name in names:
        shown[DONOR_WORD.sub("", name).lstrip("0 ") or name].append(name)
    groups = alike(shown)
    by_number = [sorted(group) for group in shown.values() if len(group) > 1]
    return by_number + [sorted(name for key in group for name in shown[key]) for group in groups]


def yaml_value(text: str) -> str:
    """The text as a YAML value that is read back as the same text."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]*", text) and text.lower() not in (
        "yes", "no", "true", "false", "null", "on", "off", "y", "n", "na",
    )  # fmt: skip
    return (
        text if plain and text == text.strip() else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
