"""The screen as AnnData: wells with all that is known of them, for scanpy and cellxgene."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tcell_assets.exports.currentness import doubts_of, is_of_model, require_current
from tcell_assets.exports.hits import HIT_CALLS, call_of_wells, calls_shown
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.staleness import VALUE_KIND
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.system.files import storage_errors, temporary_beside

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

MAP = "latent_map"
COMPONENTS = 50
# What each well's condition was called, by its name in `obs`.
CALLS_OF_WELLS = {"hit_class": "hit_class", "fdr": "q_replicate", "direction": "direction"}
# Of the wells, in this order; a column that two of them have is taken from the first.
INGESTED_WELL_TABLES = ("well_metadata", "well_qc")
WELL_TABLES = (*INGESTED_WELL_TABLES, "well_predictions", "dmso_distances")


class ExportError(ValueError):
    """There is nothing to export; the message says what to run first."""


def scored_batches(lake: Lake, models: ModelRegistry) -> tuple[str, list[str]]:
    """Return the current model and the batches it scored: latents of two models cannot stand in one file.

    Raises:
        ExportError: There is no current model, or it has scored nothing.
    """
    version = models.current()
    if version is None:
        raise ExportError(
            "no model is current; `tcell train` makes one of batches with phenotype scores, then `tcell score` and "
            "`tcell screen`. `tcell export h5ad` needs no model"
        )
    batches = lake.scored_by("latent_embeddings", version)
    if not batches:
        raise ExportError(f"{version} has scored no batch; run `tcell score` and `tcell screen` first")
    return version, batches


def annotated_screen(
    lake: Lake,
    models: ModelRegistry,
    with_umap: bool = True,
    judge: Judge | None = None,
    as_is: bool = False,
) -> AnnData:
    """Return the batches that the current model scored as AnnData, or before the first model all ingested ones.

    Args:
        lake: Holds the tables.
        models: Says which model is current, and its genes.
        with_umap: Whether to compute UMAP coordinates of the latents; needs umap-learn. Without a model there are none.
        judge: Says what is current; by default one that looks at the lake and the models alone.
        as_is: Write what is behind too; `uns["tcell_assets"]["behind"]` names it.

    Returns:
        `X` expression, wells × the model's genes, float32; `layers["counts"]` where all batches landed as counts; `obs`
        well metadata, quality, predictions and distances, and `hit_class, fdr, direction` of the condition where hits
        are called; `obsm` `X_pca` (50, of expression, with loadings in `varm["PCs"]` and variances in `uns["pca"]`),
        `X_latent` (32), `X_latent_pca` (2) and `X_umap` (2, of the latents); `var` gene importance; `uns["hits"]` the
        hit table; `uns["tcell_assets"]` versions, data hashes and what is behind, as JSON text. Tables over the screen
        that another model made are left out. Without a model `X` holds the genes that all batches share, and what
        rests on a model is not there.

    Raises:
        ExportError: The current model has scored nothing, or nothing is ingested.
        BehindError: Something is not current, and `as_is` was not asked for.
    """
    judge = judge or Judge(lake, models)
    if models.current() is None and not lake.batches("latent_embeddings"):
        return _screen_without_model(lake, judge, as_is)
    version, batches = scored_batches(lake, models)
    behind = _what_is_behind(judge, (*WELL_TABLES, "expression_matrix", "latent_embeddings"), batches, as_is)
    genes = [str(gene) for gene in models.manifest(version)["genes"]]
    observed = _observed(lake, batches, WELL_TABLES, version)
    well_ids = observed["well_id"].tolist()
    expression = pd.concat([lake.expression(batch, genes) for batch in batches]).loc[well_ids]
    latents = pd.concat([lake.read("latent_embeddings", batch) for batch in batches])
    latents = latents.set_index("well_id").loc[well_ids, list(LATENT_COLUMNS)].reset_index()
    coordinates = _coordinates(lake, version, latents, with_umap)
    maps = {"X_latent": latents[list(LATENT_COLUMNS)], "X_latent_pca": coordinates[["pca_1", "pca_2"]]}
    if with_umap:
        maps["X_umap"] = coordinates[["umap_1", "umap_2"]]
    told = {
        "model_version": version,
        "behind": behind,
        "lineage": json.dumps(_data_versions(lake, batches), sort_keys=True),
        "model": json.dumps(_small_manifest(models.manifest(version)), sort_keys=True),
    }
    return _annotated(
        lake, batches, expression, observed, _importance(lake, genes, version), maps, told, version
    )


def _annotated(
    lake: Lake,
    batches: Sequence[str],
    expression: pd.DataFrame,
    observed: pd.DataFrame,
    genes: pd.DataFrame,
    maps: Mapping[str, pd.DataFrame],
    told: Mapping[str, str],
    version: str | None,
) -> AnnData:
    """Put a screen together so that scanpy's functions take it for what it is.

    VST is a logarithm to the base 2: without `uns["log1p"]` scanpy's fold changes come out 1.46 × too large. `X_pca` is
    what `scanpy.pp.neighbors` reads unasked, so it is that of expression.
    """
    from anndata import AnnData

    scores, loadings, variances = _components(expression, observed["qc_pass"].to_numpy(dtype=bool))
    hits = calls_shown(lake.read(HIT_CALLS)) if is_of_model(lake, HIT_CALLS, version) else None
    counts = _counts(lake, batches, observed["well_id"].tolist(), list(expression.columns))
    return AnnData(
        X=expression.to_numpy(dtype=np.float32),
        obs=_plain(observed.set_index("well_id")),
        var=genes,
        obsm={
            "X_pca": scores,
            **{name: values.to_numpy(dtype=np.float32) for name, values in maps.items()},
        },
        varm={"PCs": loadings},
        layers={} if counts is None else {"counts": counts},
        uns={
            "log1p": {"base": 2.0},
            "pca": {**variances, "params": {"zero_center": True, "use_highly_variable": False}},
            "tcell_assets": dict(told),
            **({} if hits is None else {"hits": _plain(hits)}),
        },
    )


def _components(
    expression: pd.DataFrame, qc_pass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Principal components fitted on the usable wells: scores of all wells, loadings, and the variances."""
    from sklearn.decomposition import PCA

    values = expression.to_numpy(dtype=np.float64)
    fitted_on = values[qc_pass] if qc_pass.sum() > 2 else values
    fit = PCA(min(COMPONENTS, *(size - 1 for size in fitted_on.shape)), random_state=0).fit(fitted_on)
    variances = {"variance": fit.explained_variance_, "variance_ratio": fit.explained_variance_ratio_}
    return fit.transform(values).astype(np.float32), fit.components_.T.astype(np.float32), variances


