"""Plate formats and well names: row letters, column numbers, edges."""

from __future__ import annotations

import numpy as np
import pandas as pd

PLATE_SHAPES = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}
"""Rows and columns of each plate format, by its number of wells."""


def row_letter(row_number: int) -> str:
    """Return the letter of a row counted from 1: A is 1, Z is 26, AA is 27 and AF, the last of 1 536 wells, 32."""
    first, second = divmod(row_number - 1, 26)
    return ("" if first == 0 else chr(ord("A") + first - 1)) + chr(ord("A") + second)


def row_number(letter: str) -> int:
    """Return the number of a row letter, counted from 1: A is 1, P is 16, AF is 32."""
    number = 0
    for one in letter.upper():
        number = number * 26 + ord(one) - ord("A") + 1
    return number


def plate_shape(rows: pd.Series, columns: pd.Series) -> tuple[int, int]:
    """Return the smallest plate format (rows, columns) that holds all positions.

    Args:
        rows: row letters.
        columns: column numbers from 1.

    Raises:
        ValueError: a position lies outside a 1 536-well plate.
    """
    deepest, widest = int(rows.map(row_number).max()), int(columns.max())
    for shape in PLATE_SHAPES.values():
        if deepest <= shape[0] and widest <= shape[1]:
            return shape
    raise ValueError(
        f"Row {row_letter(deepest)}, column {widest} lies outside a 1 536-well plate (A to AF, 1 to 48). "
        "Correct the well names."
    )


def is_edge(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return whether each position (row and column counted from 1) lies on the rim of the plate."""
    rim: np.ndarray = (rows == 1) | (rows == shape[0]) | (columns == 1) | (columns == shape[1])
    return rim
