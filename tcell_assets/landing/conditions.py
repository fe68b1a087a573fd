"""From rows of plate maps to conditions: which wells are controls, which are replicates, and what nobody read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import NUMBER, Quantity, read_quantity
from tcell_assets.landing.questions import ask_about_names, ask_about_units, ask_about_unread, yaml_value
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

# How R, Python and spreadsheets write that a cell is blank; what stands beside it says which kind of well it is.
BLANK_NAMES = frozenset(
    {"", "NA", "N/A", "na", "n/a", "NaN", "nan", "None", "null", "NULL", "-", "#N/A", "-666"}
)
DOSE_AT_END = re.compile(
    rf"(?P<name>.*?\S)(?:[\s_,]*[\s_,(@]\s*(?P<dose>{NUMBER}\s?[fpnuμm]?M)|-(?P<after_hyphen>[0-9.]+\s?[fpnuμm]M))\)?"
)
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
    ask_about_names(wells, settings, problems)
    wells = _with_concentration_in_name(wells, settings.concentration_in_name, notes)
    with_dose = settings.concentration_in_name is not False
    wells = [_with_condition(well, with_dose) for well in wells]
    _check_distinct(wells, with_dose, problems)
    wells = [_with_all_compounds(well) for well in wells]
    ask_about_units(wells, problems)
    ask_about_unread(wells, problems, notes)
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
    by_type = _names_always_typed(entries)
    flagged_otherwise = {entry.metabolite for entry in entries if entry.is_dmso is False}
    wells: list[WellEntry] = []
    read_as: dict[tuple[str, WellType], int] = Counter()
    for entry in entries:
        said = None if says_nothing else entry.stated_type
        partners = _real_partners(entry, settings, are_stated)
        holds_none = (
            by_name[entry.metabolite] in (VEHICLE_CONTROL, UNTREATED) or entry.metabolite in BLANK_NAMES
        )
        if holds_none and partners and said in (None, SAMPLE) and not entry.is_dmso:
            # The vehicle or nothing in the first column and a compound in the second is that compound alone.
            (compound, dose), *partners = partners
            entry = replace(
                entry, metabolite=compound, dose=dose, concentration=dose.number if dose else None
            )
            by_name.setdefault(compound, SAMPLE)
        kind = _type_of(entry, said, by_name, settings, has_vehicle, by_type)
        if entry.is_dmso and entry.metabolite in flagged_otherwise and by_name[entry.metabolite] == SAMPLE:
            kind = _Contradiction(
                f"says that {quoted(entry.metabolite)} is DMSO, and elsewhere that it is not"
            )
        if isinstance(kind, _Contradiction):
            is_vehicle = by_name[entry.metabolite] == VEHICLE_CONTROL
            place = f"row {entry.file_row}"
            mend = kind.mend or ("Correct one of the two" if is_vehicle else _mend(entry.metabolite))
            about = "contradictions about the vehicle" if is_vehicle else "contradictions"
            problems.add(kind.about or about, entry.file, place, kind.found, mend)
            kind = VEHICLE_CONTROL if is_vehicle else SAMPLE
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
    absent = sorted(set(settings.positive_control_names) - {entry.metabolite for entry in entries})
    if absent:
        notes.append(f"no well holds {listed(absent)}, which screen.yaml lists under positive_control_names")
    for name, count in sorted(Counter(well.metabolite for well in wells if well.well_type == SAMPLE).items()):
        if type_word(name) == SAMPLE:
            notes.append(
                f"{count} wells are called {quoted(name)}, as if a kind of well stood where the compound should; if "
                "names stand in another column, say so in screen.yaml: columns: {metabolite: …}"
            )
    for kind in (VEHICLE_CONTROL, UNTREATED, EMPTY):
        found = [f"{name} ({count})" for (name, as_kind), count in sorted(read_as.items()) if as_kind == kind]
        if found:
            notes.append(f"read as {kind}: {', '.join(found)}")
    return wells


@dataclass(frozen=True)
class _Contradiction:
    """What a row says of a control that cannot both be true."""

    found: str
    mend: str = ""
    about: str = ""


def _type_of(
    entry: WellEntry,
    said: str | None,
    by_name: dict[str, WellType],
    settings: LandingSettings,
    has_vehicle: bool,
    by_type: dict[str, str],
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
    if said in (VEHICLE_CONTROL, UNTREATED) and by_type.get(name) == said:
        return said
    if said in (VEHICLE_CONTROL, NEGATIVE, CONTROL, UNTREATED, EMPTY):
        return contradiction
    if said in (None, SAMPLE) and entry.is_dmso is None and _is_word_for_wells(name, settings):
        shown = yaml_value(name)
        return _Contradiction(
            f"names {quoted(name)}, a word for a kind of well, where the compound should stand",
            f"Name the compound, or say in screen.yaml what the word means: control_names: [DMSO, {shown}], "
            f"positive_control_names: [{shown}], or names: {{{shown}: {shown}}} if it is a compound",
            f"wells called {quoted(name)}",
        )
    return POSITIVE_CONTROL if said == POSITIVE_CONTROL else SAMPLE


def _is_word_for_wells(name: str, settings: LandingSettings) -> bool:
    """Whether a compound's name is ``control`` or ``neg``, and nobody said that it is meant."""
    return type_word(name) in (NEGATIVE, CONTROL, POSITIVE_CONTROL) and settings.names.get(name) != name


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


def _names_always_typed(entries: Sequence[WellEntry]) -> dict[str, str]:
    """The kind of well that a column of types gives a name, where it gives that name one kind alone."""
    types: dict[str, set[str | None]] = defaultdict(set)
    for entry in entries:
        types[entry.metabolite].add(entry.stated_type)
    return {name: kind for name, (kind, *others) in types.items() if kind is not None and not others}


def _control_name(entry: WellEntry, settings: LandingSettings) -> str:
    """One name for one control, however it is spelled; a name that only a column of types calls the vehicle stays."""
    name, controls = entry.metabolite, settings.control_names
    if name in controls:
        return name
    if name in BLANK_NAMES and (entry.is_dmso is None or not name):
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
        dose = None if match is None else read_quantity(match["dose"] or match["after_hyphen"], "")
        if match is not None and dose is not None and settings.names.get(name) != name:
            parsed[name] = (match["name"].rstrip(" _-,@"), dose)
            bases[parsed[name][0]].add(name)
    # One compound in several doses shows that the screen writes doses so; what ends in a mere M may still be a name.
    shared = {name for name, found in parsed.items() if len(bases[found[0]]) > 1 or found[0] in names}
    parsed = {name: found for name, found in parsed.items() if name in shared or found[1].written_unit != "M"}
    if not shared:
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
