"""The screen as AnnData: opened by the library itself, every value compared with the table it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.exports.annotated_data import ExportError, annotated_screen, write_annotated
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets_tests.exports.conftest import HOSTILE_NAME

anndata = pytest.importorskip(
    "anndata", reason="anndata is not installed: pip install 'tcell-assets[anndata]'"
)


@pytest.fixture(scope="module")
def opened(screened: Platform, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The file as anndata reads it."""
    file = tmp_path_factory.mktemp("h5ad") / "screen.h5ad"
    data = annotated_screen(screened.storage.lake(), screened.storage.models(), with_umap=False)
    write_annotated(data, file)
    assert [path.name for path in file.parent.iterdir()] == ["screen.h5ad"]
    return anndata.read_h5ad(file)


def test_rows_are_wells_and_columns_the_genes_of_the_model(screened: Platform, opened: Any) -> None:
    models = screened.storage.models()
    assert list(opened.var_names) == models.manifest(str(models.current()))["genes"]
    assert opened.n_obs == 192
    assert opened.obs_names.is_unique


def test_expression_and_latents_are_those_of_the_same_well(screened: Platform, opened: Any) -> None:
    lake = screened.storage.lake()
    for batch in ("tc1", "tc2"):
        expression = lake.expression(batch, list(opened.var_names))
        latents = lake.read("latent_embeddings", batch).set_index("well_id")[list(LATENT_COLUMNS)]
        rows = [opened.obs_names.get_loc(well) for well in expression.index]
        np.testing.assert_array_equal(opened.X[rows], expression.to_numpy())
        np.testing.assert_array_equal(opened.obsm["X_latent"][rows], latents.loc[expression.index].to_numpy())


def test_observations_hold_metadata_quality_predictions_and_distances(
    screened: Platform, opened: Any
) -> None:
    lake = screened.storage.lake()
    for asset, column in (
        ("well_predictions", "activation_probability"),
        ("dmso_distances", "euclidean"),
        ("well_qc", "rle_iqr"),
        ("well_metadata", "tscore"),
    ):
        table = pd.concat([lake.read(asset, batch) for batch in ("tc1", "tc2")]).set_index("well_id")
        np.testing.assert_array_equal(opened.obs[column], table.loc[opened.obs_names, column], asset)
    assert HOSTILE_NAME in set(opened.obs["metabolite"])


def test_principal_components_are_ordered_by_their_variance(opened: Any) -> None:
    variance = opened.obsm["X_pca"].var(axis=0)
    assert variance[0] > variance[1] > 0


def test_principal_components_give_expression_back_by_their_loadings(opened: Any) -> None:
    centred = opened.X - opened.X.mean(axis=0)
    rebuilt = opened.obsm["X_pca"] @ opened.varm["PCs"].T
    share = 1 - ((centred - (rebuilt - rebuilt.mean(axis=0))) ** 2).sum() / (centred**2).sum()
    assert share == pytest.approx(opened.uns["pca"]["variance_ratio"].sum(), abs=0.02)
    assert opened.obsm["X_latent_pca"].shape == (192, 2)


def test_each_well_carries_the_call_of_its_metabolite_and_the_table_lies_beside(opened: Any) -> None:
    hits = opened.uns["hits"].set_index("metabolite")
    treated = opened.obs[opened.obs["is_dmso"] == "False"]
    assert len(treated) == 182
    for row in treated.head(40).itertuples():
        assert row.hit_class == hits.loc[row.metabolite, "hit_class"]
        assert row.fdr == hits.loc[row.metabolite, "q_replicate"]
    assert opened.obs.loc[opened.obs["is_dmso"] == "True", "fdr"].isna().all()


def test_no_column_is_empty(opened: Any) -> None:
    assert opened.obs.notna().any().all()


def test_scanpy_finds_neighbours_and_ranks_genes_by_every_label_with_right_fold_changes(opened: Any) -> None:
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed: make develop")
    data = opened.copy()
    scanpy.pp.neighbors(data, n_neighbors=10)
    assert data.uns["neighbors"]["params"].get("use_rep") in (None, "X_pca")
    labels = [name for name in data.obs if data.obs[name].dtype == "category"]
    compared = [name for name in labels if (data.obs[name].value_counts() >= 2).sum() >= 2]
    assert {"is_dmso", "is_activated", "batch"} <= set(compared)
    for label in compared:
        counts = data.obs[label].value_counts()
        groups = counts.index[counts >= 2].tolist()
        kept = data[data.obs[label].isin(groups)].copy()
        scanpy.tl.rank_genes_groups(kept, label, groups=groups[:1], reference=groups[1])
        table = scanpy.get.rank_genes_groups_df(kept, groups[0]).set_index("names")
        gene = table.index[0]
        # Means of the logarithm, taken back to counts: what scanpy documents, in float64.
        counted = [
            2.0 ** kept[kept.obs[label] == group, gene].X.astype(np.float64).mean() - 1.0
            for group in groups[:2]
        ]
        assert table.loc[gene, "logfoldchanges"] == pytest.approx(np.log2(counted[0] / counted[1]), rel=0.05)


def test_genes_carry_their_importance(screened: Platform, opened: Any) -> None:
    ranking = screened.storage.lake().read("gene_importance_ranking").set_index("gene")
    np.testing.assert_array_equal(opened.var["importance"], ranking.loc[opened.var_names, "importance"])


def test_the_file_says_which_model_and_which_data(screened: Platform, opened: Any) -> None:
    told = opened.uns["tcell_assets"]
    lake = screened.storage.lake()
    assert told["model_version"] == screened.storage.models().current()
    hashes = json.loads(told["lineage"])
    assert hashes["expression_matrix"]["tc2"] == lake.lineage("expression_matrix", "tc2").data_version


def test_before_anything_is_ingested_there_is_nothing_to_export(empty: Platform) -> None:
    with pytest.raises(ExportError, match="tcell ingest"):
        annotated_screen(empty.storage.lake(), empty.storage.models())


def test_a_failed_write_leaves_the_previous_file(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "screen.h5ad"
    file.write_bytes(b"previous")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", full)
    with pytest.raises(OSError, match="No space left"):
        write_annotated(opened, file)
    assert [path.name for path in tmp_path.iterdir()] == ["screen.h5ad"]
    assert file.read_bytes() == b"previous"
