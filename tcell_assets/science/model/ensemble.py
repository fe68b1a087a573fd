"""Ensembles: the mean of several trained models' predictions, and their spread as an uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit

from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import Target, known_targets

# Keeps the logit of a probability that every member rounds to 0 or 1 finite.
SMALLEST_PROBABILITY = 1e-7


def combine_members(
    members: Mapping[str, pd.DataFrame], targets: Sequence[Target] | None = None
) -> pd.DataFrame:
    """Mean and standard deviation over the members of an ensemble.

    Args:
        members: Predictions of each member, by name (its seed or version): `well_id` and whichever predictions it has.
        targets: Of which targets, by default every one of the installation.

    Returns:
        The means under the members' column names, the log-odds of each label's mean probability, `sd_…` of every
        prediction (`Target.spread`) with divisor n − 1 (NaN for one member) and `n_members`, in the first member's
        order of wells.

    Raises:
        ValueError: No member, or members with different wells or columns.
    """
    if not members:
        raise ValueError("an ensemble needs at least one member")
    first_name, first = next(iter(members.items()))
    well_ids = first["well_id"].tolist()
    known = known_targets() if targets is None else targets
    predicted = [target for target in known if target.prediction in first]
    columns = [target.prediction for target in predicted]
    stack = []
    for name, table in members.items():
        if (
            set(table["well_id"]) != set(well_ids)
            or [target.prediction for target in known if target.prediction in table] != columns
        ):
            raise ValueError(f"ensemble members {first_name} and {name} hold different wells or columns")
        stack.append(rows_for_wells(table, well_ids, f"predictions of {name}")[columns].to_numpy(np.float64))
    values = np.stack(stack)
    mean = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full_like(mean, np.nan)
    combined = pd.DataFrame(mean, columns=columns)
    combined.insert(0, "well_id", well_ids)
    for target in predicted:
        if target.is_binary:
            inside = combined[target.prediction].clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
            combined[target.logit] = logit(inside)
    for target, column in zip(predicted, spread.T, strict=True):
        combined[target.spread] = column
    return combined.assign(n_members=len(values))