def _counts(
    lake: Lake, batches: Sequence[str], well_ids: Sequence[str], genes: Sequence[str]
) -> sparse.csr_matrix | None:
    """Counts of the wells and genes; None where a batch landed without."""
    from tcell_assets.science.counts.count_table import counts_from_table

    if any(lake.lineage("expression_matrix", batch).details.get(VALUE_KIND) != "counts" for batch in batches):
        return None
    table = pd.concat([lake.read("count_matrix", batch) for batch in batches], ignore_index=True)
    matrix, counted = counts_from_table(table, well_ids)
    column_of = {gene: column for column, gene in enumerate(counted)}
    if not set(genes) <= set(column_of):
        return None
    return matrix[:, [column_of[gene] for gene in genes]]


def _what_is_behind(judge: Judge, tables: Sequence[str], batches: Sequence[str], as_is: bool) -> str:
    doubts = doubts_of(judge, tables, batches)
    if not as_is:
        require_current(doubts)
    return json.dumps([doubt.text for doubt in doubts])


def _screen_without_model(lake: Lake, judge: Judge, as_is: bool) -> AnnData:
    """Expression, metadata, quality and hits of every ingested batch."""
    batches = lake.batches("expression_matrix")
    if not batches:
        raise ExportError("no batch is ingested; `tcell ingest` reads the landing zone")
    behind = _what_is_behind(judge, (*INGESTED_WELL_TABLES, "expression_matrix"), batches, as_is)
    observed = _observed(lake, batches, INGESTED_WELL_TABLES, None)
    well_ids = observed["well_id"].tolist()
    expression = pd.concat([lake.expression(batch) for batch in batches], join="inner").loc[well_ids]
    told = {
        "model_version": "none",
        "behind": behind,
        "lineage": json.dumps(
            _data_versions(lake, batches, (*INGESTED_WELL_TABLES, "expression_matrix")), sort_keys=True
        ),
    }
    genes = pd.DataFrame(index=pd.Index(expression.columns.tolist(), name="gene"))
    return _annotated(lake, batches, expression, observed, genes, {}, told, None)


