"""The screen as AnnData: wells with all that is known of them, for scanpy and cellxgene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tcell_assets.exports.currentness import doubts_of, is_of_model, require_current
from tcell_assets.exports.hits import HIT_CALLS, class_of_wells
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.system.files import storage_errors, temporary_beside

if TYPE_CHECKING:
    from anndata import AnnData

MAP = "latent_map"
EXPRESSION_MAP = "expression_map"
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
        `X` expression, wells × the model's genes, float32; `obs` well metadata, quality, predictions and distances, and
        the hit class of the metabolite where hits are called; `obsm` `X_latent` (32), `X_pca` (2, of the latents) and
        `X_umap` (2); `var` gene importance; `uns["tcell_assets"]` versions, data hashes and what is behind, as JSON
        text. Tables over the screen that another model made are left out. Without a
        model `X` holds the genes that all batches share, `obs` metadata, quality and hit class, and `obsm` `X_pca`
        principal components of expression.

    Raises:
        ExportError: The current model has scored nothing, or nothing is ingested.
        BehindError: Something is not current, and `as_is` was not asked for.
    """
    from anndata import AnnData

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
    maps = {"X_latent": latents[list(LATENT_COLUMNS)], "X_pca": coordinates[["pca_1", "pca_2"]]}
    if with_umap:
        maps["X_umap"] = coordinates[["umap_1", "umap_2"]]
    return AnnData(
        X=expression.to_numpy(dtype=np.float32),
        obs=_plain(observed.set_index("well_id")),
        var=_importance(lake, genes, version),
        obsm={name: values.to_numpy(dtype=np.float32) for name, values in maps.items()},
        uns={
            "tcell_assets": {
                "model_version": version,
                "behind": behind,
                "lineage": json.dumps(_data_versions(lake, batches), sort_keys=True),
                "model": json.dumps(_small_manifest(models.manifest(version)), sort_keys=True),
            }
        },
    )


def _what_is_behind(judge: Judge, tables: Sequence[str], batches: Sequence[str], as_is: bool) -> str:
    doubts = doubts_of(judge, tables, batches)
    if not as_is:
        require_current(doubts)
    return json.dumps([doubt.text for doubt in doubts])


def _screen_without_model(lake: Lake, judge: Judge, as_is: bool) -> AnnData:
    """Expression, metadata, quality and hits of every ingested batch."""
    from anndata import AnnData

    from tcell_assets.science.screen.expression_map import expression_map

    batches = lake.batches("expression_matrix")
    if not batches:
        raise ExportError("no batch is ingested; `tcell ingest` reads the landing zone")
    behind = _what_is_behind(judge, (*INGESTED_WELL_TABLES, "expression_matrix"), batches, as_is)
    observed = _observed(lake, batches, INGESTED_WELL_TABLES, None)
    well_ids = observed["well_id"].tolist()
    expression = pd.concat([lake.expression(batch) for batch in batches], join="inner").loc[well_ids]
    if lake.exists(EXPRESSION_MAP):
        known = lake.read(EXPRESSION_MAP, columns=["well_id", "pca_1", "pca_2"])
        places = known.set_index("well_id").reindex(well_ids)
    else:
        places = expression_map(expression, observed.set_index("well_id")["qc_pass"]).coordinates.set_index(
            "well_id"
        )
    return AnnData(
        X=expression.to_numpy(dtype=np.float32),
        obs=_plain(observed.set_index("well_id")),
        var=pd.DataFrame(index=pd.Index(expression.columns.tolist(), name="gene")),
        obsm={"X_pca": places.to_numpy(dtype=np.float32)},
        uns={
            "tcell_assets": {
                "model_version": "none",
                "behind": behind,
                "lineage": json.dumps(
                    _data_versions(lake, batches, (*INGESTED_WELL_TABLES, "expression_matrix")),
                    sort_keys=True,
                ),
            }
        },
    )


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
        joined["hit_class"] = class_of_wells(joined, lake.read(HIT_CALLS))
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
    """Text and labels with unknown values as categories, which every reader of AnnData understands."""
    return observed.assign(
        **{
            name: observed[name].map(str, na_action="ignore").astype("category")
            for name in observed.columns
            if observed[name].dtype == object or isinstance(observed[name].dtype, pd.StringDtype)
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
