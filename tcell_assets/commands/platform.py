"""One installation as the shell uses it: its Dagster instance, its definitions, and runs in this process."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import dagster as dg

from tcell_assets.definitions import build_defs
from tcell_assets.defs.partitions import PARTITION_TAG, register_batches
from tcell_assets.defs.resources import Storage
from tcell_assets.installation.configuration import Configuration, load_configuration
from tcell_assets.installation.operations import landed_batches
from tcell_assets.installation.recovery import (
    ask_again_for_retries,
    end_dead_runs,
    known_to_live,
    process_tags,
)
from tcell_assets.lake.archive import end_interrupted_move, forgotten_batches, is_move_unfinished
from tcell_assets.lake.tables import TABLES
from tcell_assets.landing.unfinished import sweep_unfinished_batches

# A new installation (the folder `tcell run` writes to, say) starts with the project's own instance settings.
PROJECT_INSTANCE_SETTINGS = Path(__file__).resolve().parents[2] / "storage" / "dagster.yaml"

POOL_LOOK_SECONDS = 0.5

# Every step's start and end would drown the progress bar; what a run logged is in the UI.
_QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailedError(RuntimeError):
    """A run failed; the message is the step's own."""


class DamagedHistoryError(RuntimeError):
    """Dagster's databases cannot be read; the message says what is lost and what is not."""


