"""The jobs people, schedules and sensors launch: ingest and score a batch, train, sum up the screen."""

from __future__ import annotations

import dagster as dg

# An unpartitioned asset in a job launched with a batch would run again for every batch, so training and the screen
# tables are jobs of their own.
ingest_job = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.groups("ingest"),
    executor_def=dg.in_process_executor,
    description="Read and check one batch folder: well metadata and expression matrix.",
)
train_job = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups("model"),
    executor_def=dg.in_process_executor,
    description="Train a model on every ingested batch that has targets.",
)
score_job = dg.define_asset_job(
    "score",
    selection=dg.AssetSelection.groups("scoring"),
    executor_def=dg.in_process_executor,
    description="Predict, embed and attribute one batch with the current model, and measure distances to DMSO.",
)
screen_job = dg.define_asset_job(
    "screen",
    selection=dg.AssetSelection.groups("screen"),
    executor_def=dg.in_process_executor,
    description="Sum up metabolites and genes over all scored batches.",
)

JOBS = (ingest_job, train_job, score_job, screen_job)
