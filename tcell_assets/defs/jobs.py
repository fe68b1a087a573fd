"""The jobs people, schedules and sensors launch: ingest and score a batch, train, sum up the screen."""

from __future__ import annotations

import dagster as dg

INTEGRATED_GRADIENTS = ("integrated_gradients", "attributed_wells", "gene_attributions")
# Screen tables made from Integrated Gradients, and so only where those were asked for.
EXPLANATIONS = ("integrated_gradients_ranking", "hit_drivers", "gene_set_enrichment")

# Every job runs in the process of its run. Steps on a forkserver that preloads torch took the score job of one batch
# 2.5 times as long (`benchmarks/operations.py`), and they outlive a killed run and write beside its retry.
# An unpartitioned asset in a job launched with a batch would run again for every batch, so training and the screen
# tables are jobs of their own.
ingest_job = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.groups("ingest")
    | dg.AssetSelection.assets("well_qc", "plate_qc", "position_audit", "adjusted_expression"),
    executor_def=dg.in_process_executor,
    description="Read and check one batch folder, then judge its wells, plates and layout.",
)
train_job = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.assets("trained_model", "training_history"),
    executor_def=dg.in_process_executor,
    description="Train a model on every ingested batch that has targets.",
)
score_job = dg.define_asset_job(
    "score",
    # A report takes 5 MB a batch, Integrated Gradients 50 times the scoring: both for those who ask for them.
    selection=dg.AssetSelection.groups("scoring")
    - dg.AssetSelection.assets("batch_report", *INTEGRATED_GRADIENTS),
    executor_def=dg.in_process_executor,
    description="Predict, embed and attribute one batch with the current model, and measure distances to DMSO.",
)
ingest_and_score_job = dg.define_asset_job(
    "ingest_and_score",
    selection=ingest_job.selection | score_job.selection,
    executor_def=dg.in_process_executor,
    description="Read and check one batch folder and score it with the current model, in one run.",
)
report_job = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets("batch_report"),
    executor_def=dg.in_process_executor,
    description="Write the report on one batch, as an HTML file.",
)
evaluate_job = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(
        "evaluation_predictions", "model_evaluation", "model_comparison", "prediction_intervals"
    ),
    executor_def=dg.in_process_executor,
    description="Train the current model's settings and every plainer model on folds of the screen, and compare them.",
)
ensemble_job = dg.define_asset_job(
    "ensemble",
    selection=dg.AssetSelection.assets("ensemble_members", "importance_stability"),
    executor_def=dg.in_process_executor,
    description="Train the current model again from other seeds, for the standard deviation of its predictions and of "
    "its gene importance.",
)
attribute_job = dg.define_asset_job(
    "attribute",
    selection=dg.AssetSelection.assets(*INTEGRATED_GRADIENTS),
    executor_def=dg.in_process_executor,
    description="Integrated Gradients of one batch with the current model; costs about 50 times its scoring.",
)
explain_job = dg.define_asset_job(
    "explain",
    selection=dg.AssetSelection.assets(*EXPLANATIONS),
    executor_def=dg.in_process_executor,
    description="Sum Integrated Gradients up over the screen: gene ranking, drivers of hits, gene sets.",
)
screen_job = dg.define_asset_job(
    "screen",
    selection=dg.AssetSelection.groups("screen") - dg.AssetSelection.assets(*EXPLANATIONS)
    | dg.AssetSelection.assets("screen_position_audit", "design_audit", "plate_similarity"),
    executor_def=dg.in_process_executor,
    description="Judge the layout of the whole screen, and sum up metabolites and genes over all scored batches.",
)

JOBS = (
    ingest_job,
    score_job,
    ingest_and_score_job,
    train_job,
    evaluate_job,
    ensemble_job,
    attribute_job,
    explain_job,
    report_job,
    screen_job,
)
