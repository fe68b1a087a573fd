"""Wells on the first two principal components of expression: the map of a screen that needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tcell_assets.science.well_join import usable_wells


@dataclass(frozen=True, eq=False)
class ExpressionMap:
    """Coordinates of the wells, `well_id, pca_1, pca_2`, and the share of variance each component explains."""

    coordinates: pd.DataFrame
    explained: tuple[float, float]


def expression_map(expression: pd.DataFrame, usable: pd.Series | None = None) -> ExpressionMap:
    """Place every well on the first two principal components of the usable wells.

    Genes are centred and not scaled, as for hit calling. The sign of a component is fixed by making its largest
    loading positive, so that the same wells lie the same way round on any machine.

    Args:
        expression: Index `well_id`, one column a gene.
        usable: Booleans indexed by `well_id`; wells marked False are projected but not fitted on.

    Raises:
        ValueError: Fewer than 3 usable wells or 2 genes.
    """
    from sklearn.decomposition import PCA

    well_ids = expression.index.tolist()
    fitted_on = usable_wells(usable, well_ids).to_numpy()
    if fitted_on.sum() < 3 or expression.shape[1] < 2:
        raise ValueError(
            f"a map of expression needs 3 usable wells and 2 genes, found {int(fitted_on.sum())} and "
            f"{expression.shape[1]}"
        )
    values = expression.to_numpy(dtype=np.float64)
    fitted = PCA(2, random_state=0).fit(values[fitted_on])
    loadings = fitted.components_
    sign = np.sign(loadings[np.arange(2), np.abs(loadings).argmax(axis=1)])
    coordinates = pd.DataFrame(fitted.transform(values) * sign, columns=["pca_1", "pca_2"])
    coordinates.insert(0, "well_id", well_ids)
    first, second = np.nan_to_num(fitted.explained_variance_ratio_)
    return ExpressionMap(coordinates, (float(first), float(second)))
