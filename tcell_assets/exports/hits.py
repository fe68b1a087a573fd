"""The hit calls that people are shown: one a metabolite, on the model's latent."""

from __future__ import annotations

import pandas as pd

HIT_CALLS = "hit_calls"
SHOWN_SPACE = "latent"


def calls_shown(hits: pd.DataFrame) -> pd.DataFrame:
    """Return the calls on the latent; the table holds those on expression beside them."""
    return hits[hits["feature_space"] == SHOWN_SPACE].reset_index(drop=True)


def class_of_wells(metabolites: pd.Series, hits: pd.DataFrame) -> pd.Series:
    """Return the hit class of each well's metabolite, None for DMSO."""
    return metabolites.map(calls_shown(hits).set_index("metabolite")["hit_class"])
