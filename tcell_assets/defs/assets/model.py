"""Trains the model on every batch that has targets, and keeps it with all that is needed to use it again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from tcell_assets.defs.assets.model_input import save_fit, training_input, training_reference
from tcell_assets.defs.checks import (
    PROMOTION_CHECKS,
    promote_candidate,
    promotion_checks,
    report_stale_predictions,
)
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import (
    TableResult,
    group_of,
    picture,
    preview,
    sparkline,
    stage_tag,
    table_arguments,
    table_result,
)
from tcell_assets.defs.resources import GPU_OP_TAGS, GPU_POOL, Storage, TransformerCompute
from tcell_assets.installation.progress import progress_of
from tcell_assets.lake import stages
from tcell_assets.science.model.settings import TrainingRequest
from tcell_assets.targets import names_of

if TYPE_CHECKING:
    from upath import UPath

HELD_OUT_ACCURACY = "held_out_accuracy"
OWNERS = ["team:computational-biology"]


@dg.multi_asset(
    name="train_model",
    outs={
        "trained_model": dg.AssetOut(
            group_name=group_of(__name__),
            dagster_type=dg.Nothing,
            description="The multi-task Transformer: weights, configuration, genes, scaler, split, versions and the "
            "content hash of each batch it was trained on, in `storage/models/<version>/`.",
            kinds={"pytorch"},
            tags=stage_tag(stages.TRAIN),
            owners=OWNERS,
            code_version="1",
        ),
        "training_history": dg.AssetOut(
            group_name=group_of(__name__), owners=OWNERS, **table_arguments("training_history")
        ),
    },
    check_specs=PROMOTION_CHECKS,
    deps=["well_metadata", "expression_matrix", "count_matrix", "well_qc"],
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def train_model(
    context: dg.AssetExecutionContext,
    config: Launchpad[TrainingRequest],
    storage: Storage,
    compute: TransformerCompute,
) -> Iterator[TableResult | dg.AssetCheckResult]:
    """Train on every ingested batch that has targets; batches without are named in the log."""
    from tcell_assets.science.evaluation.skill import held_out_skill, save_skill
    from tcell_assets.science.figures import loss_curve
    from tcell_assets.science.model.gene_summary import save_reference
    from tcell_assets.science.model.trained_model import save_model
    from tcell_assets.science.well_join import some_names

    request = config.settings()
    settings = request.training
    lake, models = storage.lake(), storage.models()
    data, fit, not_trained_on = training_input(lake, settings, request.n_genes)
    if not_trained_on:
        context.log.info(f"no usable well with a target, so not trained on: {', '.join(not_trained_on)}")
    if data.genes_left_out:
        context.log.warning(
            f"{len(data.genes_left_out)} genes are not in every batch and are left out: "
            f"{some_names(data.genes_left_out, 20)}"
        )
    context.log.info(f"training on {', '.join(data.batch_hashes)}")
    with progress_of(context.log.info, "training", settings.epochs, "epochs") as bar:
        bar.say(compute.expect(data, settings).line())
        model = compute.train(data, settings, storage.local_folder("checkpoints"), bar.training)

    untrained = [name for name in names_of(model.targets) if name not in model.trained_heads]
    if untrained:
        context.log.warning(
            f"not learnt, as no training well has a value or their weight in the loss is 0: {', '.join(untrained)}"
        )
    reference = training_reference(data, model)
    skill = held_out_skill(model, data, compute.score)
    if skill.is_none:
        context.log.warning(f"{model.version} is {skill.sentence}")

    def save(folder: "UPath") -> None:
        save_reference(reference, folder)
        save_skill(skill, folder)
        if fit is not None:
            save_fit(fit, folder)
        save_model(model, folder)

    checks = promotion_checks(models, model, data, compute, request.validation_tolerance, skill)
    folder = models.add(model.version, save)
    promoted = promote_candidate(models, model.version, checks, request.promote_without_skill)
    context.log.info(promoted)
    report_stale_predictions(context.instance, lake, models, str(models.current()))
    yield from checks
    accuracy: dict[str, Any] = {}
    if request.compare_with_linear:
        table = compute.compare_with_linear_baselines(data, model)
        accuracy = {
            HELD_OUT_ACCURACY: dg.MetadataValue.json(table.to_dict("records")),
            "held_out_accuracy_table": preview(table),
        }
    history = model.history
    best = history[history["is_best"]].set_index("split")["total"].to_dict()
    figure = loss_curve(history)
    yield dg.MaterializeResult(
        asset_key="trained_model",
        data_version=dg.DataVersion(model.version),
        metadata={
            "headline": f"{model.version} is {skill.sentence}",
            "model_version": model.version,
            "folder": dg.MetadataValue.path(str(folder)),
            "promotion": promoted,
            "training_batches": dg.MetadataValue.json(dict(data.batch_hashes)),
            "wells": len(data.wells),
            "genes": len(data.genes),
            "genes_left_out": dg.MetadataValue.json(list(data.genes_left_out)),
            "trained_heads": ", ".join(model.trained_heads),
            "untrained_heads": ", ".join(untrained) or "none",
            "best_epoch": model.best_epoch,
            "epochs": int(history["epoch"].max()),
            "training_loss": float(best["train"]),
            "validation_loss": float(best["val"]),
            "validation_losses": sparkline(
                history.loc[history["split"] == "val", "total"].tolist(), "validation loss"
            ),
            "device": model.compute.device,
            "precision": model.compute.precision,
            "compute_reason": model.compute.reason,
            "loss_curve": picture(figure.thumbnail),
            **accuracy,
        },
    )
    yield table_result(
        "training_history",
        history,
        {"best_epoch": model.best_epoch, "loss_curve": picture(figure.thumbnail)},
        targets=model.targets,
        model_version=model.version,
        training_batches=data.batch_hashes,
    )
