"""`tcell ui`: the guarded webserver and the daemon on this machine, stopped together."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import click

from tcell_assets.installation.configuration import Configuration, load_configuration

TOKEN_VARIABLE = "TCELL_UI_TOKEN"
TOKEN_FILE = "ui_token"
LOCK_FILE = ".ui.lock"
LOOK_SECONDS = 0.5


@click.command("ui", epilog="Example:\n\n  tcell ui --port 3000\n\n  tcell ui --host 0.0.0.0 --token")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--read-only", is_flag=True, help="For viewers: nothing can be started, changed or deleted.")
@click.option(
    "--token",
    is_flag=True,
    help=f"Ask browsers for a token at their first visit: that in {TOKEN_VARIABLE}, or one made up and kept in "
    f"DAGSTER_HOME/{TOKEN_FILE}. Needed where --host is not this machine alone.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Another address by which browsers reach this UI, e.g. that of a proxy: https://screens.example.org.",
)
def ui_command(port: int, host: str, read_only: bool, token: bool, origins: tuple[str, ...]) -> None:
    """Open the Dagster UI, with the daemon that runs schedules, sensors and backfills; Ctrl-C stops both.

    Other web pages, other hosts and other origins are kept out.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.webserver.guard import door_of, is_loopback

    if not is_loopback(host) and not token:
        raise click.UsageError(f"--host {host} lets other machines in; add --token, which asks them for one")
    try:
        door_of(host, port, origins)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    configuration = load_configuration()
    require_free_port(host, port)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
    lock = take_daemon_lock(configuration)
    secret = find_token(configuration) if token else ""
    arguments = ["--host", host, "--port", str(port), *(f"--origin={origin}" for origin in origins)]
    arguments += ["--read-only"] * read_only + ["--token-on-stdin"] * token
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tcell_assets.webserver.supervisor", *arguments],
        stdin=subprocess.PIPE,
        env=environment_of_children(configuration),
        cwd=configuration.home,
        # A session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
        start_new_session=True,
        pass_fds=[lock],
    )
    assert supervisor.stdin is not None
    supervisor.stdin.write(f"{secret}\n".encode())
    supervisor.stdin.flush()
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    click.echo(f"starting the UI at {address}; Ctrl-C stops it")
    threading.Thread(target=say_when_ready, args=(host, port, address), daemon=True).start()
    ended_by_itself = wait_for_the_end(supervisor)
    if ended_by_itself:
        raise click.ClickException(
            "the webserver or the daemon ended by itself; its last lines above say why"
        )


def say_when_ready(host: str, port: int, address: str) -> None:
    """Print what to open as soon as the webserver listens, which it does once all definitions are loaded."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        try:
            with socket.create_connection((reached, port), timeout=5):
                break
        except OSError:
            time.sleep(LOOK_SECONDS)
    click.echo(f"ready: open {address}  (reports: {address}/reports/)")


def wait_for_the_end(supervisor: subprocess.Popen[bytes]) -> bool:
    """Wait until the supervisor ends or a signal asks for it, and return whether it ended by itself."""
    asked = [False]

    def stop(signal_number: int, frame: object) -> None:
        asked[0] = True
        assert supervisor.stdin is not None
        supervisor.stdin.close()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    supervisor.wait()
    return not asked[0]


def require_free_port(host: str, port: int) -> None:
    """Raise where the address cannot be listened on.

    Raises:
        click.ClickException: Another program listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on {host}:{port} ({error.strerror or error}); is it in use? Try --port {port + 1}"
            ) from error


def take_daemon_lock(configuration: Configuration) -> int:
    """Return a descriptor that holds the installation's lock while any process keeps it open.

    Raises:
        click.ClickException: Another `tcell ui` works on this installation: two daemons would start runs twice.
    """
    import fcntl

    lock = os.open(configuration.dagster_home / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise click.ClickException(
            f"another tcell ui works on {configuration.dagster_home}; two daemons would start every run twice"
        ) from None
    return lock


def find_token(configuration: Configuration) -> str:
    """Return the token of the environment, or the one kept in DAGSTER_HOME; that is made up at first.

    Raises:
        click.ClickException: The token is too short, or its file is readable by others.
    """
    from tcell_assets.webserver.login import SHORTEST_TOKEN

    given = os.environ.get(TOKEN_VARIABLE, "")
    if given:
        if len(given) < SHORTEST_TOKEN:
            raise click.ClickException(f"{TOKEN_VARIABLE} has fewer than {SHORTEST_TOKEN} characters")
        return given
    file = configuration.dagster_home / TOKEN_FILE
    if not file.exists():
        _write_private(file, secrets.token_urlsafe(32))
    if file.stat().st_mode & 0o077:
        raise click.ClickException(
            f"{file} is readable by others; chmod 600 it, or delete it for a new token"
        )
    click.echo(f"token: in {file}")
    return file.read_text().strip()


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")


def environment_of_children(configuration: Configuration) -> dict[str, str]:
    """Return the environment of webserver, daemon and runs: this installation, and no token."""
    return {
        **{name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
        "TCELL_HOME": str(configuration.home),
        "TCELL_DATA": str(configuration.data),
        "TCELL_STORAGE": configuration.storage,
        "DAGSTER_HOME": str(configuration.dagster_home),
    }
