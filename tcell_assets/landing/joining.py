"""The one checked join: wells of the plate map, rows of the matrix and targets, on well_id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tcell_assets.landing.measurements import Measured
from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.quantities import HOURS, MICROMOLAR, Quantity
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.well_types import (
    EMPTY,
    POSITIVE_CONTROL,
    SAMPLE,
    UNTREATED,
    VEHICLE_CONTROL,
)
from tcell_assets.landing.wells import PLATE_SHAPES, PlateFormat, is_edge, is_on_plate, plate_format_of
from tcell_assets.targets import known_targets

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WELL_COLUMNS = (
    "well_id",
    "batch",
    "plate",
    "well",
    "row",
    "column",
    "is_edge",
    "metabolite",
    "is_dmso",
    "cluster",
)
CONDITION_COLUMNS = (
    "condition",
    "compound",
    "dose_um",
    "dose_written",
    "time_h",
    "cell_line",
    "donor",
    "factors",
    "context",
    "well_type",
)
"""What follows the columns of a screen without factors."""


# A 384-well plate of which all but the corner of 96 is nearly empty is unheard of; a typing error is not.
STRAY_SHARE = 0.02
FEWEST_WELLS_FOR_STRAYS = 48


@dataclass(frozen=True)
class LandedParts:
    """What the files of a layout say, in file order, before the parts are joined.

    Attributes:
        entries: The wells of the plate map.
        well_ids: The well of each row of ``values``.
        genes: Columns of ``values``, each once.
        values: Wells × genes: finite float64 VST, or sparse int32 counts; None where a problem was noted.
        targets: Index well_id, any of the targets as float64 columns; NaN is unknown.
        measured: What was understood of the values and genes; None where a problem was noted.
    """

    entries: tuple[WellEntry, ...]
    well_ids: tuple[str, ...]
    genes: tuple[str, ...]
    values: npt.NDArray[np.float64] | csr_matrix | None
    targets: pd.DataFrame
    measured: Measured | None = None


def check_wells(
    entries: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector
) -> PlateFormat:
    """Check the wells of one batch as a whole and find the format of its plates.

    Args:
        entries: Every well of the batch.
        settings: Control names and plate format.
        problems: Receives two wells at one position, barcodes that name two wells of a plate, wells outside the
            plate, wells without a metabolite, and a batch without DMSO.
    """
    first: dict[str, WellEntry] = {}
    barcodes: dict[tuple[str, str], WellEntry] = {}
    plate_format = settings.plate_format or plate_format_of([entry.position for entry in entries])
    if settings.plate_format is None:
        _check_stray_wells(entries, plate_format, problems)
    for entry in entries:
        place = f"row {entry.file_row}"
        other = first.setdefault(str(entry.id), entry)
        if other is not entry:
            found = f"puts a second well at {entry.id} (first in {other.file}, row {other.file_row})"
            problems.add("duplicate wells", entry.file, place, found, "Keep one row a well")
        if entry.barcode:
            other = barcodes.setdefault((entry.id.plate, entry.barcode), entry)
            if other is not entry:
                found = f"gives the barcode {quoted(entry.barcode)} to {entry.id} and to {other.id}"
                problems.add("duplicate barcodes", entry.file, place, found, "Correct the barcode")
        if not is_on_plate(entry.position, plate_format):
            found = f"names the well {entry.position.name}, which a {plate_format}-well plate has not"
            problems.add(
                "wells outside the plate", entry.file, place, found, "Correct the well or the plate format"
            )
        if not entry.metabolite:
            found = f"names no metabolite for the well {entry.id}"
            problems.add(
                "wells without a metabolite",
                entry.file,
                place,
                found,
                "Name it, write EMPTY where the well holds nothing and untreated where it holds cells alone",
            )
    if entries and not any(entry.well_type == VEHICLE_CONTROL for entry in entries):
        _report_no_dmso(entries, settings, problems)
    return plate_format


def _check_stray_wells(
    entries: Sequence[WellEntry], plate_format: PlateFormat, problems: ProblemCollector
) -> None:
    """A few wells beyond a smaller plate are rather misspelt than proof of a larger one."""
    smaller = [size for size in PLATE_SHAPES if size < plate_format]
    if not smaller or len(entries) < FEWEST_WELLS_FOR_STRAYS:
        return
    stray = [entry for entry in entries if not is_on_plate(entry.position, smaller[-1])]
    if len(stray) < STRAY_SHARE * len(entries):
        names = listed([str(entry.id) for entry in stray])
        found = f"only {len(stray)} of {len(entries)} wells lie outside a {smaller[-1]}-well plate: {names}"
        mend = f"Correct them, or state plate_format: {plate_format} in screen.yaml"
        problems.add("wells outside the plate", stray[0].file, f"row {stray[0].file_row}", found, mend)


def note_on_plates(
    entries: Sequence[WellEntry], plate_format: PlateFormat, settings: LandingSettings
) -> list[str]:
    """What the plates were taken for and how full they are, as a note; none where the settings state the format.

    Wells of one corner of a 384-well plate look like a plate of 96, and a quarter of them would be called edge wells.
    """
    if settings.plate_format is not None or not entries or plate_format == max(PLATE_SHAPES):
        return []
    plates = Counter(entry.id.plate for entry in entries)
    larger = next(size for size in PLATE_SHAPES if size > plate_format)
    filled = " to ".join(map(str, sorted({min(plates.values()), max(plates.values())})))
    n_edge = sum(is_edge(entry.position, plate_format) for entry in entries)
    return [
        f"plates are taken for {plate_format}-well plates, the smallest that hold every well "
        f"({filled} wells a plate are on the map), which makes {n_edge} of "
        f"{len(entries)} wells edge wells; if they are a part of larger plates, state plate_format: {larger} in "
        "screen.yaml"
    ]


def wells_frame(
    entries: Sequence[WellEntry],
    targets: pd.DataFrame,
    plate_format: PlateFormat,
    settings: LandingSettings,
) -> pd.DataFrame:
    """The wells with their targets, in the order of the plate map.

    Args:
        entries: Every well of the batch, each once.
        targets: Index well_id, any of the targets as float64 columns; NaN is unknown.
        plate_format: Of every plate of the batch.
        settings: Control names.

    Returns:
        Columns `WELL_COLUMNS` and a column a target; ``cluster`` is a nullable string, a label a nullable boolean, a
        number float64 with NaN where unknown. Where the plate map has them, ``concentration`` (float64) and
        ``sample_type`` (nullable string) follow, and then `CONDITION_COLUMNS`.
    """
    frame = pd.DataFrame(
        {
            "well_id": [str(entry.id) for entry in entries],
            "batch": [entry.id.batch for entry in entries],
            "plate": [entry.id.plate for entry in entries],
            "well": [entry.id.well for entry in entries],
            "row": [entry.position.row for entry in entries],
            "column": np.array([entry.position.column for entry in entries], dtype=np.int64),
            "is_edge": [is_edge(entry.position, plate_format) for entry in entries],
            "metabolite": [entry.metabolite for entry in entries],
            "is_dmso": [entry.well_type == VEHICLE_CONTROL for entry in entries],
            "cluster": pd.array([entry.cluster for entry in entries], dtype="string"),
        }
    )
    for target in known_targets():
        name = target.name
        known = targets[name].reindex(frame["well_id"]).to_numpy() if name in targets else np.nan
        values = pd.Series(known, index=frame.index, dtype=np.float64)
        frame[name] = values.astype("boolean") if target.is_binary else values
    if any(entry.concentration is not None for entry in entries):
        frame["concentration"] = np.array([entry.concentration for entry in entries], dtype=np.float64)
    sample_types = [_sample_type(entry, settings) for entry in entries]
    if any(sample_types):
        frame["sample_type"] = pd.array(sample_types, dtype="string")
    return pd.concat([frame, _condition_columns(entries)], axis=1)


def _condition_columns(entries: Sequence[WellEntry]) -> pd.DataFrame:
    def text(values: list[str | None]) -> pd.api.extensions.ExtensionArray:
        return pd.array(values, dtype="string")

    frame = pd.DataFrame(
        {
            "condition": [entry.condition for entry in entries],
            "compound": [entry.compound for entry in entries],
            "dose_um": np.array([_amount(entry.dose, MICROMOLAR) for entry in entries], dtype=np.float64),
            "dose_written": text([_doses_written(entry) or None for entry in entries]),
            "time_h": np.array([_amount(entry.time, HOURS) for entry in entries], dtype=np.float64),
            "cell_line": text([entry.cell_line or None for entry in entries]),
            "donor": text([entry.donor or None for entry in entries]),
            "factors": text(
                [
                    "; ".join(f"{name}={value}" for name, value in entry.factors if value) or None
                    for entry in entries
                ]
            ),
            "context": [entry.context for entry in entries],
            "well_type": [entry.well_type for entry in entries],
        }
    )
    return frame[list(CONDITION_COLUMNS)]


def _amount(quantity: Quantity | str | None, unit: str) -> float:
    return float(quantity.amount) if isinstance(quantity, Quantity) and quantity.unit == unit else np.nan


def _doses_written(entry: WellEntry) -> str:
    doses = [entry.dose, *(dose for _, dose in entry.partners)]
    return " + ".join(dose.written for dose in doses if dose is not None)


def _sample_type(entry: WellEntry, settings: LandingSettings) -> str | None:
    """As the map says; where the settings name positive controls, every well has a type."""
    if entry.well_type == POSITIVE_CONTROL:
        return POSITIVE_CONTROL
    if entry.sample_type is not None or not settings.positive_control_names:
        return entry.sample_type
    return entry.well_type if entry.well_type in (VEHICLE_CONTROL, UNTREATED, EMPTY) else SAMPLE


def without_missing_wells(parts: LandedParts, settings: LandingSettings, notes: list[str]) -> LandedParts:
    """The parts without the wells of the plate map that no matrix measures, where the settings drop them."""
    measured = set(parts.well_ids)
    missing = [str(entry.id) for entry in parts.entries if str(entry.id) not in measured]
    if settings.missing_wells != "drop" or parts.values is None or not missing:
        return parts
    notes.append(
        f"{len(missing)} of {len(parts.entries)} wells of the plate map have no values and were dropped: "
        f"{listed(missing)}"
    )
    kept = tuple(entry for entry in parts.entries if str(entry.id) in measured)
    targets = parts.targets[~parts.targets.index.isin(missing)] if len(parts.targets) else parts.targets
    return replace(parts, entries=kept, targets=targets)


def check_joined(parts: LandedParts, problems: ProblemCollector) -> None:
    """Check that plate map, matrix and targets speak of the same wells.

    Args:
        parts: Of one batch; only targets are checked where there are no values.
        problems: Receives wells that two matrices hold, wells without a row in a matrix and targets for wells that
            the map has not, or that two files give.
    """
    measured = Counter(parts.well_ids)
    if parts.values is not None:
        _check_measured(parts, measured, problems)
    known = {str(entry.id) for entry in parts.entries}
    unknown = [well for well in parts.targets.index if well not in known]
    if unknown:
        found = f"{len(unknown)} wells with targets are not on the plate map: {listed(unknown)}"
        problems.add(
            "targets of unknown wells", "targets.csv", "", found, "Correct the wells or add them to the map"
        )
    twice_on_map = _twice(Counter(str(entry.id) for entry in parts.entries))
    for well in _twice(Counter(parts.targets.index)) - twice_on_map:
        problems.add(
            "duplicate wells", "targets.csv", "", f"two files give targets of {well}", "Keep one of them"
        )


def _twice(counts: Counter[str]) -> set[str]:
    return {well for well, count in counts.items() if count > 1}


def _check_measured(parts: LandedParts, measured: Counter[str], problems: ProblemCollector) -> None:
    for well in _twice(measured) - _twice(Counter(str(entry.id) for entry in parts.entries)):
        problems.add("duplicate wells", ".", "", f"two matrices hold the well {well}", "Keep one of them")
    for file, count in Counter(entry.file for entry in parts.entries).items():
        missing = [entry for entry in parts.entries if entry.file == file and str(entry.id) not in measured]
        if missing:
            names = listed([str(entry.id) for entry in missing])
            found = f"{len(missing)} of {count} wells have no row in the expression: {names}"
            place = f"row {missing[0].file_row}" + (" and others" if len(missing) > 1 else "")
            problems.add(
                "wells without expression",
                file,
                place,
                found,
                "Add them, remove them from the plate map, or state missing_wells: drop in screen.yaml",
            )


def _report_no_dmso(
    entries: Sequence[WellEntry], settings: LandingSettings, problems: ProblemCollector
) -> None:
    names = sorted({entry.metabolite for entry in entries if entry.metabolite})
    lower = {name.lower(): name for name in reversed(names)}
    wanted = [name.lower() for name in settings.control_names]
    near = [lower[match] for name in wanted for match in get_close_matches(name[:64], lower, n=1, cutoff=0.5)]
    controls = " or ".join(quoted(name) for name in settings.control_names)
    hint = f"; the nearest name is {quoted(near[0])}" if near else ""
    mend = "Correct the name, or list it under control_names in screen.yaml"
    file = Counter(entry.file for entry in entries).most_common(1)[0][0]
    problems.add(
        "missing controls", file, "", f"batch {entries[0].id.batch} has no well with {controls}{hint}", mend
    )
