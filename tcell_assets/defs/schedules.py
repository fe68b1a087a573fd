"""Schedules: every night what is new or out of date is made again, every week a changed training set is learnt."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from tcell_assets.defs.assets.ingest import plate_files
from tcell_assets.defs.jobs import ingest_and_score_job, ingest_job, score_job, train_job
from tcell_assets.defs.partitions import PARTITION_TAG, register_batches
from tcell_assets.defs.resources import LandingZone, Storage
from tcell_assets.defs.sensors import CONTENT_TAG, batches_under_way
from tcell_assets.installation.configuration import ConfigurationError, OperationSettings
from tcell_assets.installation.operations import Work, decide_training, survey
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.science.model.settings import TrainingRequest, TrainingSettings

MODEL_TAG = "tcell/model"
# A failure that a night has not mended (a full disk, say) is tried again; after so many nights it needs a person.
MOST_FAILURES = 3


def build_schedules(settings: OperationSettings) -> list[dg.ScheduleDefinition]:
    """Return the schedules of an installation.

    Raises:
        ConfigurationError: A cron string is not one.
    """
    for name, cron in (
        ("TCELL_NIGHTLY_CRON", settings.nightly_cron),
        ("TCELL_WEEKLY_CRON", settings.weekly_cron),
    ):
        if not _is_cron(cron):
            raise ConfigurationError(f"{name}={cron!r} is no cron string; '0 2 * * *' means daily at 02:00")

    @dg.schedule(
        job=ingest_and_score_job,
        cron_schedule=settings.nightly_cron,
        execution_timezone=settings.time_zone,
        default_status=_status(settings.nightly),
        description="Ingests and scores batches with new or changed plates, and scores those of an older model.",
    )
    def nightly(
        context: dg.ScheduleEvaluationContext, landing_zone: LandingZone, storage: Storage
    ) -> list[dg.RunRequest] | dg.SkipReason:
        night = plan_night(
            context.instance,
            context.repository_def,
            Path(landing_zone.folder),
            storage,
            settings,
        )
        if night.left_alone:
            context.log.info(night.left_alone)
        if not night.requests:
            return dg.SkipReason(night.summary())
        register_batches(context.instance, [str(request.partition_key) for request in night.requests])
        return list(night.requests)

    @dg.schedule(
        job=train_job,
        cron_schedule=settings.weekly_cron,
        execution_timezone=settings.time_zone,
        default_status=_status(settings.weekly),
        description="Trains with the current model's settings when the training set has changed since.",
    )
    def weekly(context: dg.ScheduleEvaluationContext, storage: Storage) -> dg.RunRequest | dg.SkipReason:
        models = storage.models()
        decision = decide_training(storage.lake(), models)
        context.log.info(decision.reason)
        if not decision.train:
            return dg.SkipReason(f"no training: {decision.reason}")
        return dg.RunRequest(
            run_config={"ops": {"train_model": {"config": current_training_config(models)}}},
            tags={"tcell/training_set": decision.reason},
        )

    return [nightly, weekly]


@dataclass(frozen=True)
class Night:
    """What a night has to do.

    Attributes:
        requests: One run a batch that is new, changed or scored by an older model.
        left_alone: In words, batches that need something and get nothing, each with the reason, and tables that are
            behind and made only when asked for; empty without any.
        n_batches: Batches looked at.
        model: The current model.
    """

    requests: tuple[dg.RunRequest, ...]
    left_alone: str
    n_batches: int
    model: str | None

    def summary(self) -> str:
        """Say why nothing is done."""
        nothing = (
            f"of {self.n_batches} batches none has new or changed plates or tables that are behind, with model "
            f"{self.model or 'none'}"
        )
        return f"{nothing}; {self.left_alone}" if self.left_alone else nothing


def plan_night(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    data: Path,
    storage: Storage,
    settings: OperationSettings,
) -> Night:
    """Choose the batches that a night brings up to date; those under way or hopeless are left alone."""
    model = storage.models().current()
    needs = survey(data, storage.lake(), storage.models(), settings, time.time())
    reasons = dict(needs.waiting)
    under_way = batches_under_way(instance)
    requests = []
    for work in needs.work:
        reason = "is under way" if work.batch in under_way else _hopeless(instance, work, model)
        if reason is None:
            requests.append(_request(repository, work, model))
        else:
            reasons[work.batch] = reason
    named = ", ".join(f"{batch} ({reason})" for batch, reason in sorted(reasons.items()))
    left = [f"left alone: {named}"] if named else []
    left += [f"made only when asked for: {behind.sentence}" for behind in needs.asked_for]
    return Night(tuple(requests), "; ".join(left), needs.n_batches, model)


def _is_cron(text: str) -> bool:
    try:
        dg.ScheduleDefinition(name="cron", job=train_job, cron_schedule=text)
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


def _status(is_on: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED


def _hopeless(instance: dg.DagsterInstance, work: Work, model: str | None) -> str | None:
    """Return why a batch cannot be made by trying once more, or None: it is known to be broken, or failed often."""
    observations = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=plate_files.key, asset_partitions=[work.batch]), limit=1
    ).records
    observation = observations[0].asset_observation if observations else None
    if work.needs_ingest and observation is not None:
        metadata = observation.metadata
        if metadata["problems"].value and metadata["content_hash"].value == work.content:
            return f"{metadata['problems'].value} problems in its files, unchanged since"
    failures = instance.get_runs_count(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags=_attempt_tags(work, model))
    )
    return f"failed {failures} times, see its runs" if failures >= MOST_FAILURES else None


def _attempt_tags(work: Work, model: str | None) -> dict[str, str]:
    """Return tags that tell one attempt's input: the batch, its content and the model."""
    return {PARTITION_TAG: work.batch, CONTENT_TAG: str(work.content), MODEL_TAG: str(model)}


def _request(repository: dg.RepositoryDefinition, work: Work, model: str | None) -> dg.RunRequest:
    part = None
    if not work.needs_ingest:
        part = score_job.name
    elif model is None:
        part = ingest_job.name
    selection = sorted(repository.get_job(part).asset_layer.selected_asset_keys) if part is not None else None
    return dg.RunRequest(
        run_key=work.batch,
        partition_key=work.batch,
        asset_selection=selection,
        tags={**_attempt_tags(work, model), "tcell/reason": work.reason},
    )


def current_training_config(models: ModelRegistry) -> dict[str, Any]:
    """Return the run configuration that trains with the current model's settings, the defaults before the first."""
    version = models.current()
    if version is None:
        return {}
    # Read and written anew, so that an older manifest says what its model left to the defaults of its time.
    values = TrainingSettings.from_json(models.manifest(version)["settings"]).by_name()
    return {name: values[name] for name in TrainingRequest.form().fields if name in values}
