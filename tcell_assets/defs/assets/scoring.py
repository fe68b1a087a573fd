"""Scores a batch with the current model: predictions, latents and gene importance in one pass, then DMSO distances."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tcell_assets.defs.assets.model_input import load_fit, scoring_input
from tcell_assets.defs.assets.uncertainty import with_uncertainty
from tcell_assets.defs.checks import (
    SCORING_CHECKS,
    model_skill_check,
    new_data_checks,
    scored_by_current_check,
    selected,
)
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import TableResult, preview, table_asset, table_out, table_result
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import GPU_OP_TAGS, GPU_POOL, Storage, TransformerCompute
from tcell_assets.installation.progress import progress_of
from tcell_assets.lake.staleness import BATCH_HASH
from tcell_assets.science.model.settings import ScoringSettings
from tcell_assets.science.screen.settings import DistanceSettings
from tcell_assets.targets import known_with, names_of

OWNERS = ["team:computational-biology"]

# What was learnt of the model's uncertainty (`ensemble_members`, `prediction_intervals`) is added to its predictions
# where it is there. As dependencies the two would have the UI ask "are you sure" of each scoring before the first
# evaluation; the footer of `well_predictions` names them all the same.
SCORED_FROM = ("trained_model", "expression_matrix", "count_matrix", "well_metadata", "well_qc")


@dg.multi_asset(
    name="score_wells",
    outs={
        asset: table_out(asset, __name__, OWNERS)
        for asset in ("well_predictions", "latent_embeddings", "gene_importance")
    },
    check_specs=SCORING_CHECKS,
    deps=SCORED_FROM,
    partitions_def=screening_batches,
    can_subset=True,
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def score_wells(
    context: dg.AssetExecutionContext,
    config: Launchpad[ScoringSettings],
    storage: Storage,
    compute: TransformerCompute,
) -> Iterator[TableResult | dg.AssetCheckResult]:
    """Run the network once over a batch: forward for predictions and latents, backward only for gene importance."""
    from tcell_assets.science.conditions import is_empty
    from tcell_assets.science.evaluation.skill import load_skill
    from tcell_assets.science.model.gene_summary import load_reference
    from tcell_assets.science.model.new_data import examine_new_data
    from tcell_assets.science.model.scoring import resolve_head, with_unexplained_wells
    from tcell_assets.science.model.trained_model import load_model

    settings, lake, models = config.settings(), storage.lake(), storage.models()
    batch = context.partition_key
    outputs = context.op_execution_context.selected_output_names
    folder = models.folder(models.resolve(settings.model_version))
    model = load_model(folder)
    head = resolve_head(model, settings.importance_head) if "gene_importance" in outputs else None
    measured, expression = scoring_input(lake, batch, model.genes, load_fit(folder))
    metadata = lake.read("well_metadata", batch)
    holds_nothing = expression.index.isin(metadata.loc[is_empty(metadata), "well_id"])
    treated = expression[~holds_nothing] if holds_nothing.any() else expression
    # Predictions are those of the model's targets, whether or not they are still declared.
    targets = known_with(model.targets)
    wells = metadata.reindex(columns=["well_id", "metabolite", "is_dmso", *names_of(targets)]).merge(
        lake.read("well_qc", batch, ["well_id", "qc_pass"]), on="well_id", validate="one_to_one"
    )
    usable_dmso = wells.set_index("well_id")[["is_dmso", "qc_pass"]].all(axis=1)
    yield from new_data_checks(
        context,
        examine_new_data(
            model,
            load_reference(folder),
            measured,
            treated,
            usable_dmso,
            settings.drift_threshold,
            settings.drift_blocks,
        ),
    )
    with progress_of(context.log.info, f"scoring {batch}", len(expression), "wells") as bar:
        scores = compute.score(model, treated, head, bar.wells_done)
        if holds_nothing.any():
            others = compute.score(model, expression[holds_nothing])
            scores = with_unexplained_wells(scores, others, expression.index.tolist())

    skill, doubt = load_skill(folder), {}
    if skill is not None and skill.is_none:
        doubt = {"headline": f"{model.version}, which made these, was {skill.sentence}"}
        context.log.warning(doubt["headline"])
    provenance: dict[str, Any] = {"model_version": model.version, "training_batches": model.batch_hashes}
    shown = {
        "device": compute.resolve().device,
        "precision": compute.resolve().precision,
        BATCH_HASH: lake.batch_hash(batch),
    }
    if "well_predictions" in outputs:
        sure = with_uncertainty(scores.predictions, model, batch, storage, compute, context.log.info)
        predictions = wells.merge(sure, on="well_id", validate="one_to_one")
        yield table_result(
            "well_predictions",
            predictions,
            {
                **doubt,
                **shown,
                **{f"wells_{split}": int(n) for split, n in predictions["split"].value_counts().items()},
                **{
                    f"mean_{target.prediction}": float(predictions[target.prediction].mean())
                    for target in targets
                    if target.is_binary and target.prediction in predictions
                },
                "preview": preview(predictions),
            },
            targets=targets,
            **provenance,
        )
        yield from selected(context, scored_by_current_check(model.version, models.current()))
        yield from selected(context, model_skill_check(model.version, skill))
    if "latent_embeddings" in outputs:
        yield table_result(
            "latent_embeddings",
            scores.latents,
            {**shown, "mean_latent_norm": float(scores.latents["latent_norm"].mean())},
            **provenance,
        )
    if "gene_importance" in outputs and scores.importance is not None:
        yield table_result(
            "gene_importance",
            scores.importance,
            {
                **shown,
                "head": str(head),
                "preview": preview(scores.importance.nlargest(20, "importance"), 20),
            },
            **provenance,
        )


@table_asset(
    "dmso_distances",
    partitions_def=screening_batches,
    deps=["trained_model"],
    owners=OWNERS,
)
def dmso_distances(
    context: dg.AssetExecutionContext,
    config: Launchpad[DistanceSettings],
    storage: Storage,
    well_metadata: Frame,
    well_qc: Frame,
    latent_embeddings: Frame,
) -> TableResult:
    """Distances of each well's latent to the centre of the DMSO wells."""
    import pandas as pd

    from tcell_assets.science.model.trained_model import load_model
    from tcell_assets.science.screen.distances import dmso_distances as distances_to_dmso

    settings, lake = config.settings(), storage.lake()
    lineage = lake.lineage("latent_embeddings", context.partition_key)
    wells, latents, quality = well_metadata, latent_embeddings, well_qc
    if settings.reference == "screen":
        batches = lake.scored_by("latent_embeddings", str(lineage.model_version))
        if lake.reads is not None:
            lake.reads.sums_up("latent_embeddings", batches)
        wells = pd.concat([lake.read("well_metadata", batch) for batch in batches], ignore_index=True)
        latents = pd.concat([lake.read("latent_embeddings", batch) for batch in batches], ignore_index=True)
        quality = pd.concat([lake.read("well_qc", batch) for batch in batches], ignore_index=True)
    model = load_model(storage.models().folder(str(lineage.model_version)))
    distances = distances_to_dmso(
        latents,
        wells,
        settings.reference,
        training_latent_mean=model.training_latent_mean,
        usable=quality.set_index("well_id")["qc_pass"],
        leave_one_out=settings.leave_one_out,
        rows=well_metadata["well_id"].tolist(),
    )
    frame = well_metadata[["well_id", "metabolite", "is_dmso"]].merge(
        distances, on="well_id", validate="one_to_one"
    )
    frame = frame.merge(well_qc[["well_id", "qc_pass"]], on="well_id", validate="one_to_one")
    return table_result(
        "dmso_distances",
        frame.assign(model_version=lineage.model_version),
        {
            BATCH_HASH: lake.batch_hash(context.partition_key),
            "reference_scope": settings.reference,
            "reference_size": int(frame["reference_size"].max()),
            "median_euclidean": float(frame.loc[~frame["is_dmso"], "euclidean"].median()),
            "median_euclidean_dmso": float(frame.loc[frame["is_dmso"], "euclidean"].median()),
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )
