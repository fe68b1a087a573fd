"""`tcell backfill`: bring many batches up to date in this process, without waiting for the daemon."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.output import echo_table
from tcell_assets.installation.progress import terminal_progress
from tcell_assets.lake.judge import NOT_THERE

if TYPE_CHECKING:
    from tcell_assets.commands.platform import Platform

JOB = "ingest_and_score"


@dataclass(frozen=True)
class Outcome:
    """What became of one batch: `done`, `current`, `left alone` or `failed`, and what there is to say about it."""

    batch: str
    state: str
    seconds: float
    detail: str


@click.command(
    "backfill",
    epilog="Examples:\n\n  tcell backfill\n\n  tcell backfill --batches 'tc*' --from-date 2026-03-01\n\n"
    "  tcell backfill --failed-or-missing",
)
@click.option(
    "--batches", multiple=True, metavar="PATTERN", help="Names or patterns such as 'tc*'; default: all."
)
@click.option(
    "--from-date",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Only batches whose plate files changed on this day (UTC) or later.",
)
@click.option("--assets", default="", metavar="A,B", help="Only these assets of each batch; default: all.")
@click.option(
    "--failed-or-missing", is_flag=True, help="Only batches whose last run failed or that lack a table."
)
@click.option("--force", is_flag=True, help="Make again what is up to date, too.")
@click.option("--model-version", default="", help="Model to score with; default: the current one.")
def backfill_command(
    batches: tuple[str, ...],
    from_date: datetime | None,
    assets: str,
    failed_or_missing: bool,
    force: bool,
    model_version: str,
) -> None:
    """Ingest and score batches, one after the other; a batch that fails stops no other.

    What is up to date for its files and the model is left alone, so a backfill that was stopped goes on where it was.
    Exits with 1 when a batch failed.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.lake.judge import Judge

    with open_platform() as platform, terminal_progress():
        chosen = choose_batches(platform, batches, from_date)
        wanted = choose_assets(platform, assets)
        version = _model(platform, model_version)
        outcomes: list[Outcome] = []
        for number, batch in enumerate(chosen, start=1):
            started = time.monotonic()
            state, detail = _bring_up_to_date(platform, batch, wanted, version, failed_or_missing, force)
            outcomes.append(Outcome(batch, state, time.monotonic() - started, detail))
            click.echo(f"[{number}/{len(chosen)}] {batch}: {state}, {outcomes[-1].seconds:.1f} s")
            if state == "failed":
                click.echo(detail, err=True)
        judge = Judge(platform.storage.lake(), platform.storage.models(), model=version)
        behind = [] if assets else judge.screen_needs()
        if behind:
            outcomes.append(_sum_up(platform, behind[0].sentence))
        asked_for = judge.behind(judge.made_when_asked_for())
    _summarize(outcomes)
    for table in asked_for:
        click.echo(f"made only when asked for: {table.sentence}")
    if any(outcome.state == "failed" for outcome in outcomes):
        sys.exit(1)


def choose_batches(platform: Platform, patterns: Sequence[str], from_date: datetime | None) -> list[str]:
    """Return the landed and ingested batches that fit a pattern (any, where none is given) and a date.

    Raises:
        click.BadParameter: A pattern fits no batch.
    """
    from tcell_assets.landing.arrivals import scan_folder

    data = platform.configuration.data
    landed = platform.register_landed_batches()
    known = sorted({*landed, *platform.storage.lake().batches("expression_matrix")})
    unknown = [pattern for pattern in patterns if not any(fnmatchcase(batch, pattern) for batch in known)]
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)} fits none of {', '.join(known) or 'no batches at all'}",
            param_hint="--batches",
        )
    chosen = [
        batch for batch in known if not patterns or any(fnmatchcase(batch, pattern) for pattern in patterns)
    ]
    if from_date is None:
        return chosen
    since = from_date.replace(tzinfo=UTC).timestamp()
    return [batch for batch in chosen if batch in landed and scan_folder(data / batch).last_change >= since]


def choose_assets(platform: Platform, names: str) -> list[str]:
    """Return the assets to make of each batch, all of the job's where none is named.

    Raises:
        click.BadParameter: A name is no asset of the job.
    """
    known = platform.assets_of(JOB)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: not among {', '.join(known)}", param_hint="--assets")
    return wanted or known


def _model(platform: Platform, named: str) -> str | None:
    """Return the model to score with, or None, said aloud, where batches can only be ingested."""
    models = platform.storage.models()
    if named or models.current():
        return models.resolve(named)
    click.echo(
        "no model is current yet: batches are ingested and not scored; `tcell train` makes one of batches with targets"
    )
    return None


def _bring_up_to_date(
    platform: Platform, batch: str, wanted: Sequence[str], version: str | None, only_failed: bool, force: bool
) -> tuple[str, str]:
    """Run what one batch needs and return its state and what there is to say about it."""
    from tcell_assets.commands.platform import RunFailedError
    from tcell_assets.lake.tables.scoring import NETWORK_TABLES

    stale = _stale(platform, batch, wanted, version)
    if only_failed and NOT_THERE not in stale.values() and not _last_run_failed(platform, batch):
        return "left alone", "its last run succeeded and no table is missing"
    if not stale and not force:
        return "current", "up to date"
    ingested, scored = platform.assets_of("ingest"), platform.assets_of("score")
    read_again = force or any(asset in ingested for asset in stale)
    selection = [
        asset
        for asset in wanted
        if (read_again and asset in ingested) or (version is not None and asset in scored)
    ]
    config: dict[str, Any] = {}
    # The configuration of a step is refused where the step is not run.
    if version and set(NETWORK_TABLES) & set(selection):
        config = {"ops": {"score_wells": {"config": {"model_version": version}}}}
    try:
        platform.run(JOB, batch, config, selection)
    except RunFailedError as error:
        return "failed", str(error)
    return "done", ", ".join(dict.fromkeys(stale.values())) or "forced"


def _stale(platform: Platform, batch: str, wanted: Sequence[str], version: str | None) -> Mapping[str, str]:
    """The tables of a batch that are not current, each with the reason; landing folders are read as they are now."""
    from tcell_assets.installation.operations import landed_content, what_batch_needs
    from tcell_assets.lake.judge import Judge
    from tcell_assets.landing.arrivals import scan_folder

    folder, lake = platform.configuration.data / batch, platform.storage.lake()
    content = landed_content(folder, lake, scan_folder(folder)) if folder.is_dir() else None
    judge = Judge(lake, platform.storage.models(), {batch: content}, version)
    return what_batch_needs(judge, batch, wanted).stale


def _last_run_failed(platform: Platform, batch: str) -> bool:
    import dagster as dg

    from tcell_assets.defs.partitions import PARTITION_TAG

    runs = platform.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: batch}), limit=1)
    return bool(runs) and runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def _sum_up(platform: Platform, why: str) -> Outcome:
    from tcell_assets.commands.platform import RunFailedError

    started = time.monotonic()
    try:
        platform.run("screen")
    except RunFailedError as error:
        return Outcome("(screen tables)", "failed", time.monotonic() - started, str(error))
    return Outcome("(screen tables)", "done", time.monotonic() - started, why)


def _summarize(outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        click.echo("backfill: no batch to work on; put one into the landing zone (data/<batch>/) first")
        return
    echo_table(
        [
            {
                "batch": outcome.batch,
                "state": outcome.state,
                "seconds": f"{outcome.seconds:.1f}",
                "": outcome.detail.splitlines()[0],
            }
            for outcome in outcomes
        ]
    )
    counts = Counter(outcome.state for outcome in outcomes)
    click.echo("backfill: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
