"""The sensor that tells people of failed runs: one message for all that failed, at most one every ten minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from tcell_assets.defs.partitions import PARTITION_TAG
from tcell_assets.defs.runs import failure_sentence
from tcell_assets.installation.alerts import send
from tcell_assets.installation.configuration import Configuration
from tcell_assets.installation.dagster_internals import WILL_RETRY_TAG

ALERTED_TAG = "tcell/alerted"
LOOK_SECONDS = 60
SECONDS_BETWEEN_MESSAGES = 600
# Dagster writes a failure first and promises its retry some seconds later; a run that is repeated is no alert yet.
SETTLED_SECONDS = 15
MOST_NAMED = 20


def build_alert_sensor(configuration: Configuration) -> dg.SensorDefinition:
    """Return the sensor; it runs by itself where `TCELL_ALERTS` names a service."""
    urls = configuration.alerts

    @dg.sensor(
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if urls else dg.DefaultSensorStatus.STOPPED,
        description="Tells the services of TCELL_ALERTS which runs failed for good, a refused batch among them.",
    )
    def failed_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not urls:
            return dg.SkipReason("TCELL_ALERTS names no service")
        now = time.time()
        settled = now - SETTLED_SECONDS
        if context.cursor is None:
            context.update_cursor(json.dumps({"seen": settled, "sent": 0.0}))
            return dg.SkipReason("from now on failed runs are told")
        cursor = json.loads(context.cursor)
        failed = failures(context.instance, cursor["seen"], settled)
        if not failed:
            context.update_cursor(json.dumps({**cursor, "seen": settled}))
            return dg.SkipReason("no run has failed for good")
        wait = cursor["sent"] + SECONDS_BETWEEN_MESSAGES - now
        if wait > 0:
            return dg.SkipReason(f"{len(failed)} failed runs wait {wait:.0f} s for the next message")
        title, body = message(context.instance, failed)
        # What is not delivered fails this look, which the UI shows; the next look tries again.
        send(Path(configuration.dagster_home), urls, title, body)
        for run in failed:
            context.instance.add_run_tags(run.run_id, {ALERTED_TAG: "true"})
        context.update_cursor(json.dumps({"seen": settled, "sent": now}))
        return dg.SkipReason(f"told: {title}")

    return failed_runs


def failures(instance: dg.DagsterInstance, since: float, until: float) -> list[dg.DagsterRun]:
    """Return the runs that failed, or whose retry was given up, after `since` and before `until`, oldest first.

    Args:
        instance: Dagster's books.
        since: Seconds since 1970.
        until: Seconds since 1970.
    """
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.fromtimestamp(since, UTC),
            updated_before=datetime.fromtimestamp(until, UTC),
        ),
        ascending=True,
    )
    return [
        record.dagster_run
        for record in records
        if ALERTED_TAG not in record.dagster_run.tags
        and record.dagster_run.tags.get(WILL_RETRY_TAG, "false") == "false"
    ]


def message(instance: dg.DagsterInstance, failed: Sequence[dg.DagsterRun]) -> tuple[str, str]:
    """Return title and text of the message about failed runs: what failed, of which batch, and why."""
    batches = sorted({run.tags[PARTITION_TAG] for run in failed if PARTITION_TAG in run.tags})
    of = f" ({', '.join(batches[:3])}{', …' if len(batches) > 3 else ''})" if batches else ""
    title = f"tcell_assets: {len(failed)} run{'s' if len(failed) > 1 else ''} failed{of}"
    lines = [
        f"{run.tags.get(PARTITION_TAG, 'the screen')}: {failure_sentence(instance, run)}"
        for run in failed[:MOST_NAMED]
    ]
    if len(failed) > MOST_NAMED:
        lines.append(f"and {len(failed) - MOST_NAMED} more")
    return title, "\n".join([*lines, "`tcell status` names the next step of each batch."])