def write_annotated(data: AnnData, path: Path) -> None:
    """Write an `.h5ad` file, whole or not at all.

    Raises:
        StorageError: It could not be written; a file that lay there is intact.
    """
    with storage_errors(path, "could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            data.write_h5ad(temporary, compression="gzip")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _observed(lake: Lake, batches: Sequence[str], tables: Sequence[str], version: str | None) -> pd.DataFrame:
    joined = pd.DataFrame()
    for asset in tables:
        table = pd.concat([lake.read(asset, batch) for batch in batches], ignore_index=True)
        new = [name for name in table.columns if name not in joined.columns]
        joined = table if joined.empty else joined.merge(
            table[["well_id", *new]], on="well_id", validate="one_to_one"
        )  # fmt: skip
    if is_of_model(lake, HIT_CALLS, version):
        hits = lake.read(HIT_CALLS)
        for name, column in CALLS_OF_WELLS.items():
            joined[name] = call_of_wells(joined, hits, column)
    return joined


def _coordinates(lake: Lake, version: str, latents: pd.DataFrame, with_umap: bool) -> pd.DataFrame:
    """Places of the wells on the map, index `well_id`: the lake's map where it is this model's and whole."""
    from tcell_assets.science.screen.latent_map import fit_latent_map, project

    wanted = ["pca_1", "pca_2", *(["umap_1", "umap_2"] if with_umap else [])]
    if MAP in TABLES and lake.exists(MAP) and lake.lineage(MAP).model_version == version:
        known = lake.read(MAP, columns=["well_id", *wanted]).set_index("well_id").reindex(latents["well_id"])
        if known.notna().all(axis=None):
            return known
    fitted = fit_latent_map(latents, with_umap=with_umap)
    return project(fitted, latents).set_index("well_id")[wanted]


def _plain(observed: pd.DataFrame) -> pd.DataFrame:
    """Text, booleans and labels as categories, which scanpy groups by; columns that say nothing are left out."""
    known = observed.loc[:, observed.notna().any()]
    return known.assign(
        **{
            name: known[name].map(str, na_action="ignore").astype("category")
            for name in known.columns
            if not pd.api.types.is_numeric_dtype(known[name]) or pd.api.types.is_bool_dtype(known[name])
        }
    )


def _importance(lake: Lake, genes: Sequence[str], version: str) -> pd.DataFrame:
    if not is_of_model(lake, "gene_importance_ranking", version):
        return pd.DataFrame(index=pd.Index(genes, name="gene"))
    ranking = lake.read(
        "gene_importance_ranking", columns=["gene", "rank", "importance", "signed_importance"]
    )
    return ranking.set_index("gene").reindex(list(genes))


def _data_versions(
    lake: Lake,
    batches: Sequence[str],
    assets: Sequence[str] = (*WELL_TABLES, "expression_matrix", "latent_embeddings"),
) -> dict[str, dict[str, str]]:
    return {asset: {batch: lake.lineage(asset, batch).data_version for batch in batches} for asset in assets}


def _small_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: manifest[name] for name in ("created_at", "settings", "batch_hashes", "library_versions")}
