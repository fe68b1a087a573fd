"""From rows of plate maps to conditions: which wells are controls, which are replicates, and what nobody read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tcell_assets.landing.columns import HARMLESS
from tcell_assets.landing.names import alike
from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import NUMBER, Quantity, is_dose_unit, read_quantity, time_unit
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import parse_number
from tcell_assets.landing.well_types import (
    CONTROL,
    EMPTY,
    NEGATIVE,
    POSITIVE_CONTROL,
    SAMPLE,
    UNTREATED,
    VEHICLE_CONTROL,
    WellType,
    type_of_name,
    type_word,
)
from tcell_assets.targets import spelling

# How R, Python and spreadsheets write that a cell is blank; what stands beside it says which kind of well it is.
BLANK_NAMES = frozenset({"", "NA", "N/A", "na", "n/a", "NaN", "nan", "None", "null", "NULL", "-", "#N/A"})
DOSE_AT_END = re.compile(rf"(?P<name>.*?\S)[\s_,]*[\s_,(]\s*(?P<dose>{NUMBER}\s?[fpnuμm]?M)\)?")
# A designed factor has few levels that many wells share; what most wells have for themselves was read off them.
FEWEST_IDENTIFIERS = 20
DEFAULT_CONTROLS = LandingSettings().control_names


def settle_wells(
    entries: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> list[WellEntry]:
    """The wells of one batch with type, compound, condition and context.

    A condition is everything that was done to a well: compounds with their doses as amounts, time, cell line, donor
    and further declared factors, whether they vary in this batch or not: a condition is the same in every batch.

    Args:
        entries: Every well of the batch, as its plate maps list them.
        settings: Control names, names that are meant as written, and whether doses count.
        problems: Receives contradictions about controls, names that look alike, and unread columns that vary within a
            condition.
        notes: Receives what was decided and which columns were not read.
    """
    wells = _with_types(entries, settings, problems, notes)
    wells = _with_doses_from_names(wells, settings, problems, notes)
    _check_names(wells, settings, problems)
    wells = _with_concentration_in_name(wells, settings.concentration_in_name, notes)
    with_dose = settings.concentration_in_name is not False
    wells = [_with_condition(well, with_dose) for well in wells]
    _check_distinct(wells, with_dose, problems)
    wells = [_with_all_compounds(well) for well in wells]
    _check_unread(wells, problems, notes)
    _note_units(wells, notes)
    return wells


def _with_types(
    entries: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> list[WellEntry]:
    are_stated = settings.control_names != DEFAULT_CONTROLS
    by_name = {
        name: type_of_name(name, settings.control_names, are_stated)
        for name in {text for entry in entries for text in (entry.metabolite, entry.solvent)}
    }
    stated = {entry.stated_type for entry in entries}
    says_nothing = len(stated) == 1
    has_vehicle = any(by_name[entry.metabolite] == VEHICLE_CONTROL for entry in entries)
    has_volumes = any(entry.volume for entry in entries)
    vehicles_by_type = _names_always_typed(entries, VEHICLE_CONTROL)
    wells: list[WellEntry] = []
    read_as: dict[tuple[str, WellType], int] = Counter()
    for entry in entries:
        said = None if says_nothing else entry.stated_type
        partners = _real_partners(entry, settings, are_stated)
        if by_name[entry.metabolite] == VEHICLE_CONTROL and partners and said in (None, SAMPLE):
            # The vehicle in the first column and a compound in the second is that compound alone.
            (compound, dose), *partners = partners
            entry = replace(
                entry, metabolite=compound, dose=dose, concentration=dose.number if dose else None
            )
            by_name.setdefault(compound, SAMPLE)
        kind = _type_of(entry, said, by_name, settings, has_vehicle, vehicles_by_type)
        if isinstance(kind, _Contradiction):
            place, mend = f"row {entry.file_row}", _mend(entry.metabolite)
            problems.add("contradictions", entry.file, place, kind.found, mend)
            kind = SAMPLE
        if has_volumes and entry.volume == 0 and kind != VEHICLE_CONTROL:
            kind = EMPTY
        name = entry.metabolite
        shown = name or {EMPTY: "empty", UNTREATED: "untreated"}.get(kind, "")
        if kind == VEHICLE_CONTROL:
            shown = _control_name(entry, settings)
        if kind not in (SAMPLE, POSITIVE_CONTROL) and not (kind == VEHICLE_CONTROL and name == shown):
            read_as[name or "blank", kind] += 1
        kept = tuple(partners) if kind in (SAMPLE, POSITIVE_CONTROL) else ()
        wells.append(replace(entry, metabolite=shown, well_type=kind, partners=kept))
    for kind in (VEHICLE_CONTROL, UNTREATED, EMPTY):
        found = [f"{name} ({count})" for (name, as_kind), count in sorted(read_as.items()) if as_kind == kind]
        if found:
            notes.append(f"read as {kind}: {', '.join(found)}")
    return wells


@dataclass(frozen=True)
class _Contradiction:
    """What a row says of a control that cannot both be true."""

    found: str


def _type_of(
    entry: WellEntry,
    said: str | None,
    by_name: dict[str, WellType],
    settings: LandingSettings,
    has_vehicle: bool,
    vehicles_by_type: set[str],
) -> WellType | _Contradiction:
    """The well's type, or what contradicts what."""
    name, flag, named = entry.metabolite, entry.is_dmso, by_name[entry.metabolite]
    contradiction = _Contradiction(f"names {quoted(name) if name else 'nothing'} and says {said}")
    if flag is True:
        if said in (SAMPLE, POSITIVE_CONTROL, EMPTY, UNTREATED):
            return _Contradiction(f"says that {quoted(name)} in {entry.id} is DMSO and that it is {said}")
        return VEHICLE_CONTROL
    if flag is False and (named == VEHICLE_CONTROL or said == VEHICLE_CONTROL):
        return _Contradiction(f"says that {quoted(name)} in {entry.id} is not DMSO")
    is_named = bool(name) and name in (*settings.control_names, *settings.positive_control_names)
    if name in BLANK_NAMES and not is_named:
        return _type_of_blank(entry, said, by_name, contradiction)
    if name in settings.positive_control_names:
        return POSITIVE_CONTROL
    if named == VEHICLE_CONTROL:
        return contradiction if said in (SAMPLE, POSITIVE_CONTROL, EMPTY, UNTREATED) else named
    if named == UNTREATED:
        if said == VEHICLE_CONTROL and not has_vehicle:
            return VEHICLE_CONTROL
        return contradiction if said == POSITIVE_CONTROL else named
    if named == EMPTY:
        if said in (POSITIVE_CONTROL, VEHICLE_CONTROL, NEGATIVE):
            return contradiction
        return UNTREATED if said == UNTREATED else named
    if said == VEHICLE_CONTROL and name in vehicles_by_type:
        return VEHICLE_CONTROL
    if said in (VEHICLE_CONTROL, NEGATIVE, CONTROL, UNTREATED, EMPTY):
        return contradiction
    return POSITIVE_CONTROL if said == POSITIVE_CONTROL else SAMPLE


