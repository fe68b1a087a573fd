"""What the whole screen says: metabolites and genes over all batches."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import dagster as dg

from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.metadata import TableResult, preview, table_asset, table_result
from tcell_assets.defs.reading import fixed_for_run, reads_now
from tcell_assets.defs.resources import Storage
from tcell_assets.lake.stages import ATTRIBUTE, SCORE
from tcell_assets.lake.store import Lake, Lineage
from tcell_assets.lake.tables import tables_made_by
from tcell_assets.targets import known_targets, names_of

if TYPE_CHECKING:
    import pandas as pd

OWNERS = ["team:screening"]


@table_asset("metabolite_scores", owners=OWNERS, output_required=False)
def metabolite_scores(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_predictions: Mapping[str, Frame],
    dmso_distances: Mapping[str, Frame],
    hit_calls: Frame,
) -> Iterator[TableResult]:
    """Mean, standard deviation and number of each metabolite's distances and predicted activation, best hit first.

    Where no metabolite has replicates that can be compared, the mean distance to DMSO ranks instead, and says so.
    """
    from tcell_assets.exports.hits import calls_shown
    from tcell_assets.science.screen.metabolite_scores import score_metabolites

    if is_left_out(context, storage):
        return
    lineage, scored = scored_with_one_model(context, storage, "dmso_distances")
    require_model(storage, "hit_calls", [None], lineage.model_version)
    hits = calls_shown(hit_calls)
    comparable = bool(hits["p_replicate"].notna().any())
    if not comparable:
        context.log.warning(
            "no metabolite has usable replicates that can be compared, so metabolites are ranked by their mean "
            "distance to DMSO; that is no evidence of an effect"
        )
    distances = stacked(dmso_distances, scored)
    scores = score_metabolites(
        stacked(well_metadata, scored),
        stacked(well_predictions, scored),
        distances,
        usable=distances.set_index("well_id")["qc_pass"],
        hits=hits if comparable else None,
    )
    yield table_result(
        "metabolite_scores",
        scores.assign(
            hit_class=scores["metabolite"].map(hits.set_index("metabolite")["hit_class"]),
            ranked_by="hit_calls" if comparable else "mean_euclidean",
            model_version=lineage.model_version,
        ),
        {"batches": ", ".join(scored), "metabolites": len(scores), "preview": preview(scores, 20)},
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@table_asset("gene_importance_ranking", owners=OWNERS, output_required=False)
def gene_importance_ranking(
    context: dg.AssetExecutionContext, storage: Storage, gene_importance: Mapping[str, Frame]
) -> Iterator[TableResult]:
    """The well-weighted mean of the batches' gene importance: the published global formula."""
    from tcell_assets.science.model.gene_importance import rank_genes

    if is_left_out(context, storage):
        return
    lineage, scored = scored_with_one_model(context, storage, "gene_importance")
    ranking = rank_genes({batch: gene_importance[batch] for batch in scored})
    yield table_result(
        "gene_importance_ranking",
        ranking,
        {
            "batches": ", ".join(scored),
            "head": str(ranking["head"].iloc[0]),
            "preview": preview(ranking, 20),
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


def reason_without_model(storage: Storage) -> str | None:
    """Return why tables that rest on a model cannot be made, or None where a model is current or has scored a batch."""
    lake = storage.lake()
    if storage.models().current() is not None or lake.batches("latent_embeddings"):
        return None
    names = names_of(known_targets())
    known = [lake.read("well_metadata", batch, names) for batch in lake.batches("well_metadata")]
    if any(targets.notna().any(axis=None) for targets in known):
        return "no model is trained yet; `tcell train` makes one, `tcell score` uses it"
    return (
        "there is no model, and no batch has phenotype scores to train one on "
        f"(targets.csv with {', '.join(names)})"
    )


def is_left_out(context: dg.AssetExecutionContext, storage: Storage) -> bool:
    """Return whether a table that rests on a model is left out of this run, and say so in its log."""
    reason = reason_without_model(storage)
    if reason is not None:
        context.log.warning(f"left out: {reason}")
    return reason is not None


def batches_to_sum_up(
    context: dg.AssetExecutionContext, storage: Storage, scored_table: str, ingested_table: str
) -> tuple[Lineage | None, list[str]]:
    """Return the batches that one model scored with the lineage of one; without a model, all ingested batches.

    Raises:
        dagster.Failure: Nothing is ingested, or a model is there and has scored nothing; see `scored_with_one_model`.
    """
    if reason_without_model(storage) is None:
        return scored_with_one_model(context, storage, scored_table)
    ingested = storage.lake().batches(ingested_table)
    if not ingested:
        raise dg.Failure(
            f"{ingested_table}: no batch is there. Run the ingest job for the batches first.",
            allow_retries=False,
        )
    reads = reads_now()
    if reads is not None:
        reads.sums_up(scored_table, [])
        reads.sums_up(ingested_table, ingested)
    return None, ingested


def scored_with_one_model(
    context: dg.AssetExecutionContext, storage: Storage, asset: str
) -> tuple[Lineage, list[str]]:
    """Return the batches of `asset` that one model made, and the lineage of one of them.

    Latents and gradients of two models cannot be compared. While a new model is rolled over old batches the current
    model's count, and the others are named in the log.

    Raises:
        dagster.Failure: Nothing is scored, or several models scored and none of them is current.
    """
    tables = scored_tables_of_run(context.run.run_id, storage.lake())
    lineages = tables[asset]
    versions = {str(lineage.model_version) for lineage in lineages.values()}
    version = storage.models().current() if len(versions) > 1 else next(iter(versions), None)
    scored = [batch for batch, lineage in lineages.items() if lineage.model_version == version]
    if not scored:
        raise dg.Failure(
            f"{asset}: no batch is scored by the current model ({version}); models found: "
            f"{', '.join(sorted(versions)) or 'none'}. Run the score job for the batches first."
        )
    if len(scored) < len(lineages):
        context.log.warning(
            f"scored by another model than {version}, left out: {sorted(set(lineages) - set(scored))}"
        )
    reads = reads_now()
    if reads is not None:
        reads.sums_up(asset, scored)
    return lineages[scored[0]], scored


def scored_tables_of_run(run_id: str, lake: Lake) -> Mapping[str, Mapping[str, Lineage]]:
    """Return the footers of all tables of scored and attributed batches, as the run's first step found them.

    A batch that is scored while the screen is summed up would else stand in one table and not in the next.
    """
    return fixed_for_run(
        run_id,
        lambda: {
            asset: {batch: lake.lineage(asset, batch) for batch in lake.batches(asset)}
            for asset in tables_made_by(SCORE, ATTRIBUTE)
        },
    )


def require_model(
    storage: Storage, asset: str, batches: Sequence[str] | Sequence[None], version: str | None
) -> None:
    """Refuse tables of another model; `[None]` asks of a screen table.

    Raises:
        dagster.Failure: A table was made by another model.
    """
    for batch in batches:
        found = storage.lake().lineage(asset, batch).model_version
        if found != version:
            raise dg.Failure(
                f"{asset}{f' of batch {batch}' if batch else ''} was made by model {found}, the tables beside it by "
                f"{version}. Run the {'score job for the batch' if batch else 'whole screen job'} again.",
                allow_retries=False,
            )


def stacked(
    tables: Mapping[str, Frame], batches: Sequence[str], join: Literal["inner", "outer"] = "outer"
) -> "pd.DataFrame":
    """Return the tables of these batches as one; `inner` keeps the columns, such as genes, that all of them have.

    Raises:
        dagster.Failure: A batch lacks its table.
    """
    import pandas as pd

    missing = sorted(set(batches) - set(tables))
    if missing:
        raise dg.Failure(
            f"{', '.join(missing)}: a table is not there, see the log above for which. Run the ingest and score jobs "
            "for these batches first.",
            allow_retries=False,
        )
    joined: pd.DataFrame = pd.concat([tables[batch] for batch in batches], ignore_index=True, join=join)
    return joined
