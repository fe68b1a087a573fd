"""The jobs people, schedules and sensors launch, one a stage: ingest and score a batch, train, sum up the screen.

A job makes the assets that bear its stage's tag; which these are stands beside each table (`lake/tables`).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from tcell_assets.defs.metadata import STAGE_TAG
from tcell_assets.defs.resources import GPU_RUN_TAGS
from tcell_assets.lake import stages
from tcell_assets.lake.stages import Stage


# Every job runs in the process of its run. Steps on a forkserver that preloads torch took the score job of one batch
# 2.5 times as long (`benchmarks/operations.py`), and they outlive a killed run and write beside its retry.
# An unpartitioned asset in a job launched with a batch would run again for every batch, so training and the screen
# tables are jobs of their own.
def _job(
    stage: Stage, description: str, config: dict[str, Any] | None = None, runs_network: bool = False
) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        stage.name,
        selection=dg.AssetSelection.tag(STAGE_TAG, stage.name),
        executor_def=dg.in_process_executor,
        description=description,
        config=config,
        run_tags=GPU_RUN_TAGS if runs_network else None,
    )


ingest_job = _job(stages.INGEST, "Read and check one batch folder, then judge its wells, plates and layout.")
# The Launchpad is filled in with it. `tcell train` and whoever asks for nothing keep the published set-up.
train_job = _job(
    stages.TRAIN,
    "Train a model on every ingested batch that has targets.",
    {"ops": {"train_model": {"config": {"preset": "recommended"}}}},
    runs_network=True,
)
score_job = _job(
    stages.SCORE,
    "Predict, embed and attribute one batch with the current model, and measure distances to DMSO.",
    runs_network=True,
)
ingest_and_score_job = dg.define_asset_job(
    "ingest_and_score",
    selection=ingest_job.selection | score_job.selection,
    executor_def=dg.in_process_executor,
    description="Read and check one batch folder and score it with the current model, in one run.",
    run_tags=GPU_RUN_TAGS,
)
report_job = _job(stages.REPORT, "Write the report on one batch, as an HTML file.")
evaluate_job = _job(
    stages.EVALUATE,
    "Train the current model's settings and every plainer model on folds of the screen, and compare them.",
    runs_network=True,
)
ensemble_job = _job(
    stages.ENSEMBLE,
    "Train the current model again from other seeds, for the standard deviation of its predictions and of its gene "
    "importance.",
    runs_network=True,
)
attribute_job = _job(
    stages.ATTRIBUTE,
    "Integrated Gradients of one batch with the current model; costs about 50 times its scoring.",
    runs_network=True,
)
explain_job = _job(
    stages.EXPLAIN, "Sum Integrated Gradients up over the screen: gene ranking, drivers of hits, gene sets."
)
screen_job = _job(
    stages.SCREEN,
    "Judge the layout of the whole screen, and sum up metabolites and genes over all scored batches.",
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
