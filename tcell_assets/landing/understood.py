"""What was understood of a batch, in a table a scientist checks in ten seconds, before anything is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tcell_assets.landing.plate_map import WellEntry
from tcell_assets.landing.quantities import Quantity, plain
from tcell_assets.landing.well_types import POSITIVE_CONTROL, SAMPLE, WELL_TYPES
from tcell_assets.landing.wells import PlateFormat

SHOWN_NAMES = 6
SHOWN_PLATES = 8
ROLE_WORDS = {"metabolite": "compound", "concentration": "dose", "concentration_unit": "dose unit"}


@dataclass(frozen=True)
class Understood:
    """What a batch was read as.

    Attributes:
        batch: Its name.
        columns: File, what a column holds, and the column's name.
        n_wells: Wells by `well_types.WELL_TYPES`, those that occur.
        controls: Wells by the name of their vehicle.
        compounds: Treated wells by compound, most frequent first.
        n_conditions: Conditions of treated wells.
        replicates: Wells of the condition that has fewest and of the one that has most.
        levels: Values of dose, time, cell line, donor and further factors, in words.
        plates: Wells by plate.
        plate_format: Wells of a full plate.
        genes: How many genes there are and how they are named; empty where no matrix was read.
        values: What the values are and what says so; empty where no matrix was read.
        targets: Wells by target.
        notes: What was detected, folded, dropped or not read.
    """

    batch: str
    columns: tuple[tuple[str, str, str], ...]
    n_wells: Mapping[str, int]
    controls: Mapping[str, int]
    compounds: Mapping[str, int]
    n_conditions: int
    replicates: tuple[int, int]
    levels: Mapping[str, tuple[str, ...]]
    plates: Mapping[str, int]
    plate_format: PlateFormat
    genes: str
    values: str
    targets: Mapping[str, int]
    notes: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """What is shown: a word and what was understood under it, one pair a line."""
        total = sum(self.n_wells.values())
        fewest, most = self.replicates
        rows = [(f"columns of {file}", text) for file, text in self._columns().items()]
        rows += [
            ("wells", f"{total}: " + ", ".join(f"{count} {kind}" for kind, count in self.n_wells.items())),
            ("vehicle", _counted(self.controls) or "none"),
            ("compounds", f"{len(self.compounds)}: {_counted(self.compounds)}"),
            (
                "conditions",
                f"{self.n_conditions}, with {fewest} to {most} replicates each"
                if fewest != most
                else f"{self.n_conditions}, with {fewest} replicate{'s' if fewest != 1 else ''} each",
            ),
        ]
        rows += [(what, _some(values)) for what, values in self.levels.items() if values]
        rows.append(("plates", self._plates()))
        rows += [("genes", self.genes)] if self.genes else []
        rows += [("values", self.values)] if self.values else []
        rows.append(
            ("targets", ", ".join(f"{name} of {count}" for name, count in self.targets.items()) or "none")
        )
        return rows

    def lines(self) -> list[str]:
        """`rows` as aligned lines, the notes below."""
        rows = self.rows()
        width = max(len(word) for word, _ in rows)
        return [
            f"batch {self.batch}",
            *(f"  {word.ljust(width)}  {text}" for word, text in rows),
            *(f"  note: {note}" for note in self.notes),
        ]

    def markdown(self) -> str:
        """`rows` as a Markdown table, the notes below."""
        cells = [(word, text.replace("|", "\\|")) for word, text in self.rows()]
        table = [
            "| what | understood as |",
            "| --- | --- |",
            *(f"| {word} | {text} |" for word, text in cells),
        ]
        return "\n".join([*table, "", *(f"- {note}" for note in self.notes)])

    def to_json(self) -> str:
        """`rows` and notes as JSON, which a table's lineage keeps."""
        return json.dumps({"rows": self.rows(), "notes": self.notes}, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return asdict(self)

    def _columns(self) -> dict[str, str]:
        files: dict[str, list[str]] = {}
        for file, role, column in self.columns:
            word = ROLE_WORDS.get(role, role.replace("_", " "))
            files.setdefault(file, []).append(word if word == column else f"{word} ← {column}")
        return {file: ", ".join(texts) for file, texts in files.items()}

    def _plates(self) -> str:
        shown = [f"{name} ({count})" for name, count in list(self.plates.items())[:SHOWN_PLATES]]
        more = f" and {len(self.plates) - SHOWN_PLATES} more" if len(self.plates) > SHOWN_PLATES else ""
        filled = sum(self.plates.values()) / (self.plate_format * max(len(self.plates), 1))
        return (
            f"{len(self.plates)} of {self.plate_format} wells, {filled:.0%} filled: {', '.join(shown)}{more}"
        )


def understand(
    batch: str,
    entries: Sequence[WellEntry],
    plate_format: PlateFormat,
    targets: Mapping[str, int],
    notes: Sequence[str],
    genes: str = "",
    values: str = "",
) -> Understood:
    """What settled wells say, in numbers; also of a batch that is refused.

    Args:
        batch: Its name.
        entries: Its settled wells.
        plate_format: See `joining.check_wells`.
        targets: Known values by target.
        notes: What the reader noted.
        genes: In words.
        values: In words.
    """
    treated = [entry for entry in entries if entry.well_type in (SAMPLE, POSITIVE_CONTROL)]
    conditions = Counter(entry.condition for entry in treated)
    types = Counter(entry.well_type for entry in entries)
    columns = {
        (entry.file, role, column): None for entry in entries for role, column in entry.columns.items()
    }
    return Understood(
        batch=batch,
        columns=tuple(columns),
        n_wells={kind: types[kind] for kind in WELL_TYPES if types[kind]},
        controls=dict(Counter(entry.compound for entry in entries if entry.well_type == "vehicle_control")),
        compounds=dict(Counter(entry.compound for entry in treated).most_common()),
        n_conditions=len(conditions),
        replicates=(min(conditions.values(), default=0), max(conditions.values(), default=0)),
        levels={
            "doses": _amounts(
                dose for entry in treated for dose in (entry.dose, *(d for _, d in entry.partners))
            ),
            "times": _amounts(entry.time for entry in entries),
            "cell lines": tuple(sorted({entry.cell_line for entry in entries} - {""})),
            "donors": tuple(sorted({entry.donor for entry in entries} - {""})),
            **_factors(entries),
        },
        plates=dict(sorted(Counter(entry.id.plate for entry in entries).items())),
        plate_format=plate_format,
        genes=genes,
        values=values,
        targets=dict(targets),
        notes=tuple(notes),
    )


def _amounts(quantities: Iterable[Quantity | str | None]) -> tuple[str, ...]:
    found = {
        (quantity.unit, quantity.amount) if isinstance(quantity, Quantity) else (quantity, None)
        for quantity in quantities
        if quantity is not None
    }
    ordered = sorted(found, key=lambda pair: (pair[0], pair[1] if pair[1] is not None else 0))
    return tuple(
        unit if amount is None else f"{plain(amount)} {unit or '(no unit)'}" for unit, amount in ordered
    )


def _factors(entries: Sequence[WellEntry]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for entry in entries:
        for name, value in entry.factors:
            found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values - {""})) for name, values in found.items()}


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:SHOWN_NAMES]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN_NAMES} more" if len(counts) > SHOWN_NAMES else "")


def _some(values: Sequence[str]) -> str:
    if len(values) <= 2 * SHOWN_NAMES:
        return ", ".join(values)
    return f"{', '.join(values[:SHOWN_NAMES])} … {values[-1]} ({len(values)})"
