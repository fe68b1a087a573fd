"""A published folder with several batches becomes one landing folder a batch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets.landing.importing import import_published_folder
from tcell_assets.landing.problems import LandingError
from tcell_assets_tests.landing.folders import REAL_SHEET, edit, published_folder, write_column

REAL_COLUMNS = {"pseudotime": "pseudotime_z", "cytotrace": "cytoscore_z", "tscore": "Tscore_z"}


def two_batches(folder: Path) -> Path:
    """Wells of tc1 and of screen_2 in one published folder, interleaved."""
    published_folder(folder)
    wells = ["screen_2_P1_A1", "tc1_P1_A1", "tc1_P1_B2", "screen_2_P1_B2", "tc1_P1_C3", "tc1_P1_D4"]
    write_column(folder / "well_id.csv", wells)
    return folder


def test_the_batches_are_split_by_the_names_of_their_wells(tmp_path: Path) -> None:
    write_column(
        two_batches(tmp_path / "source") / "meta_id.csv", ["DMSO", "DMSO", "NA", "β-Alanine", "X, Y", "Z"]
    )
    imported = import_published_folder(tmp_path / "source", tmp_path / "data")
    assert imported.batches == ("screen_2", "tc1")
    assert imported.well_ids[:2] == ("screen_2_P1_A1", "tc1_P1_A1")
    assert read_batch(tmp_path / "data" / "screen_2").wells["metabolite"].tolist() == ["DMSO", "β-Alanine"]
    assert read_batch(tmp_path / "data" / "tc1").wells["metabolite"].tolist() == ["DMSO", "NA", "X, Y", "Z"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["screen_2", "tc1"]


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    source = published_folder(tmp_path / "source")
    write_column(source / "well_id.csv", [f"tc1_P1_A{n}" for n in range(1, 7)])
    edit(source / "expr_mat.csv", "2.5,", "2.1234567890123457,")
    edit(source / "scores_3_z.csv", "0.0,", "0.30000000000000004,")
    import_published_folder(source, tmp_path / "data")
    written = pd.read_parquet(tmp_path / "data" / "tc1" / "expression.parquet")
    assert written["IL2RA"][0] == 2.1234567890123457
    assert read_batch(tmp_path / "data" / "tc1").wells["pseudotime"][0] == 0.30000000000000004


def test_problems_of_all_batches_are_told_before_anything_is_written(tmp_path: Path) -> None:
    source = two_batches(tmp_path / "source")
    write_column(source / "meta_id.csv", ["A", "B", "C", "D", "E", "F"])
    with pytest.raises(LandingError) as caught:
        import_published_folder(source, tmp_path / "data")
    assert str(caught.value).count("has no well with 'DMSO'") == 2
    assert "screen_2" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_an_expression_matrix_nothing_is_imported(tmp_path: Path) -> None:
    source = published_folder(tmp_path / "source")
    (source / "expr_mat.csv").unlink()
    with pytest.raises(LandingError, match=r"expr_mat\.csv: is missing"):
        import_published_folder(source, tmp_path / "data")


def test_a_batch_name_that_could_leave_the_data_folder_is_refused(tmp_path: Path) -> None:
    source = two_batches(tmp_path / "source")
    edit(source / "well_id.csv", "screen_2_P1_A1", "../../evil_P1_A1")
    with pytest.raises(LandingError, match="batch name that is not 1 to 64 letters"):
        import_published_folder(source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_second_import_of_the_same_content_changes_nothing(tmp_path: Path) -> None:
    source = published_folder(tmp_path / "tc1")
    import_published_folder(source, tmp_path / "data")
    before = (tmp_path / "data" / "tc1" / "plate_map.csv").stat().st_mtime_ns
    import_published_folder(source, tmp_path / "data")
    assert (tmp_path / "data" / "tc1" / "plate_map.csv").stat().st_mtime_ns == before


def test_other_content_is_replaced_only_when_asked(tmp_path: Path) -> None:
    source = published_folder(tmp_path / "tc1")
    import_published_folder(source, tmp_path / "data")
    before = content_hash(tmp_path / "data" / "tc1")
    edit(source / "meta_id.csv", "Glutamine", "Glutamate")
    with pytest.raises(LandingError, match="holds other content already"):
        import_published_folder(source, tmp_path / "data")
    assert content_hash(tmp_path / "data" / "tc1") == before
    import_published_folder(source, tmp_path / "data", replace=True)
    assert "Glutamate" in set(read_batch(tmp_path / "data" / "tc1").wells["metabolite"])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tc1"]


@pytest.mark.skipif(not REAL_SHEET.is_dir(), reason=f"the published sample sheet is not at {REAL_SHEET}")
def test_the_real_sheet_becomes_two_batches_with_every_target_equal_to_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in REAL_SHEET.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    values = np.random.default_rng(614).normal(6, 2, (768, 12))
    pd.DataFrame(values, columns=[f"G{gene}" for gene in range(12)]).to_csv(
        source / "expr_mat.csv", index=False
    )
    imported = import_published_folder(source, tmp_path / "data")
    assert imported.batches == ("tc1", "tc2")
    batches = [read_batch(tmp_path / "data" / name) for name in imported.batches]
    for batch in batches:
        assert batch.wells.groupby("plate").size().to_dict() == {"A1": 96, "A2": 96, "B1": 96, "B2": 96}
    wells = pd.concat([batch.wells for batch in batches]).set_index("well_id").loc[list(imported.well_ids)]

    def source_column(name: str, column: str = "x") -> pd.Series:
        path = REAL_SHEET / name
        return pd.read_csv(path, keep_default_na=False, float_precision="round_trip")[column]

    assert wells.index.tolist() == source_column("well_id.csv").tolist()
    assert wells["metabolite"].tolist() == source_column("meta_id.csv").tolist()
    assert wells["cluster"].tolist() == source_column("cluster_id.csv").tolist()
    assert wells["is_activated"].astype(int).tolist() == source_column("labels_cls.csv").tolist()
    assert wells["activation_score"].tolist() == source_column("e.activation_score_old.csv").tolist()
    for target, column in REAL_COLUMNS.items():
        assert wells[target].tolist() == source_column("scores_3_z.csv", column).tolist()
    assert wells["is_dmso"].sum() == 40
    assert set(wells.loc[wells["is_dmso"], "column"]) == {1, 12}
    expression = pd.concat([batch.expression for batch in batches]).loc[list(imported.well_ids)]
    np.testing.assert_array_equal(expression.to_numpy(), values.astype(np.float32))
