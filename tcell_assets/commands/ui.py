"""`tcell ui`: webserver and daemon on this machine, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import click

from tcell_assets.configuration import load_configuration

SECONDS_TO_STOP = 15


@click.command("ui", epilog="Example:\n\n  tcell ui --port 3000")
@click.option("--port", type=int, default=3000, show_default=True)
def ui_command(port: int) -> None:
    """Open the Dagster UI on 127.0.0.1, with the daemon that runs schedules, sensors and backfills.

    Ctrl-C stops both.
    """
    from tcell_assets.platform import open_platform

    configuration = load_configuration()
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
    environment = {
        **os.environ,
        "TCELL_HOME": str(configuration.home),
        "TCELL_DATA": str(configuration.data),
        "TCELL_STORAGE": configuration.storage,
        "DAGSTER_HOME": str(configuration.dagster_home),
    }
    workspace = ["-m", "tcell_assets.definitions"]
    python = [sys.executable, "-m"]
    processes = [
        # Sessions of their own: Ctrl-C reaches this process alone, which then ends both with all their children.
        subprocess.Popen(
            [*python, *arguments], env=environment, cwd=configuration.home, start_new_session=True
        )
        for arguments in (
            ["dagster_webserver", "--host", "127.0.0.1", "--port", str(port), *workspace],
            ["dagster", "daemon", "run", *workspace],  # `python -m dagster` is the `dagster` command
        )
    ]
    click.echo(f"UI: http://127.0.0.1:{port}  (Ctrl-C stops it)")
    stopping = [False]

    def stop(signal_number: int, frame: object) -> None:
        stopping[0] = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not stopping[0] and all(process.poll() is None for process in processes):
            time.sleep(0.2)
    finally:
        _stop_all(processes)
    if not stopping[0]:
        raise click.ClickException(f"the webserver or the daemon ended by itself; is port {port} in use?")


def _stop_all(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + SECONDS_TO_STOP
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
