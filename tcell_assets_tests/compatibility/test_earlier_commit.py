"""The tables, files and models of an earlier commit: made again bit by bit, and read as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tcell_assets_tests.compatibility.installations import (
    EARLIER_COMMIT,
    ROOT,
    STAGES,
    WITHOUT_STATISTICS,
    Installation,
    differences,
    installation_of,
    unpack_earlier_commit,
)

pytestmark = pytest.mark.slow

# Columns that hold measured seconds.
MEASURED = {"training_history": frozenset({"seconds"})}

# What is meant to differ, by table: the reason. A table that is here and does not differ fails too.
COMBINED = (
    "rows of combined evidence stand beside those of single feature spaces, and are the list that is shown"
)
ONE_FIT = (
    "training renews the expression of counts that were ingested before it, so that one screen has one fit"
)
POSITION = "a smooth fit stands beside the forest, and the better of the two is shown"
WANTED = {
    "hit_calls": COMBINED,
    "latent_map": COMBINED,
    "metabolite_scores": COMBINED,
    "position_audit": POSITION,
    "screen_position_audit": POSITION,
}
LADDER = "further rungs stand beside those of before"
CALIBRATED = f"{LADDER}; one temperature serves all folds, where it helps other folds"
TAILS = f"{LADDER}; extreme scores have radii of their own"
WANTED_OF_EXPRESSION = {
    **WANTED,
    "hit_drivers": COMBINED,
    "evaluation_predictions": CALIBRATED,
    "model_evaluation": CALIBRATED,
    "model_comparison": LADDER,
    "prediction_intervals": TAILS,
    "well_predictions": TAILS,
}
WANTED_OF_COUNTS = {
    **WANTED,
    **dict.fromkeys(
        ("expression_matrix", "adjusted_expression", "well_qc", "plate_qc", "position_audit"), ONE_FIT
    ),
}


@pytest.fixture(scope="module")
def earlier_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = unpack_earlier_commit(tmp_path_factory.mktemp("earlier") / "checkout")
    if folder is None:
        pytest.skip(f"git does not know commit {EARLIER_COMMIT}: this is no clone with its history")
    return folder


def _made_by(
    checkout: Path, folder: Path, stages: tuple[tuple[str, ...], ...], *simulation: str
) -> Installation:
    """Return an installation in which the earlier commit took a simulated screen through these stages."""
    folder.mkdir()
    (folder / "data").mkdir()
    installation = Installation(folder, checkout)
    sizes = ("--genes", "48", "--plates", "1", "--batches", "2")
    installation.tcell("simulate", "data", *sizes, *simulation)
    for stage in stages:
        installation.tcell(*stage)
    return installation


@pytest.fixture(scope="module")
def expression_screen(earlier_checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return _made_by(earlier_checkout, tmp_path_factory.mktemp("expression") / "home", STAGES)


@pytest.fixture(scope="module")
def counts_screen(earlier_checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return _made_by(
        earlier_checkout, tmp_path_factory.mktemp("counts") / "home", WITHOUT_STATISTICS, "--counts"
    )


def _assert_made_again(
    earlier: Installation, folder: Path, stages: tuple[tuple[str, ...], ...], wanted: dict[str, str]
) -> Installation:
    now = installation_of(folder / "now", ROOT, earlier.home / "data")
    for stage in stages:
        # Two epochs teach the network nothing, and today such a model becomes current only where it is asked for.
        asked = ("--set", "promote_without_skill=true") if stage[0] == "train" else ()
        now.tcell(*stage, *asked)
    before, after = earlier.tables(), now.tables()
    assert set(before) <= set(after)
    found = {
        name: differences(path, after[name], MEASURED.get(name.split("/")[0], frozenset()))
        for name, path in before.items()
    }
    unwanted = {
        name: columns for name, columns in found.items() if columns and name.split("/")[0] not in wanted
    }
    assert not unwanted
    assert set(wanted) <= {name.split("/")[0] for name, columns in found.items() if columns}
    return now


def test_a_screen_of_expression_gives_the_tables_it_gave(
    expression_screen: Installation, tmp_path: Path
) -> None:
    now = _assert_made_again(expression_screen, tmp_path, STAGES, WANTED_OF_EXPRESSION)
    assert_calls_of_each_space_are_as_before(expression_screen, now)
    assert_scores_differ_in_their_order_alone(expression_screen, now)
    assert_rungs_of_before_are_as_before(expression_screen, now)


def test_a_screen_of_counts_gives_the_tables_it_gave(counts_screen: Installation, tmp_path: Path) -> None:
    now = _assert_made_again(counts_screen, tmp_path, WITHOUT_STATISTICS, WANTED_OF_COUNTS)
    assert_scores_differ_in_their_order_alone(counts_screen, now)


def assert_calls_of_each_space_are_as_before(earlier: Installation, now: Installation) -> None:
    before, after = (pd.read_parquet(each.tables()["hit_calls"]) for each in (earlier, now))
    after = after[after["feature_space"] != "combined"].reset_index(drop=True)[list(before)]
    pd.testing.assert_frame_equal(after, before, check_exact=True)


def assert_rungs_of_before_are_as_before(earlier: Installation, now: Installation) -> None:
    for asset, rung, renewed in (
        ("evaluation_predictions", "model", ["calibrated_probability", "temperature"]),
        ("model_evaluation", "model", []),
        ("model_comparison", "other", []),
        ("prediction_intervals", "model", ["radius", "coverage"]),
    ):
        before, after = (
            pd.read_parquet(each.tables()[asset]).drop(columns=renewed) for each in (earlier, now)
        )
        after = after[after[rung].isin(set(before[rung]))].reset_index(drop=True)[list(before)]
        if "calibrated" in before:
            before, after = (table[~table["calibrated"]].reset_index(drop=True) for table in (before, after))
        pd.testing.assert_frame_equal(after, before, check_exact=True, obj=asset)


def assert_scores_differ_in_their_order_alone(earlier: Installation, now: Installation) -> None:
    before, after = (
        pd.read_parquet(each.tables()["metabolite_scores"]).set_index("metabolite").sort_index()
        for each in (earlier, now)
    )
    same = [name for name in before if name not in ("rank", "hit_class")]
    pd.testing.assert_frame_equal(after[same], before[same], check_exact=True)


def test_an_earlier_lake_and_model_export_the_files_they_exported(
    expression_screen: Installation, tmp_path: Path
) -> None:
    expression_screen.tcell("export", "published", "before")
    home = tmp_path / "home"
    shutil.copytree(expression_screen.home, home)
    Installation(home, ROOT).tcell("export", "published", "after")
    before = {path.name: path for path in sorted((home / "before").iterdir())}
    after = {path.name: path for path in sorted((home / "after").iterdir())}
    assert set(after) == set(before)
    for name, path in before.items():
        if path.suffix == ".csv":
            assert after[name].read_bytes() == path.read_bytes(), name


def test_an_earlier_model_scores_as_it_scored(expression_screen: Installation, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(expression_screen.home, home)
    now = Installation(home, ROOT)
    now.tcell("score")
    for name, path in expression_screen.tables().items():
        if name.split("/")[0] in ("well_predictions", "latent_embeddings", "gene_importance"):
            assert not differences(path, now.tables()[name]), name


def test_an_earlier_installation_reports_and_answers_queries(
    expression_screen: Installation, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(expression_screen.home, home)
    now = Installation(home, ROOT)
    now.tcell("report")
    assert "192" in now.tcell("query", "SELECT count(*) FROM well_predictions")
    now.tcell("models", "list")
    now.tcell("doctor")