def _type_of_blank(
    entry: WellEntry, said: str | None, by_name: dict[str, WellType], contradiction: _Contradiction
) -> WellType | _Contradiction:
    """The type of a well whose compound is blank: what else its row says decides."""
    if said in (EMPTY, UNTREATED, VEHICLE_CONTROL):
        return said
    if said == POSITIVE_CONTROL:
        return contradiction
    dissolved_in = by_name[entry.solvent] if entry.solvent else SAMPLE
    if dissolved_in in (VEHICLE_CONTROL, UNTREATED) and said in (None, NEGATIVE, CONTROL):
        return dissolved_in
    if said in (NEGATIVE, CONTROL):
        return VEHICLE_CONTROL
    if entry.metabolite and entry.is_dmso is False and said in (None, SAMPLE):
        # A map that says of each well whether it is DMSO, as this platform writes them, names what is in the others:
        # NA is nicotinic acid there.
        return SAMPLE
    return EMPTY if entry.metabolite or entry.volume == 0 else SAMPLE


def _mend(name: str) -> str:
    if not name:
        return "Correct one of the two"
    return (
        "Correct one of the two, or say in screen.yaml what the name is: "
        f"control_names: [DMSO, {yaml_value(name)}] or positive_control_names: [{yaml_value(name)}]"
    )


