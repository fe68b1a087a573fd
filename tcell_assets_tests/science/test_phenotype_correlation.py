"""Correlations against SciPy, and a correlation by position that the adjustment takes away."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tcell_assets.science.screen.phenotype_correlation import phenotype_correlation


@pytest.fixture
def wells() -> pd.DataFrame:
    """Two batches of two plates; tscore follows the column, cytotrace is noise, pseudotime is unknown."""
    table = pd.DataFrame(
        [
            {
                "well_id": f"tc{batch}_P{plate}_{row}{column}",
                "batch": f"tc{batch}",
                "plate": f"P{plate}",
                "row": row,
                "column": column,
                "metabolite": "DMSO" if column == 1 else f"m{plate}{row}{column}",
                "is_dmso": column == 1,
            }
            for batch, plate, row, column in itertools.product((1, 2), (1, 2), "ABCDEFGH", range(1, 13))
        ]
    )
    generator = np.random.default_rng(614)
    table["tscore"] = table["column"] + generator.normal(size=len(table))
    table["cytotrace"] = generator.normal(size=len(table))
    return table.assign(pseudotime=np.nan)


@pytest.fixture
def quantities(wells: pd.DataFrame) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "well_id": wells["well_id"],
            "euclidean": wells["column"] + generator.normal(size=len(wells)),
            "direction": wells["cytotrace"] + generator.normal(size=len(wells)),
        }
    ).sample(frac=1, random_state=0)


def correlations(quantities: pd.DataFrame, wells: pd.DataFrame, **options: object) -> pd.DataFrame:
    table = phenotype_correlation(quantities, wells, draws=200, **options)  # type: ignore[arg-type]
    return table.set_index(["quantity", "target", "adjusted"])


def test_correlations_are_those_of_the_treated_wells(wells: pd.DataFrame, quantities: pd.DataFrame) -> None:
    treated = wells[~wells["is_dmso"]].merge(quantities, on="well_id")
    table = correlations(quantities, wells)
    row = {name: table[name]["direction", "cytotrace", False] for name in ("pearson", "spearman", "n_wells")}
    assert row["pearson"] == pytest.approx(
        stats.pearsonr(treated["direction"], treated["cytotrace"]).statistic
    )
    assert row["spearman"] == pytest.approx(
        stats.spearmanr(treated["direction"], treated["cytotrace"]).statistic
    )
    assert row["n_wells"] == len(treated)


def test_a_real_correlation_excludes_zero_and_a_missing_one_does_not(
    wells: pd.DataFrame, quantities: pd.DataFrame
) -> None:
    table = correlations(quantities, wells)
    assert table["pearson_low"]["direction", "cytotrace", False] > 0.5
    # Truly unrelated; the seed is one of the 95 % whose interval holds 0.
    assert (
        table["pearson_low"]["direction", "tscore", False]
        < 0
        < table["pearson_high"]["direction", "tscore", False]
    )


def test_a_correlation_through_the_plates_columns_is_gone_after_the_adjustment(
    wells: pd.DataFrame, quantities: pd.DataFrame
) -> None:
    table = correlations(quantities, wells)
    assert table["pearson"]["euclidean", "tscore", False] > 0.8
    # 352 wells: a correlation of 0 has a standard error of 0.053; 3 of these.
    assert abs(table["pearson"]["euclidean", "tscore", True]) < 0.16


def test_a_real_correlation_survives_the_adjustment(wells: pd.DataFrame, quantities: pd.DataFrame) -> None:
    assert correlations(quantities, wells)["spearman"]["direction", "cytotrace", True] > 0.5


def test_an_unknown_score_has_no_correlation(wells: pd.DataFrame, quantities: pd.DataFrame) -> None:
    table = correlations(quantities, wells)
    assert np.isnan(table["pearson"]["euclidean", "pseudotime", False])
    assert table["n_wells"]["euclidean", "pseudotime", False] == 0


def test_wells_that_failed_quality_control_count_nowhere(
    wells: pd.DataFrame, quantities: pd.DataFrame
) -> None:
    usable = pd.Series(True, index=wells["well_id"])
    usable["tc1_P1_B5"] = False
    wild = quantities.copy()
    wild.loc[wild["well_id"] == "tc1_P1_B5", "direction"] = 1e6
    pd.testing.assert_frame_equal(
        correlations(wild, wells, usable=usable), correlations(quantities, wells, usable=usable)
    )
