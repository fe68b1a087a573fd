"""The targets of wells: scores, label and legacy score, found by column name and never by position."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from tcell_assets.landing.columns import COLUMN_SPELLINGS, recognise_columns
from tcell_assets.landing.plate_map import read_row_wells
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import UNKNOWN, TextTable, parse_number
from tcell_assets.targets import (
    DECLARATION,
    Target,
    TargetError,
    known_targets,
    spelling,
    target_of,
    target_spellings,
)

MISSING_CODES = frozenset(
    {-float(digit * length) for digit in "6789" for length in (2, 3, 4, 5)}
    | {float(digit * length) for digit in "6789" for length in (3, 4, 5)}
    | {-9.0, 99.0, -99.9, -999.9, -1e30, -32768.0, 32767.0, 65535.0}
)
CODE_BEYOND = 2.5
LABELS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}
_OF_A_PLATE_MAP = {text for texts in COLUMN_SPELLINGS.values() for text in texts}


def landing_targets() -> tuple[Target, ...]:
    """The targets of this installation, as a landing folder may hold them.

    Raises:
        TargetError: A declared target is spelled as a column of a plate map, which would be read as that.
    """
    targets = known_targets()
    for target in targets:
        for text in (target.name, *target.spellings):
            if not target.is_published and spelling(text) in _OF_A_PLATE_MAP:
                raise TargetError(
                    f"target {target.name!r} is spelled {text!r}, which is a column of a plate map; choose another name"
                )
    return targets


def read_target_columns(
    table: TextTable, columns: Sequence[str], largest: float, problems: ProblemCollector
) -> dict[str, list[float]]:
    """The targets in the given columns of a table; unknown values (``NA`` or nothing) are NaN.

    Args:
        table: One row a well.
        columns: Which of its columns hold targets.
        largest: Magnitude of a plausible score.
        problems: Receives unknown and doubled names, non-numeric and non-finite cells, labels outside {0, 1}.

    Returns:
        Values by target, in the table's order, in the table's unit.
    """
    targets = landing_targets()
    spelled = target_spellings(targets)
    named = {target.name: target for target in targets}
    found: dict[str, str] = {}
    values: dict[str, list[float]] = {}
    unknown = [column for column in columns if target_of(column, targets) is None]
    for column in unknown[:SHOWN_PER_KIND]:
        near = get_close_matches(spelling(column)[:64], list(spelled), n=1, cutoff=0.0)
        nearest = spelled[near[0]]
        mend = f"The nearest known score is {nearest}: rename or remove the column, or declare it in {DECLARATION}"
        what = f"has the unknown score column {quoted(column)}"
        problems.add("unknown score columns", table.file, "row 1", what, mend)
    problems.count_unshown("unknown score columns", table.file, len(unknown[SHOWN_PER_KIND:]))
    for column in columns:
        target = target_of(column, targets)
        if target in found:
            what = f"has {target} twice, as {quoted(found[target])} and {quoted(column)}"
            problems.add("duplicate columns", table.file, "row 1", what, "Remove one of them")
        elif target is not None:
            found[target] = column
            values[target] = read_target(table, column, named[target], largest, problems)
    return values


def read_target(
    table: TextTable, column: str, target: Target, largest: float, problems: ProblemCollector
) -> list[float]:
    """The values of one target column; see `read_target_columns`."""
    numbers: list[float] = []
    for row, cell in enumerate(table.column(column)):
        text = cell.strip()
        number = LABELS.get(text) if target.is_binary else parse_number(text)
        if text in UNKNOWN:
            number = float("nan")
        elif number is None and target.is_binary:
            found = f"holds the label {quoted(text)}"
            no, yes = target.classes
            mend = f"Write 0 ({no}), 1 ({yes}), or NA where it is unknown"
            problems.add("labels outside {0, 1}", table.file, table.place(row, column), found, mend)
        elif number is None or not np.isfinite(number):
            found = f"holds {quoted(text)}, which is no finite number"
            mend = "Write a number with a decimal point, or NA where it is unknown"
            problems.add("non-numeric cells", table.file, table.place(row, column), found, mend)
        numbers.append(float("nan") if number is None else number)
    if not target.is_binary:
        _check_plausible(table, column, numbers, largest, problems)
    return numbers


def _check_plausible(
    table: TextTable, column: str, numbers: list[float], largest: float, problems: ProblemCollector
) -> None:
    """Refuse codes for missing values and misread columns: they would pull every mean and every fit."""
    known = [abs(number) for number in numbers if np.isfinite(number)]
    codes = {number for number in numbers if number in MISSING_CODES}
    # A code stands out of what is measured; a pseudotime of 99 among others of 90 is none.
    spread = max((value for value in known if value not in {abs(code) for code in codes}), default=0.0)
    suspects = {code for code in codes if abs(code) > CODE_BEYOND * max(spread, 1.0)}
    for row, number in enumerate(numbers):
        if number in suspects or abs(number) > largest:
            found = f"holds {number:g}, " + (
                "which is how missing values are often written"
                if number in suspects
                else f"beyond the largest plausible score of {largest:g}"
            )
            mend = "Write NA where the score is unknown, or raise limits.max_target in screen.yaml"
            if number in suspects:
                mend = "Write NA where the score is unknown"
            problems.add("implausible scores", table.file, table.place(row, column), found, mend)


def read_targets(
    table: TextTable, batch: str, plate: str | None, settings: LandingSettings, problems: ProblemCollector
) -> pd.DataFrame:
    """The targets of a table that names its wells.

    Args:
        table: A well column (see `plate_map.read_row_wells`) and any of the targets; columns that a plate map may
            have play no part.
        batch: The batch every well must belong to.
        plate: The plate whose folder the table lies in, or None.
        settings: Stated column names and well pattern.
        problems: Receives what cannot be read, and wells that stand twice.

    Returns:
        Index well_id, the targets found as float64 columns.
    """
    columns = recognise_columns(table.header, settings.columns)
    candidates = [
        name
        for name in table.header
        if name not in columns.values() and spelling(name) not in _OF_A_PLATE_MAP
    ]
    values = read_target_columns(table, candidates, settings.limits.max_target, problems)
    wells = read_row_wells(table, columns, batch, plate, settings, problems)
    if not candidates:
        problems.add(
            "missing columns", table.file, "row 1", "has no score column", "Add one or remove the file"
        )
    if wells is None:
        return pd.DataFrame()
    rows: dict[str, int] = {}
    for row, well in enumerate(wells):
        if well is not None and str(well) in rows:
            found = f"names the well {well} again (first in {table.row_place(rows[str(well)])})"
            problems.add("duplicate wells", table.file, table.row_place(row), found, "Keep one row a well")
        elif well is not None:
            rows[str(well)] = row
    taken = list(rows.values())
    return pd.DataFrame(
        {target: np.array(numbers)[taken] for target, numbers in values.items()}, index=pd.Index(list(rows))
    )
