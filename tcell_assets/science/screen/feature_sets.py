"""The feature sets that hits are called on together: components of expression, plain, robust and learnt."""

from __future__ import annotations

import pandas as pd

from tcell_assets.science.screen.hit_calling import FeatureSet
from tcell_assets.science.screen.principal_components import cut_off, principal_component_features


def expression_feature_sets(
    adjusted: pd.DataFrame, unadjusted: pd.DataFrame, *, usable: pd.Series | None = None, seed: int = 614
) -> dict[str, FeatureSet]:
    """Return the feature sets of expression by name.

    Few components find effects that many metabolites share, many components those of a metabolite's own.
    `components_20`, `components_50` and `components_100` are principal components as measured; `robust_100` those of
    standardised genes whose deviations are cut off at four robust standard deviations; `learnt_100` the same and
    `learnt_50` those of genes cut off in their own unit, both with axes weighed by other metabolites' replicates.

    Args:
        adjusted: Expression with position taken out, index `well_id`, one column a gene.
        unadjusted: The same wells and genes as measured.
        usable: Wells marked False are projected and not fitted on.
        seed: Of the solver that large matrices take.
    """

    def components(expression: pd.DataFrame, count: int) -> pd.DataFrame:
        return principal_component_features(expression, count=count, usable=usable, seed=seed)

    many, many_unadjusted = components(adjusted, 100), components(unadjusted, 100)
    robust = components(cut_off(adjusted, usable=usable, standardise=True), 100)
    return {
        "components_20": FeatureSet(components(adjusted, 20), components(unadjusted, 20)),
        "components_50": FeatureSet(_first(many, 50), _first(many_unadjusted, 50)),
        "components_100": FeatureSet(many, many_unadjusted),
        "robust_100": FeatureSet(robust),
        "learnt_50": FeatureSet(components(cut_off(adjusted, usable=usable), 50), is_learnt=True),
        "learnt_100": FeatureSet(robust, is_learnt=True),
    }


def _first(features: pd.DataFrame, count: int) -> pd.DataFrame:
    return features.iloc[:, : 1 + count]
