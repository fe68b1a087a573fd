"""What was done to a well, read from well metadata of any age: condition, compound, context and type."""

from __future__ import annotations

import numpy as np
import pandas as pd

NO_METABOLITE = ("untreated", "empty")
"""Types of wells that are neither a treatment nor the vehicle."""


def conditions(wells: pd.DataFrame) -> pd.Series:
    """The condition of each well, index of `wells`; wells of one condition are replicates.

    Metadata written before conditions were read has none: there the metabolite's name says what was done.
    """
    return _column(wells, "condition", wells["metabolite"])


def compounds(wells: pd.DataFrame) -> pd.Series:
    """The compound of each well, index of `wells`: what its doses share and what an evaluation holds out."""
    return _column(wells, "compound", wells["metabolite"])


def contexts(wells: pd.DataFrame) -> pd.Series:
    """Time, cell line, donor and further factors of each well, index of `wells`; empty where none is known.

    A well is compared with the vehicle of its own context, and with other treatments of it.
    """
    return _column(wells, "context", pd.Series("", index=wells.index, dtype=object))


def is_treated(wells: pd.DataFrame) -> np.ndarray:
    """Which wells hold a treatment: neither the vehicle, nor medium alone, nor nothing.

    Args:
        wells: `is_dmso` and, where known, `well_type`.
    """
    treated: np.ndarray = ~wells["is_dmso"].to_numpy(dtype=bool)
    if "well_type" in wells:
        treated &= ~wells["well_type"].isin(NO_METABOLITE).to_numpy()
    return treated


def is_empty(wells: pd.DataFrame) -> np.ndarray:
    """Which wells hold nothing by the plate map; they enter nothing."""
    if "well_type" not in wells:
        return np.zeros(len(wells), dtype=bool)
    return np.asarray(wells["well_type"].eq("empty").fillna(False), dtype=bool)


def _column(wells: pd.DataFrame, name: str, otherwise: pd.Series) -> pd.Series:
    if name not in wells:
        return otherwise.astype(object).rename(name)
    return wells[name].astype(object).where(wells[name].notna(), otherwise).rename(name)
