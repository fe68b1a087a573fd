"""Runs Dagster's web application behind the guard: what `tcell ui` starts beside the daemon."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from tcell_assets.defs.resources import Storage
from tcell_assets.installation.configuration import load_configuration
from tcell_assets.webserver.guard import Guard, door_of
from tcell_assets.webserver.login import Login
from tcell_assets.webserver.supervisor import WORKSPACE_FILE

# As dagster-webserver's own defaults.
STATEMENT_TIMEOUT_MILLISECONDS = 15_000
POOL_RECYCLE_SECONDS = 3_600
POOL_OVERFLOW = 20
POLL_MILLISECONDS = 2_000
SECONDS_FOR_OPEN_REQUESTS = 3
# Folders of the storage whose files the assets' pages link to.
SERVED_FOLDERS = ("reports", "figures")


@click.command()
@click.option("--host", required=True)
@click.option("--port", type=int, required=True)
@click.option("--origin", "origins", multiple=True)
@click.option("--read-only", is_flag=True)
@click.option("--token-on-stdin", is_flag=True, help="Read the token from the first line of standard input.")
def serve(host: str, port: int, origins: Sequence[str], read_only: bool, token_on_stdin: bool) -> None:
    """Serve the UI of the instance in DAGSTER_HOME until SIGINT or SIGTERM."""
    import uvicorn
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Arguments and environment are readable by other programs; standard input is not.
    token = sys.stdin.readline().strip() if token_on_stdin else ""
    is_https = any(origin.lower().startswith("https://") for origin in origins)
    login = Login(token, port, is_https) if token_on_stdin else None
    target = WorkspaceFileTarget([str(WORKSPACE_FILE)])
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MILLISECONDS, POOL_RECYCLE_SECONDS, POOL_OVERFLOW)
        with WorkspaceProcessContext(instance, target, version=__version__, read_only=read_only) as workspace:
            app = create_app_from_workspace_process_context(workspace, "", POLL_MILLISECONDS)
            storage = Storage(root=load_configuration().storage)
            # Before Dagster's own routes, the last of which takes every path.
            app.router.routes[:0] = [
                Mount(f"/{folder}", StaticFiles(directory=storage.local_folder(folder)))
                for folder in SERVED_FOLDERS
            ]
            uvicorn.run(
                Guard(app, door_of(host, port, origins), login),
                host=host,
                port=port,
                log_level="warning",
                server_header=False,
                # The guard judges what the client itself said; nothing here reads forwarded addresses.
                proxy_headers=False,
                # Open pages hold their WebSockets for ever; Ctrl-C shall not wait for them.
                timeout_graceful_shutdown=SECONDS_FOR_OPEN_REQUESTS,
            )


if __name__ == "__main__":
    serve()
