"""Sensors: new plates are ingested and scored, the screen is summed up after that, the run history stays small."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from tcell_assets.defs.jobs import ingest_and_score_job, ingest_job, screen_job
from tcell_assets.defs.partitions import PARTITION_TAG, SCREENING_BATCHES, screening_batches
from tcell_assets.defs.resources import LandingZone, Storage
from tcell_assets.defs.run_history import plan_sweep, sweep
from tcell_assets.defs.runs import NOT_FINISHED
from tcell_assets.installation.configuration import OperationSettings
from tcell_assets.installation.operations import Known, find_arrivals
from tcell_assets.lake.judge import Judge

CONTENT_TAG = "tcell/content"
SWEEP_EVERY_SECONDS = 86_400
# A sensor may take 60 s; what is left then is taken out at the next look.
SWEEP_SECONDS = 20.0
SWEEP_LOOK_SECONDS = 600


def build_sensors(settings: OperationSettings) -> list[dg.SensorDefinition]:
    """Return the sensors of an installation."""
    running = dg.DefaultSensorStatus.RUNNING if settings.new_plates else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        jobs=[ingest_and_score_job, ingest_job],
        minimum_interval_seconds=settings.look_every_seconds,
        default_status=running,
        description="Ingests and scores a batch folder of data/ when it is complete and its content is new.",
    )
    def new_plates(
        context: dg.SensorEvaluationContext, landing_zone: LandingZone, storage: Storage
    ) -> dg.SensorResult:
        found = find_arrivals(
            Path(landing_zone.folder), storage.lake(), read_cursor(context.cursor), settings, time.time()
        )
        lost = lost_partitions(context.instance, storage)
        # Nothing can be scored before the first model; the nightly run scores such batches later.
        job = ingest_and_score_job if storage.models().current() else ingest_job
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=arrival.run_key,
                    job_name=job.name,
                    partition_key=arrival.batch,
                    tags={CONTENT_TAG: arrival.content},
                )
                for arrival in found.arrivals
            ],
            skip_reason=None if found.arrivals else found.summary(),
            cursor=write_cursor(found.known),
            dynamic_partitions_requests=[
                screening_batches.build_add_request(
                    sorted({*lost, *(arrival.batch for arrival in found.arrivals)})
                )
            ]
            if found.arrivals or lost
            else [],
        )

    @dg.sensor(
        job=screen_job,
        minimum_interval_seconds=settings.look_every_seconds,
        # A night's rescoring is summed up by the same sensor, so it runs where either is switched on.
        default_status=dg.DefaultSensorStatus.RUNNING if settings.nightly else running,
        description="Sums up metabolites and genes when batches were scored (or, before the first model, ingested) and "
        "no batch is under way.",
    )
    def screen_tables(context: dg.SensorEvaluationContext, storage: Storage) -> dg.RunRequest | dg.SkipReason:
        judge = Judge(storage.lake(), storage.models())
        behind = judge.screen_needs()
        if not behind:
            return dg.SkipReason("the screen tables are current, or the current model has scored no batch")
        # Another program in the same instance has partitions of its own.
        batches = set(context.instance.get_dynamic_partitions(SCREENING_BATCHES))
        under_way = batches_under_way(context.instance) & batches
        if under_way:
            return dg.SkipReason(f"waits for {', '.join(sorted(under_way))}")
        if is_under_way(context.instance, screen_job.name):
            # Its tables are of two states until it ends; each look in between would ask for one more run.
            return dg.SkipReason("waits for the run that sums up the screen")
        # One run a state: a run that failed is not repeated before something else has changed.
        reasons = [[table.asset, table.reason.text, run_of(judge, table.asset)] for table in behind]
        state = hashlib.sha256(json.dumps([judge.state(), reasons]).encode()).hexdigest()
        return dg.RunRequest(run_key=f"screen:{state}", tags={"tcell/reason": behind[0].sentence})

    @dg.sensor(
        minimum_interval_seconds=SWEEP_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING
        if settings.retention
        else dg.DefaultSensorStatus.STOPPED,
        description="Takes out of the run history, once a day and never during a run, what nothing needs any more.",
    )
    def run_history(context: dg.SensorEvaluationContext, storage: Storage) -> dg.SkipReason:
        now = time.time()
        if now - float(context.cursor or 0) < SWEEP_EVERY_SECONDS:
            return dg.SkipReason("was swept within the last 24 hours")
        plan = plan_sweep(context.instance, storage.lake(), settings, now)
        if plan.waits:
            return dg.SkipReason(f"waits: {plan.waits}")
        swept = sweep(context.instance, plan, SWEEP_SECONDS)
        if swept.is_complete:
            context.update_cursor(str(now))
        context.log.info(swept.sentence())
        return dg.SkipReason(swept.sentence())

    return [new_plates, screen_tables, run_history]


def lost_partitions(instance: dg.DagsterInstance, storage: Storage) -> set[str]:
    """Return the batches of the lake whose partition was deleted in the UI; runs of them could not be started."""
    known = set(instance.get_dynamic_partitions(SCREENING_BATCHES))
    return set(storage.lake().batches("well_metadata")) - known


def run_of(judge: Judge, asset: str) -> str:
    """Return the run that made a screen table, empty where there is none."""
    lineage = judge.lineage(asset)
    return lineage.run_id if lineage is not None else ""


def batches_under_way(instance: dg.DagsterInstance) -> set[str]:
    """Return the batches that have a queued or running run."""
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Return whether a run of a job is queued or running."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=NOT_FINISHED), limit=1))


def read_cursor(text: str | None) -> dict[str, Known]:
    """Read what the sensor remembers, `{batch: [stamp, content, requests]}`."""
    return {batch: Known(*state) for batch, state in json.loads(text or "{}").items()}


def write_cursor(known: Mapping[str, Known]) -> str:
    """Write what the sensor remembers."""
    return json.dumps(known, separators=(",", ":"))
