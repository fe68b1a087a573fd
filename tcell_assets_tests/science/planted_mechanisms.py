"""Screens with planted mechanisms: compounds of one group move the same genes; for tests and figures of similarity."""

from __future__ import annotations

import numpy as np
import pandas as pd

GROUPS, MEMBERS, INACTIVE = 20, 5, 150


def planted(seed: int, effect: float = 1.5) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Two plates of 100 active compounds in 20 groups of 5 that move the same 25 of 400 genes, and inactive ones."""
    generator = np.random.default_rng(seed)
    names = [f"g{group:02d}_{member}" for group in range(GROUPS) for member in range(MEMBERS)]
    names += [f"n{number:03d}" for number in range(INACTIVE)]
    wells = []
    for plate in ("1", "2"):
        order = generator.permutation(names + ["DMSO"] * 20)
        for place, name in enumerate(order):
            wells.append(("b1", plate, f"b1_{plate}_{place}", name, chr(65 + place // 20), place % 20 + 1))
    table = pd.DataFrame(wells, columns=["batch", "plate", "well_id", "metabolite", "row", "column"])
    table["is_dmso"] = table["metabolite"] == "DMSO"
    moved = generator.normal(size=(GROUPS, 400)) * (generator.random((GROUPS, 400)) < 25 / 400)
    group_of = {name: int(name[1:3]) for name in names if name[0] == "g"}
    values = generator.normal(size=(len(table), 400))
    for row, name in enumerate(table["metabolite"]):
        if name in group_of:
            values[row] += effect * moved[group_of[name]]
    return pd.DataFrame(values, index=table["well_id"]), table, group_of


def positions_of(wells: pd.DataFrame) -> dict[str, frozenset[tuple[str, int]]]:
    """The row and column of every well of each name."""
    return {
        str(name): frozenset(zip(own["row"], own["column"], strict=True))
        for name, own in wells.groupby("metabolite")
    }
