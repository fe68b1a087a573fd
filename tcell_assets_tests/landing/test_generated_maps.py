"""Generated plate maps: conditions are those a brute-force reading gives, or the batch is refused."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.problems import LandingError
from tcell_assets_tests.landing.folders import write_rows

# Exponents of ten against 1 µM, by how the unit is written.
UNITS = {
    "M": 6, "mM": 3, "uM": 0, "µM": 0, "μM": 0, "nM": -3, "pM": -6, "umol/L": 0, "mmoles_per_liter": 3,
    "micromolar": 0, "nanomolar": -3, "nmol/L": -3,
}  # fmt: skip
MINUTES = {"h": 60, "hours": 60, "hr": 60, "min": 1, "minutes": 1, "d": 1440, "days": 1440}
VEHICLES = ("DMSO", "dmso", "DMSO_0.1%", "Vehicle", "DMSO (0.1 %)", "Vehicle (DMSO)", "0.5% DMSO")
EMPTIES = ("EMPTY", "blank", "NA", "n.a.", "Empty well")
# What no reader can tell apart.
NOISE = ("{}", "{} ", " {}", "{}\u200b", "\ufeff{}", "{}\u00a0")


class Well(NamedTuple):
    """What was done to a well, before anything is written.

    Attributes:
        kind: As the product calls it.
        parts: Compounds, each with its dose in µM; the name of the medium where there is none.
        minutes: How long.
        line: Cell line.
        donor: Of the cells.
        stimulus: What else was done.
    """

    kind: str
    parts: frozenset[tuple[str, Fraction | None]]
    minutes: int | None
    line: str
    donor: str
    stimulus: str


class Map(NamedTuple):
    """Wells, and a plate map that says them in some spelling."""

    wells: list[Well]
    header: list[str]
    rows: list[list[str]]
    delimiter: str
    stimulus: str


DOSES = st.sampled_from([Fraction(1, 100), Fraction(1, 10), Fraction(1), Fraction(10), Fraction(25, 2)])
COMPOUNDS = ("Torin", "AZD", "β-Alanine", "NAD+")
TREATMENTS: st.SearchStrategy[tuple[str, frozenset[tuple[str, Fraction | None]]]] = st.one_of(
    st.tuples(
        st.just("sample"),
        st.dictionaries(st.sampled_from(COMPOUNDS), DOSES, min_size=1, max_size=2).map(
            lambda doses: frozenset(doses.items())
        ),
    ),
    st.tuples(st.just("vehicle_control"), st.just(frozenset())),
    st.tuples(
        st.just("untreated"), st.sampled_from(["Media", "Water"]).map(lambda name: frozenset([(name, None)]))
    ),
    st.tuples(st.just("empty"), st.just(frozenset())),
)
WELLS = st.builds(
    lambda treatment, *context: Well(*treatment, *context),
    TREATMENTS,
    st.sampled_from([360, 1440]),
    st.sampled_from(["A549", "U2OS"]),
    st.sampled_from(["D1", "2"]),
    st.sampled_from(["CD3", "none given"]),
)


def _written(amount: Fraction, exponent: int = 0) -> str:
    """An exact decimal of amount × 10^-exponent, in plain digits."""
    value = amount / Fraction(10) ** exponent
    digits = f"{float(value):.15f}".rstrip("0").rstrip(".")
    assert Fraction(digits) == value, (digits, value)
    return digits


@st.composite
def maps(draw: st.DrawFn) -> Map:
    """Wells and how they are written: units in header, column or cell, in any spelling and order of columns."""
    first = Well("vehicle_control", frozenset(), 360, "A549", "D1", "CD3")
    wells = [first, *draw(st.lists(WELLS, min_size=1, max_size=12))]
    has_dose, has_time, has_line, has_donor = (draw(st.booleans()) for _ in range(4))
    stimulus = draw(st.sampled_from(["", "factor", "unread"]))
    dose_form, time_form = (draw(st.sampled_from(["header", "column", "cell"])) for _ in range(2))
    unit, time_unit = draw(st.sampled_from(["uM", "nM", "mM"])), draw(st.sampled_from(["h", "min", "d"]))
    names = draw(
        st.sampled_from([("compound_1", "compound_2"), ("Treatment 1", "Treatment 2"), ("Drug A", "Drug B")])
    )
    has_second = any(len(well.parts) > 1 for well in wells) or draw(st.booleans())
    if not has_second:
        names = (draw(st.sampled_from(["metabolite", "Compound Name", "drug", *names[:1]])), "")
    delimiter = draw(st.sampled_from([",", ";", "\t"]))

    def decimal(digits: str) -> str:
        return digits.replace(".", ",") if delimiter == ";" else digits

    def dosed(number: int, dose: Fraction | None) -> dict[str, str]:
        own = unit if dose_form == "header" else draw(st.sampled_from(sorted(UNITS)))
        digits = "" if dose is None else decimal(_written(dose, UNITS[own]))
        blank = draw(st.sampled_from(["", " "]))
        return {
            "header": {f"Dose {number} ({unit})": digits},
            "column": {f"conc_{number}": digits, f"unit_{number}": own if digits else ""},
            "cell": {f"dose{number}": f"{digits}{blank}{own}" if digits else ""},
        }[dose_form]

    rows: list[dict[str, str]] = []
    for position, well in enumerate(wells):
        parts = draw(st.permutations(sorted(well.parts)))
        if well.kind == "vehicle_control":
            parts = [(draw(st.sampled_from(VEHICLES)), None)]
        elif well.kind == "empty":
            parts = [(draw(st.sampled_from(EMPTIES)), None)]
        elif has_second and len(parts) == 1 and well.kind == "sample" and draw(st.booleans()):
            # The compound stands second, with the vehicle or nothing before it.
            parts = [(draw(st.sampled_from(["", "DMSO"])), None), *parts]
        well_name = draw(st.sampled_from(["{}{}", "{}{:02d}"]))
        row = {"plate": "P1", "well": well_name.format("AB"[position // 12], position % 12 + 1)}
        for number, name in enumerate(names[: 1 + has_second], start=1):
            compound, dose = parts[number - 1] if number <= len(parts) else ("", None)
            row[name] = draw(st.sampled_from(NOISE)).format(compound) if compound else ""
            row |= dosed(number, dose) if has_dose else {}
        if has_time:
            assert well.minutes is not None
            own = time_unit if time_form == "header" else draw(st.sampled_from(sorted(MINUTES)))
            digits = decimal(_written(Fraction(well.minutes, MINUTES[own])))
            row |= {
                "header": {f"time_{time_unit}": digits},
                "column": {"time": digits, "time_unit": own},
                "cell": {"Timepoint": f"{digits} {own}"},
            }[time_form]
        row |= {"Cell Line": well.line} if has_line else {}
        row |= {"Donor ID": well.donor} if has_donor else {}
        row |= {"stimulus": well.stimulus} if stimulus else {}
        rows.append(row)
    known = [
        Well(
            well.kind,
            well.parts if has_dose else frozenset((compound, None) for compound, _ in well.parts),
            well.minutes if has_time else None,
            well.line if has_line else "",
            well.donor if has_donor else "",
            well.stimulus if stimulus else "",
        )
        for well in wells
    ]
    header = draw(st.permutations(list(rows[0])))
    order = draw(st.permutations(range(len(rows))))
    return Map(
        [known[number] for number in order],
        header,
        [[rows[number][name] for name in header] for number in order],
        delimiter,
        stimulus,
    )


def _land(folder: Path, drawn: Map) -> Path:
    folder.mkdir()
    with (folder / "plate_map.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=drawn.delimiter, lineterminator="\n")
        writer.writerows([drawn.header, *drawn.rows])
    wells = [row[drawn.header.index("well")] for row in drawn.rows]
    counts = [[f"P1_{well}", number + 1, 2 * number + 3] for number, well in enumerate(wells)]
    write_rows(folder / "counts.csv", [["well_id", "IL2RA", "CD69"], *counts])
    if drawn.stimulus == "factor":
        (folder / "screen.yaml").write_text("factors: [stimulus]\n")
    return folder


@given(drawn=maps())
@settings(max_examples=150, deadline=None)
def test_two_wells_share_a_condition_exactly_where_all_was_the_same(drawn: Map) -> None:
    known = drawn.wells
    with tempfile.TemporaryDirectory() as parent:
        try:
            batch = read_batch(_land(Path(parent, "tc1"), drawn))
        except LandingError as error:
            # The one thing a generated map may be refused for: a column that nobody reads tells wells apart.
            assert drawn.stimulus == "unread", str(error)
            assert "which nobody reads" in str(error)
            without = [well._replace(stimulus="") for well in known]
            assert any(
                without[one] == without[other] and known[one] != known[other]
                for one, other in combinations(range(len(known)), 2)
                if known[one].kind != "empty"
            )
            return
    wells = batch.wells
    assert wells["well_type"].tolist() == [well.kind for well in known]
    if drawn.stimulus == "unread":
        known = [well._replace(stimulus="") for well in known]
    filled = [number for number, well in enumerate(known) if well.kind != "empty"]
    for one, other in combinations(filled, 2):
        assert (wells["condition"][one] == wells["condition"][other]) == (known[one] == known[other])
        assert (wells["compound"][one] == wells["compound"][other]) == (
            {name for name, _ in known[one].parts} == {name for name, _ in known[other].parts}
        )
        # A well is compared with the vehicle of its own context.
        assert (wells["context"][one] == wells["context"][other]) == (known[one][2:] == known[other][2:])
    for number in filled:
        well, hours, dose = known[number], wells["time_h"][number], wells["dose_um"][number]
        assert hours == well.minutes / 60 if well.minutes is not None else hours != hours
        if len(well.parts) == 1:
            ((_, amount),) = well.parts
            assert dose == float(amount) if amount is not None else dose != dose
    assert wells["is_dmso"].tolist() == [well.kind == "vehicle_control" for well in known]
    replicates = Counter(well for well in known if well.kind == "sample")
    assert batch.understood.n_conditions == len(replicates)
    assert batch.understood.replicates == (
        min(replicates.values(), default=0),
        max(replicates.values(), default=0),
    )
