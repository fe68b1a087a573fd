"""One batch by symbol and the next by id is told at ingest with examples of both."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from upath import UPath

from tcell_assets.defs.assets.ingest import gene_names_beside_others
from tcell_assets.lake.store import Lake, Lineage

SYMBOLS = ["CD69", "IL2RA"]
IDS = ["ENSG00000110848", "ENSG00000134460"]


def lake_with(tmp_path: Path, genes: list[str]) -> Lake:
    lake = Lake(UPath(tmp_path))
    frame = pd.DataFrame({"well_id": ["tc1_A1_A1"], **{gene: [5.0] for gene in genes}})
    frame[genes] = frame[genes].astype("float32")
    lineage = Lineage("expression_matrix", "tc1", run_id="r", code_version="1", data_version="h")
    lake.write(frame, lineage)
    return lake


def test_symbols_beside_ids_are_named_with_examples_of_both(tmp_path: Path) -> None:
    notes = gene_names_beside_others(lake_with(tmp_path, SYMBOLS), "tc2", IDS)
    assert notes == [
        "this batch calls genes by Ensembl ids ('ENSG00000110848', 'ENSG00000134460'), but batch tc1 by symbols "
        "('CD69', 'IL2RA'); land both by the same names"
    ]


def test_alike_names_the_batch_itself_and_a_damaged_table_of_another_are_no_matter(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, SYMBOLS)
    assert gene_names_beside_others(lake, "tc2", SYMBOLS) == []
    assert gene_names_beside_others(lake, "tc1", IDS) == []
    lake.path("expression_matrix", "tc1").write_bytes(b"torn")
    assert gene_names_beside_others(lake, "tc2", IDS) == []
