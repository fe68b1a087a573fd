"""What makes a batch another training batch, and what does not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tcell_assets.lake.store import content_hash, training_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.ingest import NOT_FOR_TRAINING


def _wells(**changed: Any) -> pa.Table:
    table = TABLES["well_metadata"]
    frame = pd.DataFrame(
        {
            "well_id": ["b1_A1_A1", "b1_A1_A2"],
            "batch": "b1",
            "plate": "A1",
            "well": ["A1", "A2"],
            "row": "A",
            "column": [1, 2],
            "is_edge": True,
            "metabolite": ["DMSO", "serine"],
            "is_dmso": [True, False],
            "tscore": [0.1, 0.2],
            "condition": ["DMSO", "serine"],
            "compound": ["DMSO", "serine"],
            "well_type": ["vehicle_control", "sample"],
            **changed,
        }
    )
    return table.to_arrow(table.with_absent_columns(frame))


def test_a_table_from_before_conditions_keeps_its_hash() -> None:
    wells = _wells()
    before = wells.drop_columns(list(NOT_FOR_TRAINING))
    assert training_hash(wells) == training_hash(before) == content_hash(before)


@pytest.mark.parametrize(
    "changed", [{"dose_um": [None, 10.0]}, {"condition": ["DMSO", "serine 10 µM"]}, {"donor": "d1"}]
)
def test_better_words_for_conditions_make_no_other_training_batch(changed: dict[str, Any]) -> None:
    assert training_hash(_wells(**changed)) == training_hash(_wells())


@pytest.mark.parametrize(
    "changed",
    [
        {"tscore": [0.1, 0.3]},
        {"metabolite": ["DMSO", "glycine"]},
        {"well_type": ["vehicle_control", "empty"]},
    ],
)
def test_another_target_name_or_an_empty_well_makes_another_training_batch(changed: dict[str, Any]) -> None:
    assert training_hash(_wells(**changed)) != training_hash(_wells())
