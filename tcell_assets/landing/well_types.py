"""What a well is: sample, vehicle control, positive control, untreated or empty, by what its row says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from tcell_assets.landing.names import folded

WellType = Literal["sample", "vehicle_control", "positive_control", "untreated", "empty"]
WELL_TYPES: tuple[WellType, ...] = get_args(WellType)
SAMPLE: WellType = "sample"
VEHICLE_CONTROL: WellType = "vehicle_control"
POSITIVE_CONTROL: WellType = "positive_control"
UNTREATED: WellType = "untreated"
EMPTY: WellType = "empty"

# "negative control" says that nothing acts, and not whether it is the vehicle or plain medium.
NEGATIVE = "negative_control"
CONTROL = "control"

TYPE_WORDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("vehiclecontrol", "vehicle", "solvent", "solventcontrol", "dmso", "dmsocontrol", "ctlvehicle", "veh"),
        VEHICLE_CONTROL,
    ),
    **dict.fromkeys(
        ("negativecontrol", "negcontrol", "negcon", "negctrl", "negative", "neg", "nc", "lowcontrol"), NEGATIVE
    ),
    **dict.fromkeys(
        ("positivecontrol", "poscontrol", "poscon", "posctrl", "positive", "pos", "pc", "highcontrol", "reference",
         "trtposcon"),
        POSITIVE_CONTROL,
    ),
    **dict.fromkeys(
        ("sample", "treatment", "treated", "trt", "trtcp", "test", "library", "librarycompound", "cmpd", "cpd",
         "compound", "drug", "metabolite", "experimental", "query", "tested"),
        SAMPLE,
    ),
    **dict.fromkeys(
        ("untreated", "untreatedcontrol", "ctluntrt", "untrt", "media", "medium", "mediaonly", "mediumonly",
         "notreatment", "mock", "cellsonly"),
        UNTREATED,
    ),
    **dict.fromkeys(("empty", "emptywell", "blank", "blankwell", "unused", "nocells", "notused", "background"), EMPTY),
    **dict.fromkeys(("control", "ctrl", "ctl"), CONTROL),
}  # fmt: skip
"""What a word in a column of sample or control types says, letters and digits only, lower case."""

_DOSE = r"(?:[ _,(]*(?:v/v)?[0-9]+(?:[.,][0-9]+)? *(?:%|percent|pct)?(?: *\(?v/?v\)?)?\)?)"
_MEDIUM = r"(?:medium|media|rpmi(?:[ -]?1640)?|d?mem|imdm)"
_DMSO = r"(?:dmso|di-?methyl ?sul(?:f|ph)oxide|veh(?:icle)?|solvent)"
VEHICLE_NAME = re.compile(
    rf"(?:{_MEDIUM} *(?:\+|with|and) *)?(?:[0-9.,]+ *%?[ _-]*)?{_DMSO}"
    r"(?:[ _-]*(?:control|ctrl|vehicle|only|wells?|cells))?"
    rf"(?:[ _-]*\((?:dmso|veh(?:icle)?|solvent)(?:[ _-]*(?:control|ctrl))?\))?{_DOSE}?",
    re.IGNORECASE,
)
UNTREATED_NAME = re.compile(
    rf"(?:(?:culture|growth|cell|complete)[ _-]*)?{_MEDIUM}(?:[ _-]*(?:only|control|ctrl|media|medium))?"
    r"|un-?tr(?:eated|t)(?:[ _-]*(?:control|ctrl|cells|well))?|no[ _-]*(?:treatment|compound|drug)"
    r"|(?:cells?|t[ _-]*cells?)[ _-]*only|mock|(?:mq|milliq|distilled|sterile|nuclease[ _-]*free)?[ _-]*(?:water|h2o)"
    r"|pbs|saline|nt",
    re.IGNORECASE,
)
EMPTY_NAME = re.compile(
    r"empty(?:[ _-]*wells?)?|blank(?:[ _-]*wells?)?|unused(?:[ _-]*wells?)?|not[ _-]*used|no[ _-]*cells?|n/?a"
    r"|n\.a\.?|nan|none|null|nothing|#n/a|-+|\.",
    re.IGNORECASE,
)


def type_word(text: str) -> str | None:
    """What a cell of a type column says: a `WellType`, ``negative_control``, ``control``, or None where unknown."""
    word = re.sub(r"[^a-z0-9]", "", text.lower())
    if word.startswith("poscon"):
        return POSITIVE_CONTROL
    return TYPE_WORDS.get(word)


def are_type_words(cells: list[str]) -> bool:
    """Whether a column holds types and no names: every cell a word for a type, and at least one for a control."""
    said = {type_word(cell) for cell in cells if cell.strip()}
    return bool(said) and None not in said and len(said) > 1 and SAMPLE in said


def type_of_name(name: str, control_names: tuple[str, ...], are_stated: bool) -> WellType:
    """What a name alone says.

    Args:
        name: Folded; a name of no control, medium or empty well is a sample's.
        control_names: Names of the vehicle; their spellings count too (``dmso``, ``DMSO 0.1 %``).
        are_stated: Whether `screen.yaml` lists them, and DMSO among the other names is then a treatment like any other.
    """
    if name in control_names or _bare(name) in {_bare(control) for control in control_names}:
        return VEHICLE_CONTROL
    if VEHICLE_NAME.fullmatch(name) and (
        not are_stated or any(VEHICLE_NAME.fullmatch(control) for control in control_names)
    ):
        return VEHICLE_CONTROL
    if UNTREATED_NAME.fullmatch(name):
        return UNTREATED
    return EMPTY if EMPTY_NAME.fullmatch(name) else SAMPLE


def _bare(name: str) -> str:
    """A control's name without its strength: ``PBS 0.1 %`` → ``pbs``."""
    return re.sub(rf"{_DOSE}$", "", folded(name).casefold()).strip(" _-")
