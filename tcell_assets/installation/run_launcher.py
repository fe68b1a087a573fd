"""Launches each run in a process forked from one that has loaded PyTorch and pandas, and knows when one has died.

Dagster's own launcher starts a fresh interpreter a run, whose imports take several times as long as scoring a small
batch, and it cannot tell that a run's process is gone: after the daemon and its runs were killed, or the machine
restarted, such runs would stay "started" for ever and hold the GPU. Here a run starts within two seconds, and run
monitoring ends dead ones, which are then retried.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal

import dagster as dg

from tcell_assets.installation.dagster_internals import (
    PRELOADED_MODULE,
    CheckRunHealthResult,
    InstanceRef,
    LaunchRunContext,
    WorkerStatus,
    execute_launched_run,
)
from tcell_assets.installation.recovery import (
    UNKNOWN_PROCESS_TAGS,
    end_if_dead,
    host_tags,
    known_to_live,
    process_tags,
    process_to_interrupt,
)

# What the steps of the ingest, train and score jobs import, other projects' code alone: ours is imported anew by each
# run, so that a run executes what is installed when it starts.
PRELOADED = (
    PRELOADED_MODULE,
    "matplotlib.figure",
    "pandas",
    "pyarrow.parquet",
    "safetensors.numpy",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "torch",
    # Imported by the first optimizer.
    "torch._dynamo",
    "tqdm",
    "upath",
)


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Launches runs on this machine; its health check asks whether the run's process still exists."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Note on which machine, and execute the run in a process forked from the preloaded one."""
        run_id = context.dagster_run.run_id
        # A retry bears the tags of the killed run, whose process must not be taken for its own.
        self._instance.add_run_tags(run_id, UNKNOWN_PROCESS_TAGS | host_tags())
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(list(PRELOADED))
        # Ended with the daemon when that is asked to stop, as its code server would end it; kill −9 does not reach it.
        forks.Process(target=execute_run, args=(self._instance.get_ref(), run_id), daemon=True).start()
        self._run_ids.add(run_id)

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run as Ctrl-C would; a run whose process is gone is canceled at once.

        Returns:
            Whether it was interrupted or canceled: not where it has ended, or another machine executes it.
        """
        record = self._instance.get_run_record_by_id(run_id)
        if record is None or record.dagster_run.is_finished:
            return False
        run = record.dagster_run
        self._instance.report_run_canceling(run)
        if end_if_dead(self._instance, record):
            return True
        process = process_to_interrupt(run)
        if process is not None:
            # A retry that waits for its launch bears the process of the run it repeats, which may be gone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGINT)
                return True
        message = "Its process is not known on this machine (yet), so it cannot be interrupted."
        self._instance.report_engine_event(message, run, cls=self.__class__)
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the run's process lives; a dead run is ended here, see `recovery.end_if_dead`."""
        record = self._instance.get_run_record_by_id(run.run_id)
        if record is not None and end_if_dead(self._instance, record):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def execute_run(instance_ref: InstanceRef, run_id: str) -> None:
    """Execute a run of an instance in this process, which notes itself as the run's first."""
    with dg.DagsterInstance.from_ref(instance_ref) as instance:
        instance.add_run_tags(run_id, process_tags())
        with known_to_live(instance, run_id):
            execute_launched_run(run_id, instance)
