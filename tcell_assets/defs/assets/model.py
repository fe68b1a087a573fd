"""Trains the model on every batch that has targets, and keeps it with all that is needed to use it again."""

from collections.abc import Iterator
from typing import Any, Literal

import dagster as dg
from pydantic import Field
from upath import UPath

from tcell_assets.defs.assets.model_input import save_fit, training_input, training_reference
from tcell_assets.defs.checks import (
    PROMOTION_CHECKS,
    promote_candidate,
    promotion_checks,
    report_stale_predictions,
)
from tcell_assets.defs.metadata import picture, preview, sparkline, stage_tag, table_arguments, table_result
from tcell_assets.defs.resources import GPU_OP_TAGS, GPU_POOL, Storage, TransformerCompute
from tcell_assets.installation.progress import progress_of
from tcell_assets.lake import stages
from tcell_assets.science.model.settings import TrainingSettings, settings_for_preset

MODEL = "model"
HELD_OUT_ACCURACY = "held_out_accuracy"
OWNERS = ["team:computational-biology"]


class TrainingConfig(dg.Config):
    """Hyper-parameters of a training run. A field left empty takes the preset's value."""

    preset: Literal["published", "recommended"] = Field(
        default="published",
        description="published: the set-up of the publication. recommended: z-scored input, a linear path beside the "
        "Transformer that starts from ridge regression, and early stopping on an inner split; see "
        "docs/training_presets.md for the comparison.",
    )
    epochs: int | None = Field(
        default=None, ge=1, description="passes over the training wells (published: 50)"
    )
    batch_size: int | None = Field(default=None, ge=1, description="wells an optimizer step (published: 32)")
    learning_rate: float | None = Field(
        default=None, gt=0, description="AdamW step size (published: 0.001, recommended: 0.0001)"
    )
    weight_decay: float | None = Field(default=None, ge=0, description="AdamW weight decay (published: 0.01)")
    activation_weight: float | None = Field(
        default=None, ge=0, description="weight of the legacy activation score in the loss (published: 0.2)"
    )
    validation_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="share of wells held out, stratified by label (published: 0.2)"
    )
    seed: int = Field(
        default=614, ge=0, description="seeds the split, the weights, the order of wells and dropout"
    )
    use_zscore: bool | None = Field(
        default=None,
        description="scale each gene by the training wells' mean and sd; the scaler is part of the model",
    )
    patience: int | None = Field(
        default=None,
        ge=0,
        description="epochs without a better loss after which training stops; 0 never stops early",
    )
    inner_fraction: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of the training wells that chooses the best epoch (recommended: 0.1); 0 lets the held-out "
        "wells choose, as published",
    )
    d_model: int | None = Field(default=None, ge=1, description="width of a gene's token (published: 128)")
    heads: int | None = Field(
        default=None, ge=1, description="attention heads; divides d_model (published: 4)"
    )
    layers: int | None = Field(default=None, ge=1, description="encoder layers (published: 2)")
    feed_forward: int | None = Field(
        default=None, ge=1, description="width of the feed-forward part (published: 512)"
    )
    dropout: float | None = Field(default=None, ge=0, lt=1, description="dropout (published: 0.1)")
    linear_path: bool | None = Field(
        default=None, description="add a linear map of the expression to the latent, beside the Transformer"
    )
    linear_start: Literal["as_preset", "zero", "ridge"] = Field(
        default="as_preset",
        description="what the linear path starts from: zero, or a ridge regression on the training wells",
    )
    attention: Literal["as_preset", "full", "induced"] = Field(
        default="as_preset",
        description="full compares all pairs of genes; induced costs time linear in the genes",
    )

    n_genes: int | None = Field(
        default=None,
        ge=1,
        description="of batches that landed as counts, model the genes that vary most over the training wells "
        "(default: 2541, the published number); landed VST is modelled whole",
    )
    compare_with_linear: bool = Field(
        default=False,
        description="fit ridge and logistic regression on the same split and show their held-out accuracy beside the "
        "model's; minutes on a large screen",
    )
    validation_tolerance: float = Field(
        default=0.05,
        ge=0,
        description="the model becomes current unless its validation loss exceeds the current model's by more than "
        "this share",
    )

    def settings(self) -> TrainingSettings:
        """Return the validated training settings.

        Raises:
            SettingsError: Two values contradict each other, e.g. heads does not divide d_model.
        """
        values = self.model_dump(
            exclude={"preset", "validation_tolerance", "n_genes", "compare_with_linear"}, exclude_none=True
        )
        chosen = {name: value for name, value in values.items() if value != "as_preset"}
        return settings_for_preset(self.preset, **chosen)


@dg.multi_asset(
    name="train_model",
    outs={
        "trained_model": dg.AssetOut(
            dagster_type=dg.Nothing,
            description="The multi-task Transformer: weights, configuration, genes, scaler, split, versions and the "
            "content hash of each batch it was trained on, in `storage/models/<version>/`.",
            group_name=MODEL,
            kinds={"pytorch"},
            tags=stage_tag(stages.TRAIN),
            owners=OWNERS,
            code_version="1",
        ),
        "training_history": dg.AssetOut(
            group_name=MODEL, owners=OWNERS, **table_arguments("training_history")
        ),
    },
    check_specs=PROMOTION_CHECKS,
    deps=["well_metadata", "expression_matrix", "count_matrix", "well_qc"],
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def train_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    storage: Storage,
    compute: TransformerCompute,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Train on every ingested batch that has targets; batches without are named in the log."""
    from tcell_assets.science.figures import loss_curve
    from tcell_assets.science.model.gene_summary import save_reference
    from tcell_assets.science.model.trained_model import save_model
    from tcell_assets.science.well_join import some_names

    settings = config.settings()
    lake, models = storage.lake(), storage.models()
    data, fit, not_trained_on = training_input(lake, settings, config.n_genes)
    if not_trained_on:
        context.log.info(f"no usable well with a target, so not trained on: {', '.join(not_trained_on)}")
    if data.genes_left_out:
        context.log.warning(
            f"{len(data.genes_left_out)} genes are not in every batch and are left out: "
            f"{some_names(data.genes_left_out, 20)}"
        )
    context.log.info(
        f"training on {len(data.wells)} wells × {len(data.genes)} genes of {', '.join(data.batch_hashes)}"
    )

    with progress_of(context.log.info, "training", settings.epochs, "epochs") as bar:
        model = compute.train(data, settings, storage.local_folder("checkpoints"), bar.training)

    reference = training_reference(data, model)

    def save(folder: UPath) -> None:
        save_reference(reference, folder)
        if fit is not None:
            save_fit(fit, folder)
        save_model(model, folder)

    checks = promotion_checks(models, model, data, compute, config.validation_tolerance)
    folder = models.add(model.version, save)
    promoted = promote_candidate(models, model.version, checks)
    context.log.info(promoted)
    report_stale_predictions(context.instance, lake, str(models.current()))
    yield from checks
    accuracy: dict[str, Any] = {}
    if config.compare_with_linear:
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
            "model_version": model.version,
            "folder": dg.MetadataValue.path(str(folder)),
            "promotion": promoted,
            "training_batches": dg.MetadataValue.json(dict(data.batch_hashes)),
            "wells": len(data.wells),
            "genes": len(data.genes),
            "genes_left_out": dg.MetadataValue.json(list(data.genes_left_out)),
            "trained_heads": ", ".join(model.trained_heads),
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
        model_version=model.version,
        training_batches=data.batch_hashes,
    )
