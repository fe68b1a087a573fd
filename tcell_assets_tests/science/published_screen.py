"""The published sample sheet as tests read it; they skip where its folder is absent."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

REAL = Path(__file__).parents[2].parent / "shared" / "real"


def published_wells() -> pd.DataFrame:
    """Return the published wells with layout and targets, or skip the test."""
    folder = REAL / "tcell_screen_metadata"
    if not folder.is_dir():
        pytest.skip(f"the published sample sheet is not at {folder}")

    def column(name: str) -> pd.Series:
        return pd.read_csv(folder / f"{name}.csv", keep_default_na=False)["x"]

    scores = pd.read_csv(folder / "scores_3_z.csv")
    wells = pd.DataFrame({"well_id": column("well_id"), "metabolite": column("meta_id")})
    wells[["batch", "plate", "well"]] = wells["well_id"].str.split("_", expand=True)
    wells["row"] = wells["well"].str[0]
    wells["column"] = wells["well"].str[1:].astype(int)
    wells["is_edge"] = wells["row"].isin(["A", "H"]) | wells["column"].isin([1, 12])
    wells["is_dmso"] = wells["metabolite"] == "DMSO"
    wells["tscore"] = scores["Tscore_z"]
    wells["cytotrace"] = scores["cytoscore_z"]
    wells["pseudotime"] = scores["pseudotime_z"]
    wells["is_activated"] = column("labels_cls") == 1
    wells["activation_score"] = column("e.activation_score_old")
    return wells
