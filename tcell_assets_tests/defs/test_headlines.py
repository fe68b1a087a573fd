"""What the UI says first of a table: its result in words."""

from __future__ import annotations

import pandas as pd

from tcell_assets.defs import headlines
from tcell_assets.defs.headlines import headline, top_hits
from tcell_assets.defs.metadata import table_result
from tcell_assets.lake.tables import TABLES

CALLS = pd.DataFrame(
    {
        "feature_space": ["combined"] * 3,
        "rank": [1, 2, 3],
        "metabolite": ["Inosine", "Biotin", "Uracil"],
        "hit_class": ["activator", "suppressor", "inactive"],
        "q_replicate": [0.001, 0.02, 0.8],
    }
)


def test_every_table_has_a_headline() -> None:
    assert set(headlines._HEADLINES) == set(TABLES)


def test_the_headline_of_the_hits_counts_them_by_class() -> None:
    assert headline("hit_calls", CALLS) == "2 hits among 3 metabolites: 1 activator, 1 suppressor"


def test_the_top_hits_stand_one_a_line_without_those_that_are_none() -> None:
    assert top_hits(CALLS) == "1. Inosine: activator, FDR 0.001\n2. Biotin: suppressor, FDR 0.02"


def test_an_empty_table_says_so() -> None:
    assert headline("dose_response", pd.DataFrame()).startswith("empty")


def test_the_result_comes_first_and_hashes_last() -> None:
    frame = pd.DataFrame({"quantity": ["verdict"], "value": ['"ok"']})
    shown = table_result("design_audit", frame, {"plate_hash": "f", "findings": "none"}).metadata or {}
    own = [name for name in shown if name in ("headline", "findings", "plate_hash", "content_hash")]
    assert own == ["headline", "findings", "plate_hash", "content_hash"]
