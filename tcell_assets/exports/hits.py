"""The hit calls that people are shown: one a metabolite, on the most that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from tcell_assets.science.conditions import conditions, is_treated

HIT_CALLS = "hit_calls"
# The table holds a call a feature space; the first of these that it has is shown. A screen without a model has no
# latent, and tables of older versions have no combined list.
SHOWN_SPACES = ("combined", "latent", "expression")


def shown_space(hits: pd.DataFrame) -> str:
    """Return the feature space whose calls are shown."""
    present = set(hits["feature_space"])
    return next((space for space in SHOWN_SPACES if space in present), SHOWN_SPACES[-1])


def calls_shown(hits: pd.DataFrame) -> pd.DataFrame:
    """Return the calls that are shown, one row a condition."""
    return hits[hits["feature_space"] == shown_space(hits)].reset_index(drop=True)


def class_of_wells(wells: pd.DataFrame, hits: pd.DataFrame) -> pd.Series:
    """Return the hit class of each well's condition, None for wells without a treatment.

    Args:
        wells: Well metadata.
        hits: The table `hit_calls`.
    """
    return call_of_wells(wells, hits, "hit_class")


def call_of_wells(wells: pd.DataFrame, hits: pd.DataFrame, column: str) -> pd.Series:
    """Return what `column` of the calls says of each well's condition, unknown for wells without a treatment."""
    return conditions(wells).where(is_treated(wells)).map(calls_shown(hits).set_index("metabolite")[column])
