"""The front door for notebooks, opened on a small screen as a notebook would."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import tcell_assets
from tcell_assets.commands.platform import Platform
from tcell_assets.exports.opened_screen import Screen
from tcell_assets.lake.store import MissingTableError


@pytest.fixture
def screen(screened: Platform) -> Screen:
    return tcell_assets.open_screen(screened.configuration.home)


def test_it_opens_without_dagster_or_torch(screened: Platform) -> None:
    program = (
        "import sys, tcell_assets\n"
        "assert not {'pandas', 'dagster', 'torch'} & set(sys.modules)\n"
        f"screen = tcell_assets.open_screen({str(screened.configuration.home)!r})\n"
        "screen.hits(); screen.wells(); screen.expression(); screen.model()\n"
        "assert not {'dagster', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_wells_hold_the_plate_map_quality_predictions_and_distances_of_every_well(screen: Screen) -> None:
    wells = screen.wells()
    assert len(wells) == 192
    assert {"metabolite", "qc_pass", "pred_tscore", "euclidean"} <= set(wells.columns)
    own = pd.read_parquet(str(screen.lake.path("dmso_distances", "tc2"))).set_index("well_id")["euclidean"]
    found = wells.set_index("well_id")["euclidean"].loc[own.index]
    np.testing.assert_array_equal(found.to_numpy(), own.to_numpy())


def test_hits_are_one_row_a_metabolite_best_first(screen: Screen) -> None:
    hits = screen.hits()
    assert hits["metabolite"].is_unique
    assert hits["rank"].dropna().is_monotonic_increasing


def test_expression_of_named_genes_stands_in_their_order(screen: Screen) -> None:
    genes = screen.lake.genes("tc1")
    chosen = [genes[5], genes[2]]
    found = screen.expression(chosen, batches=["tc2"])
    assert list(found.columns) == chosen
    pd.testing.assert_frame_equal(found, screen.lake.expression("tc2", chosen))
    assert screen.expression(adjusted=True).shape == screen.expression().shape


def test_a_table_of_every_batch_names_the_batch_of_each_row(screen: Screen) -> None:
    table = screen.table("well_qc")
    assert table.groupby("batch").size().to_dict() == {"tc1": 96, "tc2": 96}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda screen: screen.table("hit_cals"), "hit_calls"),
        (lambda screen: screen.expression(["nothing"]), "gene of tc1"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_is_near(
    screen: Screen, call: object, said: str
) -> None:
    with pytest.raises(KeyError, match=said):
        call(screen)  # type: ignore[operator]


def test_a_table_that_was_never_made_is_said_to_be_missing(screen: Screen) -> None:
    with pytest.raises(MissingTableError):
        screen.table("model_evaluation")


def test_a_folder_without_a_lake_is_no_screen(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(FileNotFoundError, match="lake"):
        tcell_assets.open_screen(tmp_path_factory.mktemp("nothing"))


def test_signatures_of_a_condition_hold_every_gene_and_of_a_gene_every_condition(screen: Screen) -> None:
    metabolite = str(screen.hits()["metabolite"].iloc[0])
    own = screen.signatures(metabolite)
    assert len(own) == 48
    assert set(own["condition"]) == {metabolite}
    gene = str(own["gene"].iloc[0])
    assert len(screen.signatures(gene=gene)) == screen.signatures()["condition"].nunique()


def test_an_inactive_condition_has_no_neighbours(screen: Screen) -> None:
    hits = screen.hits()
    inactive = str(hits.loc[hits["hit_class"] == "inactive", "metabolite"].iloc[0])
    assert screen.neighbours(inactive).empty