@dataclass(frozen=True)
class Platform:
    """An installation, its instance and its definitions."""

    configuration: Configuration
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    @property
    def storage(self) -> Storage:
        """The lake and the models."""
        return Storage(root=self.configuration.storage)

    def clear_up(self) -> None:
        """End runs whose process was killed, ask for missed retries, delete temporary files of killed writers."""
        end_dead_runs(self.instance)
        ask_again_for_retries(self.instance)
        self.storage.sweep()
        lake = self.storage.lake()
        for batch, note in forgotten_batches(lake).items():
            if is_move_unfinished(lake, note):
                with self.storage.batch_held(batch):
                    end_interrupted_move(lake, batch)
        sweep_unfinished_batches(self.configuration.data)

    def register_landed_batches(self) -> list[str]:
        """Make every batch folder of the landing zone a partition, but of forgotten ones, and return all of them."""
        landed = list(landed_batches(self.configuration.data, self.storage.lake()).batches)
        # A partition that was deleted in the UI comes back as long as its batch is there.
        register_batches(self.instance, {*landed, *self.storage.lake().batches("well_metadata")})
        return landed

    def assets_of(self, job: str) -> list[str]:
        """Return the assets that a job makes, sorted."""
        layer = self.definitions.resolve_job_def(job).asset_layer
        return sorted(key.to_user_string() for key in layer.selected_asset_keys)

    def forget_other_batches(self, batches: Sequence[str]) -> None:
        """Remove tables of batches that are not among `batches`, so that screen tables hold these and no others."""
        lake = self.storage.lake()
        for asset, table in TABLES.items():
            for batch in lake.batches(asset) if table.partitioned else []:
                if batch not in batches:
                    lake.path(asset, batch).unlink()

    def run(
        self,
        job: str,
        batch: str | None = None,
        config: Mapping[str, Any] | None = None,
        selection: list[str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job in this process, recorded in the instance like any other run.

        A pool whose places are taken is waited for, and that is said. Stopped by Ctrl-C the run is canceled and not
        failed.

        Raises:
            RunFailedError: A step failed.
            KeyboardInterrupt: It was stopped.
        """
        definition = self.definitions.resolve_job_def(job)
        self._wait_for_pools(selection or self.assets_of(job))
        run_id = str(uuid.uuid4())
        try:
            with known_to_live(self.instance, run_id):
                result = definition.execute_in_process(
                    run_config={**_QUIET, **(config or {})},
                    instance=self.instance,
                    run_id=run_id,
                    partition_key=batch,
                    asset_selection=[dg.AssetKey(asset) for asset in selection] if selection else None,
                    tags=process_tags(),
                    raise_on_error=False,
                )
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            self._cancel(run_id)
            raise KeyboardInterrupt from None
        if _was_interrupted(result):
            self._cancel(run_id)
            raise KeyboardInterrupt
        if not result.success:
            raise RunFailedError(failure_message(result))
        return result

    def _cancel(self, run_id: str) -> None:
        """Mark a run that was stopped as canceled: Dagster takes an interrupt that nobody announced for a failure."""
        run = self.instance.get_run_by_id(run_id)
        ended_well = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED)
        if run is not None and run.status not in ended_well:
            self.instance.report_run_canceled(run, message="stopped by Ctrl-C")
            click.echo(f"run {run_id} is canceled; what was finished is kept", err=True)
        self.instance.event_log_storage.free_concurrency_slots_for_run(run_id)

    def _wait_for_pools(self, assets: Sequence[str]) -> None:
        """Wait until every pool that these assets need has a place, and say which run holds it.

        Dagster itself would look again as fast as it can, without a word.
        """
        for pool in self._pools_of(assets):
            said = ""
            while (holders := self._holders_of(pool)) is not None:
                sentence = f"waits for the pool {pool}, held by {holders}; Ctrl-C ends the waiting"
                if sentence != said:
                    click.echo(sentence, err=True)
                    said = sentence
                time.sleep(POOL_LOOK_SECONDS)
                # A holder that died gives its place back here, as it does when any command starts.
                end_dead_runs(self.instance)

    def _pools_of(self, assets: Sequence[str]) -> list[str]:
        wanted = {dg.AssetKey(asset) for asset in assets}
        made = (
            each
            for each in self.definitions.assets or ()
            if isinstance(each, dg.AssetsDefinition) and each.is_executable and wanted & set(each.keys)
        )
        return sorted({each.op.pool for each in made if each.op.pool is not None})

    def _holders_of(self, pool: str) -> str | None:
        """Return who holds a pool's places in words, or None where one is free."""
        if not self.instance.event_log_storage.supports_global_concurrency_limits:
            return None
        place = self.instance.event_log_storage.get_concurrency_info(pool)
        if place.limit is None or len(place.claimed_slots) < place.limit:
            return None
        words = []
        for run_id in sorted({slot.run_id for slot in place.claimed_slots}):
            run = self.instance.get_run_by_id(run_id)
            batch = run.tags.get(PARTITION_TAG) if run is not None else None
            what = f" ({run.job_name}{f' of {batch}' if batch else ''})" if run is not None else ""
            words.append(f"run {run_id}{what}")
        return " and ".join(words)


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether a run ended because somebody stopped it."""
    for event in result.all_events:
        if event.event_type is dg.DagsterEventType.PIPELINE_FAILURE:
            error = event.job_failure_data.error
            while error is not None:
                if error.cls_name in ("KeyboardInterrupt", "DagsterExecutionInterruptedError"):
                    return True
                error = error.cause
    return False


def trained_version(result: dg.ExecuteInProcessResult) -> str:
    """Return the version that a run of the train job made, current or not."""
    return str(_trained(result).metadata["model_version"].value)


def _trained(result: dg.ExecuteInProcessResult) -> dg.AssetMaterialization:
    (event,) = [
        event
        for event in result.asset_materializations_for_node("train_model")
        if event.asset_key == dg.AssetKey("trained_model")
    ]
    return event


def promotion_of(result: dg.ExecuteInProcessResult) -> str:
    """Return what became of the version that a run of the train job made, and why."""
    return str(_trained(result).metadata["promotion"].value)


def failure_message(result: dg.ExecuteInProcessResult) -> str:
    """Return what the failed step said, without Dagster's wrapping."""
    messages = []
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data is not None and failure.user_failure_data.description:
                messages.append(failure.user_failure_data.description)
            elif failure.error is not None:
                messages.append(_root_message(failure.error))
        elif (
            event.event_type is dg.DagsterEventType.PIPELINE_FAILURE
            and event.job_failure_data.error is not None
            and not messages
        ):
            # Before the first step, as when a resource refuses; the failure of a step is repeated here.
            messages.append(_root_message(event.job_failure_data.error))
    # A check that blocks names itself alone.
    messages += [
        f"{check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if check.blocking and not check.passed
    ]
    return "\n".join(messages) or f"run {result.run_id} failed before its first step; see the UI"


def _root_message(error: Any) -> str:
    """The innermost message of an error as Dagster serializes it."""
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


@contextmanager
def _dagster_home(folder: Path) -> Iterator[None]:
    """Set DAGSTER_HOME, where Dagster and the storage's marker look for it, for the block alone."""
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("DAGSTER_HOME", None)
        else:
            os.environ["DAGSTER_HOME"] = before


@contextmanager
def _damage_in_words(dagster_home: Path) -> Iterator[None]:
    """Tell what a damaged database of Dagster's means: the history of runs is in it, tables and models are not.

    Raises:
        DamagedHistoryError: In place of SQLAlchemy's own error.
    """
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except DatabaseError as error:
        # A subclass for what its caller did wrong, or that it is busy, is no damage.
        if type(error) is not DatabaseError and "malformed" not in str(error):
            raise
        raise DamagedHistoryError(
            f"{dagster_home}: Dagster's history of runs is damaged ({error.orig}). Restore history/ and schedules/ "
            "from a backup, or move them away: runs and switches of the UI are forgotten then, tables and models stay"
        ) from error


@contextmanager
def open_platform(
    configuration: Configuration | None = None, resources: Mapping[str, object] | None = None
) -> Iterator[Platform]:
    """Yield an installation with its persistent instance in DAGSTER_HOME; `resources` replace its own."""
    configuration = configuration or load_configuration()
    configuration.dagster_home.mkdir(parents=True, exist_ok=True)
    instance_settings = configuration.dagster_home / "dagster.yaml"
    if not instance_settings.exists():
        shutil.copyfile(PROJECT_INSTANCE_SETTINGS, instance_settings)
    with (
        _damage_in_words(configuration.dagster_home),
        _dagster_home(configuration.dagster_home),
        dg.DagsterInstance.get() as instance,
    ):
        platform = Platform(configuration, instance, build_defs(configuration, resources))
        platform.clear_up()
        yield platform
