"""Dagster's own commands, started in the project's folder, work on `storage/` or say what to set."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tcell_assets_tests.small_screen import simulate_into

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sysconfig.get_path("scripts"))
SECONDS = 180.0
QUESTION = """{
    instance { info }
    workspaceOrError { ... on Workspace { locationEntries {
        name loadStatus locationOrLoadError { __typename ... on PythonError { errorChain { error { message } } } }
    } } }
}"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's folder as after `make install`, with a storage of its own."""
    for name in ("tcell_assets", "pyproject.toml", "workspace.yaml", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "storage").mkdir()
    shutil.copy(ROOT / "storage" / "dagster.yaml", tmp_path / "storage")
    subprocess.run(["make", "--silent", ".env"], cwd=tmp_path, check=True)
    return tmp_path


def environment() -> dict[str, str]:
    set_by_others = ("DAGSTER_HOME", "TCELL_HOME", "TCELL_DATA", "TCELL_STORAGE")
    kept = {name: value for name, value in os.environ.items() if name not in set_by_others}
    return {**kept, "OMP_NUM_THREADS": "1", "DAGSTER_DISABLE_TELEMETRY": "1"}


def run_in(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / command[0]), *command[1:]],
        cwd=folder,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def materialize(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    select = ("--select", "well_metadata", "--partition", "tc1", "-m", "tcell_assets.definitions")
    return run_in(folder, "dagster", "asset", "materialize", *select, **more)


def materializations(home: Path) -> int:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return len(instance.fetch_materializations(dg.AssetKey("well_metadata"), limit=10).records)


def land(folder: Path) -> None:
    """Land a batch and register it, as a sensor or `tcell ingest` does."""
    simulate_into(folder / "data", n_batches=1)
    with dg.DagsterInstance.from_config(str(folder / "storage")) as instance:
        instance.add_dynamic_partitions("screening_batches", ["tc1"])


def test_dg_lists_and_checks_the_definitions(project: Path) -> None:
    listed = run_in(project, "dg", "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    names = {entry["asset_key"] for entry in json.loads(listed.stdout)["assets"]}
    assert {"well_metadata", "trained_model", "hit_calls"} <= names
    checked = run_in(project, "dg", "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dagster_asset_materialize_keeps_its_history_in_storage(project: Path) -> None:
    land(project)
    done = materialize(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert materializations(project / "storage") == 1


def test_a_home_that_the_shell_sets_goes_before_the_projects(project: Path, tmp_path: Path) -> None:
    land(project)
    own = tmp_path / "own"
    shutil.copytree(project / "storage", own)
    done = materialize(project, DAGSTER_HOME=str(own))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (materializations(own), materializations(project / "storage")) == (1, 0)


def test_dagster_asset_materialize_without_a_home_says_what_to_set(project: Path) -> None:
    (project / ".env").unlink()
    land(project)
    refused = materialize(project)
    assert refused.returncode != 0
    assert f"set DAGSTER_HOME={project / 'storage'}" in refused.stdout + refused.stderr
    assert materializations(project / "storage") == 0


def ask(port: int) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": QUESTION}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer)["data"])


def what_is_served(folder: Path, *command: str) -> tuple[str, dict[str, Any]]:
    """Start a development server, and return its instance and its only code location once that is loaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, str(SCRIPTS / command[0]), *command[1:], "--port", str(port)],
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            assert server.poll() is None, log.read_text()
            try:
                answer = ask(port)
            except OSError:
                time.sleep(0.5)
                continue
            (location,) = answer["workspaceOrError"]["locationEntries"]
            if location["loadStatus"] == "LOADED":
                return answer["instance"]["info"], location
            time.sleep(0.5)
        raise TimeoutError(log.read_text())
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("command", [("dagster", "dev"), ("dg", "dev")], ids=" ".join)
def test_a_development_server_keeps_its_history_in_storage(project: Path, command: tuple[str, str]) -> None:
    instance, location = what_is_served(project, *command)
    assert f"base_dir: {project / 'storage'}\n" in instance
    assert location["name"] == "tcell_assets"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"


def test_a_development_server_without_a_home_serves_no_asset_and_says_what_to_set(project: Path) -> None:
    (project / ".env").unlink()
    _, location = what_is_served(project, "dagster", "dev")
    causes = [cause["error"]["message"] for cause in location["locationOrLoadError"]["errorChain"]]
    assert any(f"set DAGSTER_HOME={project / 'storage'}" in cause for cause in causes), causes
