"""The variables whose plate pattern is audited: depth, targets, principal components, latents."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import is_empty
from tcell_assets.science.latents import latent_columns
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import known_targets, labels, names_of

COMPONENTS = 3
"""Principal components audited: enough to see the plate, few enough to read."""


def batch_variables(wells: pd.DataFrame, expression: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Return what is audited of one batch: targets, depth and principal components of its usable wells.

    Args:
        wells: Well metadata with targets.
        expression: wells × genes, index `well_id`.
        quality: `well_id, qc_pass, total_umi` of these wells.
    """
    usable = usable_rows(expression, quality)
    variables = audited_targets(wells).loc[usable.index].join(audited_depth(quality))
    return variables.join(audited_expression(usable))


def audited_targets(wells: pd.DataFrame) -> pd.DataFrame:
    """Return the known targets of wells, one column each, index `well_id`; a target known nowhere is left out.

    Wells that hold nothing have none, whatever stands beside them.
    """
    targets = wells[~is_empty(wells)].set_index("well_id").reindex(columns=names_of(known_targets()))
    return targets.loc[:, targets.notna().any()]


def scores_and_labels(targets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the targets that `audited_targets` returns into numbers (float64) and labels (boolean, NA where unknown)."""
    names = [name for name in names_of(labels(known_targets())) if name in targets]
    return targets.drop(columns=names).astype("float64"), targets[names].astype("boolean")


def audited_depth(quality: pd.DataFrame) -> pd.DataFrame:
    """Return ln UMI of the usable wells, index `well_id`; no column where nothing was counted."""
    usable = quality[quality["qc_pass"] & quality["total_umi"].notna()].set_index("well_id")
    if usable.empty:
        return pd.DataFrame(index=usable.index)
    return pd.DataFrame({"ln_total_umi": np.log(usable["total_umi"].clip(lower=1.0))})


def audited_expression(expression: pd.DataFrame) -> pd.DataFrame:
    """Return the first principal components of expression.

    Args:
        expression: wells × genes, index `well_id`.
    """
    return _components(expression, "expression_pc")


def audited_latents(latents: pd.DataFrame) -> pd.DataFrame:
    """Return the latent norm and the first principal components of the latents.

    Args:
        latents: `well_id, z_00, …, latent_norm`.
    """
    table = latents.set_index("well_id")
    norm = table[["latent_norm"]].astype(np.float64)
    return norm.join(_components(table[latent_columns(latents)], "latent_pc"))


def usable_rows(table: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the wells that pass quality control.

    Args:
        table: index `well_id`.
        quality: `well_id, qc_pass` of at least these wells.
    """
    passes = rows_for_wells(quality, table.index.tolist(), "well_qc")["qc_pass"]
    return table.loc[passes.to_numpy(dtype=bool)]


def _components(values: pd.DataFrame, prefix: str) -> pd.DataFrame:
    from sklearn.decomposition import PCA

    # One well lies in its own centre, and of a batch that failed quality control none is left.
    n_components = min(COMPONENTS, *values.shape) if len(values) > 1 else 0
    if not n_components:
        return pd.DataFrame(index=values.index)
    # The full solver has no random start: the same wells give the same components on any machine.
    scores = PCA(n_components=n_components, svd_solver="full").fit_transform(
        values.to_numpy(dtype=np.float64)
    )
    names = [f"{prefix}{number + 1}" for number in range(n_components)]
    return pd.DataFrame(scores, index=values.index, columns=names)
