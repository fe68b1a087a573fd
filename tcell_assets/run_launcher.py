"""Launches runs as Dagster does, and knows when the process of one has died.

Dagster's own launcher cannot tell: after the daemon and its runs were killed, or the machine restarted, such runs would
stay "started" for ever and hold the GPU. With this one run monitoring ends them within seconds, and they are retried.
The health check is no public interface of Dagster, one reason why its version is pinned.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    WorkerStatus,
)

from tcell_assets.recovery import host_tags, is_process_gone


class LocalRunLauncher(DefaultRunLauncher):
    """`DefaultRunLauncher` whose health check asks whether the run's process still exists on this machine."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run and note on which machine."""
        self._instance.add_run_tags(context.dagster_run.run_id, host_tags())
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the run's process lives; see `recovery.is_process_gone`."""
        record = self._instance.get_run_record_by_id(run.run_id)
        if record is not None and is_process_gone(self._instance, record):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
