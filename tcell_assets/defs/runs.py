"""What Dagster's books say of the runs of batches."""

from __future__ import annotations

import dagster as dg

from tcell_assets.defs.partitions import PARTITION_TAG, SCREENING_BATCHES

FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
NOT_FINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED]


def last_failures(instance: dg.DagsterInstance) -> dict[str, str]:
    """Return the batches whose last run failed or was stopped, with the run."""
    failures = {}
    for batch in instance.get_dynamic_partitions(SCREENING_BATCHES):
        runs = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: batch}), limit=1)
        if runs and runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            failures[batch] = failure_sentence(instance, runs[0])
    return failures


def failure_sentence(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return which run failed or was stopped, with the first line of why."""
    word = "failed" if run.status is dg.DagsterRunStatus.FAILURE else "was stopped"
    return f"run {run.run_id[:8]} of {run.job_name} {word}{_said(instance, run)}"


def _said(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The first line of what the failed step said, with the first item of a list, as the end of a sentence."""
    for record in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.dagster_event
        failure = event.step_failure_data if event is not None else None
        said = failure.user_failure_data.description if failure and failure.user_failure_data else None
        if said is None and failure is not None and failure.error is not None:
            error = failure.error
            while error.cause is not None:
                error = error.cause
            said = error.message
        if said:
            first, *more = said.strip().splitlines()
            return f": {first} {more[0].strip()}" if first.endswith(":") and more else f": {first}"
    return ""
