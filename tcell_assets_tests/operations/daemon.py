"""A real daemon on an installation of its own, started and stopped by a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from tcell_assets.commands.platform import PROJECT_INSTANCE_SETTINGS, Platform
from tcell_assets.definitions import build_defs
from tcell_assets.defs.resources import TransformerCompute
from tcell_assets.installation.configuration import Configuration
from tcell_assets.installation.dagster_internals import add_backfill
from tcell_assets.webserver.supervisor import DAEMON
from tcell_assets_tests.operations.small_installation import CORE, make_configuration

# A loaded machine takes 20 s to start a run, and monitoring gives one that never starts two minutes.
PATIENCE = 400.0


@dataclass
class Daemon:
    """`dagster-daemon run` in a session of its own, with what a test asks of its installation."""

    platform: Platform
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def data(self) -> Path:
        """The landing zone."""
        return self.platform.configuration.data

    def start(self) -> None:
        """Start the daemon; its output goes to `daemon.log`."""
        home = self.platform.configuration.home
        with (home / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*DAEMON, "run", "-m", "tcell_assets.definitions"],
                env={**os.environ, **self.environment},
                cwd=home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Ask again and again until `condition` holds.

        Raises:
            TimeoutError: It never did.
            RuntimeError: The daemon has ended by itself.
        """
        log = self.platform.configuration.home / "daemon.log"
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"the daemon has ended:\n{log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:.0f} s still not: {what}\n{log.read_text()[-2000:]}")
            time.sleep(0.5)

    def kill(self) -> None:
        """`kill −9` the daemon, its code server and every run at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_alone(self) -> None:
        """`kill −9` the daemon; its runs live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the daemon as Ctrl-C does, and what is left of its session after 20 s."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def runs(self, batch: str | None = None, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """Return the runs of a batch (of all, where none is named), newest first."""
        tags = {"dagster/partition": batch} if batch else None
        return list(
            self.platform.instance.get_runs(dg.RunsFilter(tags=tags, statuses=list(statuses) or None))
        )

    def succeeded(self, batch: str) -> list[dg.DagsterRun]:
        """Return the successful runs of a batch."""
        return self.runs(batch, dg.DagsterRunStatus.SUCCESS)

    def model_of(self, batch: str) -> str | None:
        """Return the model whose distances of a batch stand in the lake."""
        lake = self.platform.storage.lake()
        return lake.lineage("dmso_distances", batch).model_version if self.has_distances(batch) else None

    def has_distances(self, batch: str) -> bool:
        """Return whether the last of the batch's tables has been written."""
        return self.platform.storage.lake().exists("dmso_distances", batch)

    def add_backfill(self, name: str, batches: list[str]) -> None:
        """Ask for a backfill of the core tables over some batches, as the UI does."""
        add_backfill(self.platform.instance, self.platform.definitions, name, CORE, batches)

    def backfill_status(self, name: str) -> str | None:
        """Return how far a backfill is, None where there is none of that name."""
        found = self.platform.instance.get_backfill(name)
        return found.status.value if found else None

    def skip_reasons(self, schedule: str) -> list[str]:
        """Return why a schedule's ticks did nothing, newest first."""
        instance = self.platform.instance
        states = [state for state in instance.all_instigator_state() if state.instigator_name == schedule]
        return [
            str(tick.skip_reason)
            for state in states
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
            if tick.skip_reason
        ]


@contextmanager
def real_daemon(root: Path, **settings: Any) -> Iterator[Daemon]:
    """Yield an installation below `root` with SQLite on the disk and a daemon that is not started yet.

    Args:
        root: An empty folder.
        **settings: Environment variables.
    """
    configuration: Configuration = make_configuration(root)
    configuration.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_INSTANCE_SETTINGS, configuration.dagster_home / "dagster.yaml")
    environment = {
        "TCELL_HOME": str(root),
        "TCELL_DATA": str(configuration.data),
        "TCELL_STORAGE": configuration.storage,
        "DAGSTER_HOME": str(configuration.dagster_home),
        "TCELL_SETTLE_SECONDS": "3",
        "TCELL_LOOK_EVERY_SECONDS": "2",
        "TCELL_NIGHTLY": "off",
        "TCELL_WEEKLY": "off",
        # Two runs at a time on two cores: threads of one would wait for those of the other.
        "OMP_NUM_THREADS": "1",
        **{name: str(value) for name, value in settings.items()},
    }
    with dg.DagsterInstance.from_config(str(configuration.dagster_home)) as instance:
        definitions = build_defs(configuration, {"compute": TransformerCompute(device="cpu", threads=1)})
        daemon = Daemon(Platform(configuration, instance, definitions), environment)
        try:
            yield daemon
        finally:
            daemon.stop()
