"""What the whole screen says: metabolites and genes over all batches."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from tcell_assets.io_managers import Frame
from tcell_assets.lake.store import Lineage
from tcell_assets.metadata import preview, table_arguments, table_result
from tcell_assets.resources import Storage

SCREEN = "screen"
OWNERS = ["team:screening"]


@dg.asset(
    group_name=SCREEN,
    owners=OWNERS,
    **table_arguments("metabolite_scores"),
)
def metabolite_scores(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_predictions: Mapping[str, Frame],
    dmso_distances: Mapping[str, Frame],
) -> dg.MaterializeResult[Any]:
    """Mean, standard deviation and number of each metabolite's distances and predicted activation."""
    import pandas as pd

    from tcell_assets.science.metabolite_scores import score_metabolites

    lineage, scored = scored_with_one_model(context, storage, "dmso_distances")
    distances = pd.concat([dmso_distances[batch] for batch in scored], ignore_index=True)
    scores = score_metabolites(
        pd.concat([well_metadata[batch] for batch in scored], ignore_index=True),
        pd.concat([well_predictions[batch] for batch in scored], ignore_index=True),
        distances,
        usable=distances.set_index("well_id")["qc_pass"],
    )
    return table_result(
        "metabolite_scores",
        scores.assign(model_version=lineage.model_version),
        {"batches": ", ".join(scored), "metabolites": len(scores), "preview": preview(scores, 20)},
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@dg.asset(
    group_name=SCREEN,
    owners=OWNERS,
    **table_arguments("gene_importance_ranking"),
)
def gene_importance_ranking(
    context: dg.AssetExecutionContext, storage: Storage, gene_importance: Mapping[str, Frame]
) -> dg.MaterializeResult[Any]:
    """The well-weighted mean of the batches' gene importance: the published global formula."""
    from tcell_assets.science.gene_importance import rank_genes

    lineage, scored = scored_with_one_model(context, storage, "gene_importance")
    ranking = rank_genes({batch: gene_importance[batch] for batch in scored})
    return table_result(
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


def scored_with_one_model(
    context: dg.AssetExecutionContext, storage: Storage, asset: str
) -> tuple[Lineage, list[str]]:
    """Return the batches of `asset` that one model made, and the lineage of one of them.

    Latents and gradients of two models cannot be compared. While a new model is rolled over old batches the current
    model's count, and the others are named in the log.

    Raises:
        dagster.Failure: Nothing is scored, or several models scored and none of them is current.
    """
    lineages = {batch: storage.lake().lineage(asset, batch) for batch in storage.lake().batches(asset)}
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
    return lineages[scored[0]], scored
