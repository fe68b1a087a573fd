"""Drops many batches into a running installation and watches what the daemon and the webserver keep of it.

    python -m benchmarks.soak --batches 200 --folder /tmp/soak

Starts `tcell ui` on an installation of its own, switches the arrival sensor on, drops one small batch after the other,
waits until each is in the lake, and prints a line of figures every ten: resident memory of daemon and webserver with
their code servers, size of the event log, seconds a batch. The last line compares the memory of the last quarter with
that of the second (the first is warming up).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from upath import UPath

from tcell_assets.configuration import Configuration
from tcell_assets.lake.store import Lake

PORT = 3917
SENSOR = "new_plates"
SECONDS_FOR_A_BATCH = 300.0
START_SENSOR = """mutation ($name: String!) { startSensor(sensorSelector: {sensorName: $name,
 repositoryName: "__repository__", repositoryLocationName: "tcell_assets"}) { __typename } }"""


@dataclass(frozen=True)
class Figures:
    """What one look saw; memory in MiB, resident, summed over a process and those it started."""

    batches: int
    daemon_mib: float
    webserver_mib: float
    event_log_kib_a_batch: float
    seconds_a_batch: float


def resident_mib(leader: int) -> float:
    """Return the resident memory of the process group of `leader`, without run workers, which come and go."""
    total = 0.0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == leader and b"spawn_main" not in command:
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return total


def event_log_bytes(home: Path) -> int:
    """Return the size of everything Dagster keeps of its runs."""
    return sum(path.stat().st_size for path in (home / "storage" / "history").rglob("*") if path.is_file())


def leaders(supervised: int) -> dict[str, int]:
    """Return the process ids of the webserver and the daemon that a `tcell ui` has started."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,pgid=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in listing.splitlines():
        process, group, command = line.split(None, 2)
        if process == group and int(process) > supervised:
            for name, part in (
                ("webserver", "-m tcell_assets.webserver --host"),
                ("daemon", "-m dagster._daemon run"),
            ):
                if part in command:
                    found[name] = int(process)
    return found


def post(query: str, **variables: str) -> str:
    """Return what the UI's GraphQL answers."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/graphql", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def drop_batch(data: Path, number: int) -> str:
    """Write one batch of a 96-well plate and return its name."""
    from tcell_assets.commands.simulate import write_screen
    from tcell_assets.science.simulation import SimulationSettings, simulate_screen

    prefix = f"soak{number:03d}x"
    screen = simulate_screen(
        SimulationSettings(n_genes=48, n_batches=1, n_plates=1, seed=number, batch_prefix=prefix)
    )
    return write_screen(screen, data, counts=False, replace=False)[0].name


def soak(folder: Path, batches: int) -> list[Figures]:
    """Run the installation over so many batches and return the figures of every tenth."""
    home = Configuration(folder, folder / "data", str(folder / "storage"), folder / "storage")
    home.data.mkdir(parents=True)
    lake = Lake(UPath(home.storage) / "lake")
    ui = subprocess.Popen(
        [sys.executable, "-c", "from tcell_assets.cli import main; main()", "ui", "--port", str(PORT)],
        env={**os.environ, "TCELL_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "ui.log").open("w"),
    )
    figures: list[Figures] = []
    try:
        wait_for(lambda: "version" in post("{ version }"), 240)
        print(post(START_SENSOR, name=SENSOR))
        processes = leaders(ui.pid)
        before, started = event_log_bytes(folder), time.monotonic()
        for number in range(1, batches + 1):
            batch = drop_batch(home.data, number)
            wait_for(partial(lake.exists, "expression_matrix", batch), SECONDS_FOR_A_BATCH)
            if number % 10 == 0 or number == batches:
                figures.append(
                    Figures(
                        number,
                        round(resident_mib(processes["daemon"]), 1),
                        round(resident_mib(processes["webserver"]), 1),
                        round((event_log_bytes(folder) - before) / number / 1024, 1),
                        round((time.monotonic() - started) / number, 2),
                    )
                )
                print(json.dumps(asdict(figures[-1])), flush=True)
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait(60)
    return figures


def wait_for(is_so: Callable[[], object], seconds: float) -> None:
    """Return as soon as a question is answered by yes.

    Raises:
        TimeoutError: It was not within the time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if is_so():
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"not within {seconds:.0f} s; see ui.log in the folder")


def growth(figures: list[Figures], of: str) -> float:
    """Return the median of the last quarter over that of the second, less one."""
    values = [float(getattr(figure, of)) for figure in figures]
    quarter = max(1, len(values) // 4)
    return (
        statistics.median(values[-quarter:]) / statistics.median(values[quarter : 2 * quarter] or values[:1])
        - 1
    )


def main() -> None:
    """Soak and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for the installation")
    arguments = parser.parse_args()
    figures = soak(arguments.folder, arguments.batches)
    print(json.dumps({name: f"{growth(figures, name):+.1%}" for name in ("daemon_mib", "webserver_mib")}))


if __name__ == "__main__":
    main()