def _names_always_typed(entries: Sequence[WellEntry], kind: WellType) -> set[str]:
    types: dict[str, set[str | None]] = defaultdict(set)
    for entry in entries:
        types[entry.metabolite].add(entry.stated_type)
    return {name for name, found in types.items() if found == {kind}}


def _control_name(entry: WellEntry, settings: LandingSettings) -> str:
    """One name for one control, however it is spelled; a name that only a column of types calls the vehicle stays."""
    name, controls = entry.metabolite, settings.control_names
    if name in controls:
        return name
    if name in BLANK_NAMES and entry.is_dmso is None:
        name = entry.solvent if type_of_name(entry.solvent, controls, False) == VEHICLE_CONTROL else ""
        return (
            controls[0]
            if not name
            else _control_name(replace(entry, metabolite=name, is_dmso=True), settings)
        )
    for control in controls:
        if type_of_name(name, (control,), True) == VEHICLE_CONTROL:
            return control
    return controls[0] if type_of_name(name, controls, False) == VEHICLE_CONTROL else name


def _real_partners(
    entry: WellEntry, settings: LandingSettings, are_stated: bool
) -> list[tuple[str, Quantity | None]]:
    """Further compounds that are compounds: a second column often says DMSO or NA where there is none."""
    return [
        (name, dose)
        for name, dose in entry.partners
        if type_of_name(name, settings.control_names, are_stated) == SAMPLE
    ]


