"""Plate formats and row names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.plate_geometry import is_edge, plate_shape, row_letter, row_number


def test_row_letters_count_from_a() -> None:
    assert [row_letter(number) for number in (1, 8, 16)] == ["A", "H", "P"]
    assert [row_number(letter) for letter in ("A", "h", "P")] == [1, 8, 16]


@pytest.mark.parametrize(
    ("deepest", "widest", "shape"), [("H", 12, (8, 12)), ("I", 12, (16, 24)), ("A", 13, (16, 24))]
)
def test_the_plate_format_is_the_smallest_that_holds_every_well(
    deepest: str, widest: int, shape: tuple[int, int]
) -> None:
    assert plate_shape(pd.Series(["A", deepest]), pd.Series([1, widest])) == shape


def test_a_well_outside_a_1536_well_plate_is_refused() -> None:
    with pytest.raises(ValueError, match="Row AG, column 1 lies outside"):
        plate_shape(pd.Series(["AG"]), pd.Series([1]))


def test_the_edge_is_the_first_and_last_row_and_column() -> None:
    row, column = (axis.ravel() + 1 for axis in np.indices((8, 12)))
    assert is_edge(row, column, (8, 12)).sum() == 2 * 12 + 2 * 6
