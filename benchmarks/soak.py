"""Drops many batches into a running installation and watches what the daemon and the webserver keep of it.

    python -m benchmarks.soak --batches 200 --folder /tmp/soak

Starts `tcell ui` on an installation of its own, drops five small batches at a time, waits until they are in the lake,
and prints a line of figures every ten: resident memory of daemon and webserver with their code servers and the process
that runs are forked from, size of the event log, seconds a batch. The last line compares the memory of the last quarter
with that of the second (the first is warming up).
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

from tcell_assets.installation.configuration import Configuration
from tcell_assets.lake.store import Lake

PORT = 3917
AT_ONCE = 5
SECONDS_FOR_BATCHES = 300.0
OPERATIONS = {
    "TCELL_NEW_PLATES": "on",
    "TCELL_LOOK_EVERY_SECONDS": "2",
    "TCELL_NIGHTLY": "off",
    "TCELL_WEEKLY": "off",
}


@dataclass(frozen=True)
class Figures:
    """What one look saw; memory in MiB, resident, summed over a process and those it started."""

    batches: int
    daemon_mib: float
    webserver_mib: float
    event_log_kib_a_batch: float
    seconds_a_batch: float


def resident_mib(leader: int) -> float:
    """Return the resident memory of the process group of `leader`, without what comes and goes.

    Those are run workers, and the code server that the daemon replaces every minute and that lives on for 20 s.
    """
    members: dict[int, tuple[int, float]] = {}
    forks_runs: set[int] = set()
    code_servers: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == leader:
            pages = int(fields[21])
            members[int(folder.name)] = (int(fields[1]), pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
            if b"multiprocessing.forkserver" in command:
                forks_runs.add(int(folder.name))
            if b"\0api\0grpc\0" in command:
                code_servers[int(folder.name)] = int(fields[19])
    replaced = set(sorted(code_servers, key=code_servers.__getitem__)[:-1])
    return sum(
        mib
        for process, (parent, mib) in members.items()
        if parent not in forks_runs and process not in replaced
    )


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
                ("daemon", "dagster-daemon run"),
            ):
                if part in command:
                    found[name] = int(process)
    return found


def is_up() -> bool:
    """Return whether the webserver answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/server_info", timeout=60) as answer:
        return bool(answer.status == 200)


def drop_batch(data: Path, number: int) -> str:
    """Write one batch of a 96-well plate, ready to be read, and return its name."""
    from tcell_assets.commands.simulate import write_screen
    from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

    prefix = f"soak{number:03d}x"
    screen = simulate_screen(
        SimulationSettings(n_genes=48, n_batches=1, n_plates=1, seed=number, batch_prefix=prefix)
    )
    folder = write_screen(screen, data, counts=False, replace=False)[0]
    (folder / "_READY").touch()
    return folder.name


def soak(folder: Path, batches: int) -> list[Figures]:
    """Run the installation over so many batches and return the figures of every tenth."""
    home = Configuration(folder, folder / "data", str(folder / "storage"), folder / "storage")
    home.data.mkdir(parents=True)
    lake = Lake(UPath(home.storage) / "lake")
    ui = subprocess.Popen(
        [sys.executable, "-c", "from tcell_assets.cli import main; main()", "ui", "--port", str(PORT)],
        env={**os.environ, **OPERATIONS, "TCELL_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "ui.log").open("w"),
    )
    figures: list[Figures] = []
    try:
        wait_for(is_up, 240)
        processes = leaders(ui.pid)
        before, started = event_log_bytes(folder), time.monotonic()
        for first in range(1, batches + 1, AT_ONCE):
            number = min(first + AT_ONCE - 1, batches)
            dropped = [drop_batch(home.data, one) for one in range(first, number + 1)]
            # The last table of the job: its runs have ended, or are about to.
            wait_for(partial(all_there, lake, dropped), SECONDS_FOR_BATCHES)
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


def all_there(lake: Lake, batches: list[str]) -> bool:
    """Return whether each of these batches has been ingested and judged."""
    return all(lake.exists("adjusted_expression", batch) for batch in batches)


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