def _with_doses_from_names(
    wells: list[WellEntry], settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> list[WellEntry]:
    """Wells whose name ends with a dose (``Cmpd-02_10uM``) share the compound of the other doses."""
    names = Counter(well.metabolite for well in wells if well.well_type in (SAMPLE, POSITIVE_CONTROL))
    parsed: dict[str, tuple[str, Quantity]] = {}
    bases: dict[str, set[str]] = defaultdict(set)
    for name in names:
        match = DOSE_AT_END.fullmatch(name)
        dose = None if match is None else read_quantity(match["dose"], "")
        if match is not None and dose is not None and settings.names.get(name) != name:
            parsed[name] = (match["name"].rstrip(" _-,"), dose)
            bases[parsed[name][0]].add(name)
    parsed = {name: found for name, found in parsed.items() if len(bases[found[0]]) > 1 or found[0] in names}
    if not parsed:
        return wells
    settled = []
    for well in wells:
        if well.metabolite not in parsed or well.well_type not in (SAMPLE, POSITIVE_CONTROL):
            settled.append(well)
            continue
        compound, dose = parsed[well.metabolite]
        if well.dose is not None and (well.dose.amount, well.dose.unit) != (dose.amount, dose.unit):
            found = f"names {quoted(well.metabolite)} and gives the dose {quoted(well.dose.written)}"
            problems.add("contradictions", well.file, f"row {well.file_row}", found, "Correct one of the two")
        settled.append(replace(well, compound=compound, dose=dose))
    notes.append(f"doses were read from {len(parsed)} names: {listed(sorted(parsed))}")
    return settled


def _check_names(wells: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector) -> None:
    """Ask about names that look like one name written in several ways."""
    treated = [well for well in wells if well.well_type in (SAMPLE, POSITIVE_CONTROL)]
    kinds: dict[str, Callable[[WellEntry], Iterable[str]]] = {
        "compound": lambda well: (well.compound or well.metabolite, *(name for name, _ in well.partners)),
        "cell line": lambda well: (well.cell_line,),
        "donor": lambda well: (well.donor,),
    }
    for kind, names_of in kinds.items():
        found = treated if kind == "compound" else wells
        first: dict[str, WellEntry] = {}
        for well in found:
            for name in names_of(well):
                if name and settings.names.get(name) != name:
                    first.setdefault(name, well)
        for group in alike(first):
            well = first[group[0]]
            meant = Counter(name for each in found for name in names_of(each) if name in group).most_common(
                1
            )[0][0]
            line = ", ".join(f"{yaml_value(name)}: {yaml_value(meant)}" for name in group if name != meant)
            apart = ", ".join(f"{yaml_value(name)}: {yaml_value(name)}" for name in group)
            problems.add(
                f"{kind} names that look alike",
                well.file,
                "",
                f"spells what may be one {kind} as {listed(group)}",
                f"Say in screen.yaml names: {{{line}}} if they are one, or names: {{{apart}}} if they are not",
            )


def yaml_value(text: str) -> str:
    """The text as a YAML value that is read back as the same text."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]*", text) and text.lower() not in (
        "yes", "no", "true", "false", "null", "on", "off", "y", "n", "na",
    )  # fmt: skip
    return (
        text if plain and text == text.strip() else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _with_concentration_in_name(
    wells: list[WellEntry], stated: bool | None, notes: list[str]
) -> list[WellEntry]:
    """The wells with their concentration in the metabolite's name, ``Staurosporine 10 uM``, where doses differ."""
    doses: dict[str, set[tuple[object, ...]]] = {}
    for well in wells:
        if well.concentration and well.dose and _has_dose(well):
            doses.setdefault(well.metabolite, set()).add((well.dose.amount, well.dose.unit))
    wells = [replace(well, compound=well.compound or well.metabolite) for well in wells]
    if stated is False or not doses or (stated is None and max(map(len, doses.values())) == 1):
        return wells
    notes.append("metabolites are named with their concentration, as treatments come in several")
    return [
        replace(
            well, metabolite=f"{well.metabolite} {well.concentration:g} {well.concentration_unit}".strip()
        )
        if well.concentration and _has_dose(well) and well.compound == well.metabolite
        else well
        for well in wells
    ]


def _has_dose(well: WellEntry) -> bool:
    return well.well_type in (SAMPLE, POSITIVE_CONTROL)


def _with_condition(well: WellEntry, with_dose: bool) -> WellEntry:
    if well.well_type == EMPTY:
        return replace(well, condition=well.metabolite, compound=well.metabolite, dose=None)
    parts = _parts(well)
    # The order of the columns does not matter: A with B is B with A.
    named = sorted(
        (name, f"{name} {dose.name}" if dose is not None and with_dose else name) for name, dose in parts
    )
    treatment = " + ".join(shown for _, shown in named)
    context = ", ".join(_context(well))
    is_combination = len(parts) > 1
    return replace(
        well,
        metabolite=treatment if is_combination else well.metabolite,
        condition=f"{treatment}, {context}" if context else treatment,
        context=context,
        dose=well.dose if _has_dose(well) else None,
    )


def _with_all_compounds(well: WellEntry) -> WellEntry:
    return replace(well, compound=" + ".join(sorted(name for name, _ in _parts(well))))


def _parts(well: WellEntry) -> list[tuple[str, Quantity | None]]:
    """Compounds and doses of a well; a control has no dose."""
    return [(well.compound, well.dose), *well.partners] if _has_dose(well) else [(well.compound, None)]


def _context(well: WellEntry) -> list[str]:
    parts = []
    if isinstance(well.time, Quantity):
        parts.append(well.time.name if well.time.unit else f"time {well.time.name}")
    elif well.time:
        parts.append(f"time {well.time}")
    for what, text in (("cell line", well.cell_line), ("donor", well.donor)):
        if text:
            parts.append(f"{what} {text}" if parse_number(text) is not None else text)
    return parts + [f"{name} {value}" for name, value in well.factors if value]


def _check_distinct(wells: Sequence[WellEntry], with_dose: bool, problems: ProblemCollector) -> None:
    """Two conditions never share a name: ``A + B`` may be one compound's own name."""
    first: dict[str, tuple[object, WellEntry]] = {}
    for well in wells:
        parts = sorted(
            (name, f"{dose.amount} {dose.unit}" if dose is not None and with_dose else "")
            for name, dose in _parts(well)
        )
        time = (well.time.amount, well.time.unit) if isinstance(well.time, Quantity) else well.time
        identity = (parts, time, well.cell_line, well.donor, well.factors)
        other, where = first.setdefault(well.condition, (identity, well))
        if other != identity and well.well_type != EMPTY:
            found = f"is another condition than row {where.file_row}, and both are called {quoted(well.condition)}"
            mend = "Rename the compound or the level of a factor"
            problems.add("ambiguous names", well.file, f"row {well.file_row}", found, mend)


def _check_unread(wells: Sequence[WellEntry], problems: ProblemCollector, notes: list[str]) -> None:
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
        elif _is_harmless(name, holders):
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
    found = (
        f"has the column {quoted(name)}, which nobody reads, and its values "
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
    problems.add("unread columns that vary", holders[0].file, "row 1", found, mend)


def _guessed_role(name: str, levels: Sequence[str]) -> str | None:
    text = spelling(name)
    are_dose_units = bool(levels) and all(map(is_dose_unit, levels))
    are_time_units = bool(levels) and all(map(time_unit, levels))
    if are_dose_units or are_time_units:
        return "concentration_unit" if are_dose_units else "time_unit"
    if any(word in text for word in ("conc", "dose", "molar", "volume")):
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


def _is_harmless(name: str, holders: Sequence[WellEntry]) -> bool:
    """Whether a column that differs between replicates cannot be a factor.

    Known names of identifiers, measurements and comments; what nearly every well has for itself; coordinates.
    """
    if spelling(name) in HARMLESS or spelling(name) in {"rowname", "rownames", "index", "x", "unnamed0"}:
        return True
    levels = [well.others[name] for well in holders if well.others[name]]
    distinct = len(set(levels))
    if distinct >= FEWEST_IDENTIFIERS and distinct > len(levels) / 2:
        return True
    # A name for each well of each plate, in a screen too small to have twenty.
    per_plate = Counter((well.id.plate, well.others[name]) for well in holders)
    is_text = not any(
        read_quantity(level, "") or read_quantity(level, "", time_unit) for level in set(levels)
    )
    if is_text and len(levels) == len(holders) and max(per_plate.values()) == 1:
        return True
    return all(well.others[name] == well.position.row for well in holders) or all(
        well.others[name] in (str(well.position.column), str(well.position.column - 1)) for well in holders
    )


def _note_units(wells: Sequence[WellEntry], notes: list[str]) -> None:
    dosed = [well.dose for well in wells if well.dose is not None]
    without = sum(not dose.unit for dose in dosed)
    if without:
        notes.append(
            f"the doses of {without} wells have no unit: they tell conditions apart as numbers; "
            "say it in screen.yaml, e.g. dose_unit: uM"
        )
    units = sorted({dose.unit for dose in dosed if dose.unit})
    if len(units) > 1:
        notes.append(f"doses stand in units that are never compared: {', '.join(units)}")
    lacking = sum(_has_dose(well) and well.dose is None for well in wells)
    if dosed and lacking:
        notes.append(f"{lacking} treated wells have no dose where others have one")
    if any(isinstance(well.time, Quantity) and not well.time.unit for well in wells):
        notes.append(
            "times have no unit: they tell conditions apart as numbers; say it in screen.yaml, e.g. time_unit: h"
        )
