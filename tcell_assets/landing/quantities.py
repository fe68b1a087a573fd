"""Doses and times as amounts: number × unit, from a cell, a column of units or the column's header."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tcell_assets.landing.names import folded

MICROMOLAR = "uM"
HOURS = "h"
# Amounts that agree in so many digits are one dose: 0.1 + 0.2 of a spreadsheet is 0.30000000000000004.
SIGNIFICANT_DIGITS = 9

PREFIXES = {
    "": Decimal("1e6"), "m": Decimal("1e3"), "u": Decimal(1), "n": Decimal("1e-3"), "p": Decimal("1e-6"),
    "f": Decimal("1e-9"), "milli": Decimal("1e3"), "micro": Decimal(1), "nano": Decimal("1e-3"),
    "pico": Decimal("1e-6"), "femto": Decimal("1e-9"),
}  # fmt: skip
MOLAR = re.compile(
    r"(?P<prefix>milli|micro|nano|pico|femto|[munpf])?(?P<base>molar|mol(?:e?s)?(?:per|/)?(?:l|liter|litre)(?:-1|\^-1)?|m)"
)
MASS = re.compile(r"(?P<prefix>[munpf]?)g(?:per|/)?(?P<volume>[mu]?)l")
NANOGRAMS = {
    "": Decimal("1e9"), "m": Decimal("1e6"), "u": Decimal("1e3"), "n": Decimal(1), "p": Decimal("1e-3"),
    "f": Decimal("1e-6"),
}  # fmt: skip
MILLILITRES = {"": Decimal(1000), "m": Decimal(1), "u": Decimal("1e-3")}
TIMES = {
    "s": Decimal(1) / 3600, "sec": Decimal(1) / 3600, "second": Decimal(1) / 3600, "min": Decimal(1) / 60,
    "minute": Decimal(1) / 60, "h": Decimal(1), "hpt": Decimal(1), "hr": Decimal(1), "hour": Decimal(1),
    "d": Decimal(24), "day": Decimal(24), "week": Decimal(168), "wk": Decimal(168),
}  # fmt: skip
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
# A decimal comma, told from a thousands separator by not having three digits after it, or nothing but 0 before.
DECIMAL_COMMA = re.compile(
    r"(?<![0-9.,])([+-]?[0-9]+),((?<=(?<![0-9])0,)[0-9]+|[0-9]{1,2}|[0-9]{4,})(?![0-9,])"
)
CELL = re.compile(rf"(?P<number>{NUMBER})\s*(?P<unit>[^\s0-9.,+\-/*×:;|].*)?")
HEADER_WITH_UNIT = re.compile(r"(?P<base>.*?)[\s_.\-]*[\s_.\-(\[](?P<unit>[^()\[\]]+?)[)\]\s.]*")
JOINED_UNIT = re.compile(r"(?P<base>[A-Za-z]*?(?:conc|dose|concentration))(?P<unit>[fpnuμm]M)")


@dataclass(frozen=True)
class Unit:
    """A unit of dose or time.

    Attributes:
        name: The canonical unit amounts are compared in: ``uM``, ``ng/ml``, ``h``, or the unit itself as written
            where nothing converts it.
        factor: Canonical units in one of this.
    """

    name: str
    factor: Decimal


@dataclass(frozen=True)
class Quantity:
    """A dose or a time.

    Attributes:
        amount: In ``unit``.
        unit: Canonical; empty where none is given.
        written: As the sheet writes it, number and unit.
        number: The number as written.
        written_unit: The unit as written, or empty.
    """

    amount: Decimal
    unit: str
    written: str
    number: float
    written_unit: str = ""

    @property
    def name(self) -> str:
        """Amount and unit as they enter a name: ``0.1 uM``."""
        return f"{plain(self.amount)} {self.unit}".strip()


def plain(number: Decimal) -> str:
    """A number without trailing zeros: ``10``, ``0.0390625``, ``1e-09``."""
    return f"{float(number):.{SIGNIFICANT_DIGITS}g}"


def dose_unit(text: str) -> Unit | None:
    """The unit of a dose, or None where the text is empty; what no table knows is a unit of its own.

    Molar units are compared in µM and masses in ng/ml; the two are never compared, as that needs a molar weight.
    """
    written = folded(text)
    if not written:
        return None
    known = _molar(written) or _mass(written)
    return known or Unit(re.sub(r"\s+", " ", written).lower().replace("percent", "%"), Decimal(1))


def is_dose_unit(text: str) -> bool:
    """Whether the text is a unit of concentration that is known."""
    written = folded(text)
    return _molar(written) is not None or _mass(written) is not None or written in ("%", "percent")


def time_unit(text: str) -> Unit | None:
    """The unit of a time, or None where it is none."""
    word = folded(text).lower().rstrip(".")
    factor = TIMES.get(word) or TIMES.get(word.removesuffix("s"))
    return None if factor is None else Unit(HOURS, factor)


def read_quantity(text: str, unit: str, unit_of: Callable[[str], Unit | None] = dose_unit) -> Quantity | None:
    """The quantity in a cell; None where it is no number with at most a unit.

    Args:
        text: E.g. ``10``, ``10 uM`` or ``1e-5 M``.
        unit: The unit of the column, or of the unit column's cell; the cell's own unit comes first.
        unit_of: `dose_unit` or `time_unit`.
    """
    written = DECIMAL_COMMA.sub(r"\1.\2", folded(text))
    match = CELL.fullmatch(written)
    if match is None:
        return None
    own = (match["unit"] or "").strip()
    stated = own or folded(unit)
    found = unit_of(stated)
    if own and found is None:
        return None
    try:
        number = Decimal(match["number"])
        amount = _rounded(number * (found.factor if found else 1))
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount < 0 or not float(number) < float("inf"):
        return None
    shown = f"{folded(text)} {'' if own else stated}".strip()
    return Quantity(amount, found.name if found else "", shown, float(number), stated)


def header_with_unit(header: str, unit_of: Callable[[str], Unit | None] | None = None) -> tuple[str, str]:
    """A column's name without its unit, and the unit: ``Concentration (uM)`` → ``Concentration``, ``uM``.

    The unit is empty where the header has none; a header that is a unit alone (``mmoles_per_liter``) has no base.
    """
    text = folded(header)
    is_unit = is_dose_unit if unit_of is None else (lambda unit: unit_of(unit) is not None)
    whole = re.sub(r"[\s_.]+", "", text)
    if unit_of is None and len(whole) > 2 and is_dose_unit(whole):
        return "", text
    match = JOINED_UNIT.fullmatch(text) if unit_of is None else None
    match = match or HEADER_WITH_UNIT.fullmatch(text)
    while match is not None and match["base"]:
        unit = match["unit"]
        if is_unit(unit):
            return match["base"], unit
        # ``conc_ug_per_ml``: the unit may itself hold the separator, so shorter bases are tried from the left.
        parts = re.split(r"[\s_.]+", text)
        for start in range(1, len(parts)):
            unit = "".join(parts[start:]).strip("()[]")
            if is_unit(unit):
                return "_".join(parts[:start]), unit
        break
    return text, ""


def _molar(text: str) -> Unit | None:
    if text == "M":
        return Unit(MICROMOLAR, PREFIXES[""])
    word = re.sub(r"[\s_.·*]+", "", text).lower().replace("μ", "u").replace("µ", "u")
    match = MOLAR.fullmatch(word)
    # A lower-case m alone may be metres, minutes or molar.
    if match is None or (match["base"] == "m" and not match["prefix"]):
        return None
    return Unit(MICROMOLAR, PREFIXES[match["prefix"] or ""])


def _mass(text: str) -> Unit | None:
    word = re.sub(r"[\s_.·*]+", "", text).lower().replace("μ", "u").replace("µ", "u")
    word = (
        word.replace("milliliter", "ml")
        .replace("millilitre", "ml")
        .replace("liter", "l")
        .replace("litre", "l")
    )
    match = MASS.fullmatch(word)
    if match is None:
        return None
    return Unit("ng/ml", NANOGRAMS[match["prefix"]] / MILLILITRES[match["volume"]])


def _rounded(amount: Decimal) -> Decimal:
    if amount == 0 or not amount.is_finite():
        return amount if amount != 0 else Decimal(0)
    digits = SIGNIFICANT_DIGITS - 1 - amount.adjusted()
    return round(amount, digits).normalize()
