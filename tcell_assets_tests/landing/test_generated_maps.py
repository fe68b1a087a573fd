"""Generated plate maps: conditions are those a brute-force reading gives, or the batch is refused."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.problems import LandingError
from tcell_assets_tests.landing.test_conditions import screen_folder

# Exponents of ten against 1 µM, by how the unit is written.
UNITS = {"M": 6, "mM": 3, "uM": 0, "µM": 0, "μM": 0, "nM": -3, "pM": -6, "umol/L": 0, "mmoles_per_liter": 3}
MINUTES = {"h": 60, "hours": 60, "min": 1, "d": 1440, "days": 1440}
VEHICLES = ("DMSO", "dmso", "DMSO_0.1%", "Vehicle")


class Well(NamedTuple):
    """What was done to a well, before anything is written."""

    compound: str
    dose: Fraction | None
    minutes: int | None
    line: str
    donor: str
    stimulus: str


WELLS = st.builds(
    Well,
    compound=st.sampled_from(["", "Torin", "AZD", "β-Alanine"]),
    dose=st.sampled_from([Fraction(1, 100), Fraction(1, 10), Fraction(1), Fraction(10), Fraction(25, 2)]),
    minutes=st.sampled_from([360, 1440]),
    line=st.sampled_from(["A549", "U2OS"]),
    donor=st.sampled_from(["D1", "2"]),
    stimulus=st.sampled_from(["CD3", "none given"]),
)


def _written(amount: Fraction, exponent: int) -> str:
    """An exact decimal of amount × 10^-exponent, in plain digits."""
    value = amount / Fraction(10) ** exponent
    digits = f"{float(value):.15f}".rstrip("0").rstrip(".")
    assert Fraction(digits) == value, (digits, value)
    return digits


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[Well], list[str], list[list[str]], str]:
    """Wells; the header and rows that say them in some spelling; `screen.yaml`."""
    wells = [Well("", None, 360, "A549", "D1", "CD3"), *draw(st.lists(WELLS, min_size=1, max_size=12))]
    has_dose, has_time, has_line, has_donor = (draw(st.booleans()) for _ in range(4))
    stimulus = draw(st.sampled_from(["", "factor", "unread"]))
    dose_form = draw(st.sampled_from(["header", "column", "cell"]))
    unit, time_unit = draw(st.sampled_from(["uM", "nM", "mM"])), draw(st.sampled_from(["h", "min", "d"]))
    header = [draw(st.sampled_from(["metabolite", "Compound Name", "drug"]))]
    if has_dose:
        header += {"header": [f"Concentration ({unit})"], "column": ["dose", "dose_unit"], "cell": ["conc"]}[
            dose_form
        ]
    header += [f"time_{time_unit}"] if has_time else []
    header += [*(["Cell Line"] if has_line else []), *(["Donor ID"] if has_donor else [])]
    header += ["stimulus"] if stimulus else []
    rows = []
    for well in wells:
        row = [well.compound or draw(st.sampled_from(VEHICLES))]
        if has_dose and not well.compound:
            row += {"header": [""], "column": ["", ""], "cell": [draw(st.sampled_from(["", "10"]))]}[
                dose_form
            ]
        elif has_dose:
            assert well.dose is not None
            own = unit if dose_form == "header" else draw(st.sampled_from(sorted(UNITS)))
            number = _written(well.dose, UNITS[own])
            blank = draw(st.sampled_from(["", " "]))
            row += {"header": [number], "column": [number, own], "cell": [f"{number}{blank}{own}"]}[dose_form]
        if has_time:
            assert well.minutes is not None
            row.append(_written(Fraction(well.minutes, MINUTES[time_unit]), 0))
        row += [*([well.line] if has_line else []), *([well.donor] if has_donor else [])]
        row += [well.stimulus] if stimulus else []
        rows.append(row)
    known = [
        Well(
            well.compound,
            well.dose if has_dose and well.compound else None,
            well.minutes if has_time else None,
            well.line if has_line else "",
            well.donor if has_donor else "",
            well.stimulus if stimulus else "",
        )
        for well in wells
    ]
    return known, header, rows, stimulus


@given(drawn=maps())
@settings(max_examples=120, deadline=None)
def test_two_wells_share_a_condition_exactly_where_all_was_the_same(drawn: Any) -> None:
    known, header, rows, stimulus = drawn
    with tempfile.TemporaryDirectory() as folder:
        batch = screen_folder(Path(folder) / "tc1", header, rows)
        if stimulus == "factor":
            (batch / "screen.yaml").write_text("factors: [stimulus]\n")
        try:
            wells = read_batch(batch).wells
        except LandingError as error:
            # The one thing a generated map may be refused for: a column that nobody reads tells wells apart.
            assert stimulus == "unread"
            assert "which nobody reads" in str(error)
            without = [well._replace(stimulus="") for well in known]
            assert any(
                without[one] == without[other] and known[one] != known[other]
                for one, other in combinations(range(len(known)), 2)
            )
            return
    if stimulus == "unread":
        known = [well._replace(stimulus="") for well in known]
    for one, other in combinations(range(len(known)), 2):
        assert (wells["condition"][one] == wells["condition"][other]) == (known[one] == known[other])
        assert (wells["compound"][one] == wells["compound"][other]) == (
            known[one].compound == known[other].compound
        )
    for well, dose, hours in zip(known, wells["dose_um"], wells["time_h"], strict=True):
        assert dose == float(well.dose) if well.dose is not None else dose != dose
        assert hours == well.minutes / 60 if well.minutes is not None else hours != hours
    assert wells["is_dmso"].tolist() == [not well.compound for well in known]
