"""Ensembles: the mean of several trained models' predictions, and their spread as an uncertainty."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import logit

from tcell_assets.science.model.settings import REGRESSION_TARGETS
from tcell_assets.science.well_join import rows_for_wells

MEMBER_COLUMNS = (
    *(f"pred_{target}" for target in REGRESSION_TARGETS),
    "activation_probability",
    "pred_activation",
)

# Keeps the logit of a probability that every member rounds to 0 or 1 finite.
SMALLEST_PROBABILITY = 1e-7


def combine_members(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean and standard deviation over the members of an ensemble.

    Args:
        members: Predictions of each member, by name (its seed or version): `well_id` and whichever of
            `pred_tscore, pred_cytotrace, pred_pseudotime, activation_probability, pred_activation` it has.

    Returns:
        The means under the members' column names, `activation_logit` of the mean probability, `sd_tscore,
        sd_cytotrace, sd_pseudotime, sd_activation_probability, sd_activation` with divisor n − 1 (NaN for one
        member) and `n_members`, in the first member's order of wells.

    Raises:
        ValueError: No member, or members with different wells or columns.
    """
    if not members:
        raise ValueError("an ensemble needs at least one member")
    first_name, first = next(iter(members.items()))
    well_ids = first["well_id"].tolist()
    columns = [column for column in MEMBER_COLUMNS if column in first]
    stack = []
    for name, table in members.items():
        if set(table["well_id"]) != set(well_ids) or [c for c in MEMBER_COLUMNS if c in table] != columns:
            raise ValueError(f"ensemble members {first_name} and {name} hold different wells or columns")
        stack.append(rows_for_wells(table, well_ids, f"predictions of {name}")[columns].to_numpy(np.float64))
    values = np.stack(stack)
    mean = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full_like(mean, np.nan)
    combined = pd.DataFrame(mean, columns=columns)
    combined.insert(0, "well_id", well_ids)
    if "activation_probability" in columns:
        inside = combined["activation_probability"].clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        combined["activation_logit"] = logit(inside)
    for number, column in enumerate(columns):
        combined[f"sd_{column.removeprefix('pred_')}"] = spread[:, number]
    return combined.assign(n_members=len(values))
