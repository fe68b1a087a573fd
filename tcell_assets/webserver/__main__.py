"""Runs Dagster's web application behind the guard: what `tcell ui` starts beside the daemon."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tcell_assets.defs.resources import Storage
from tcell_assets.installation.configuration import load_configuration, restrict_new_files
from tcell_assets.installation.dagster_internals import workspace_of
from tcell_assets.webserver.guard import Guard, door_of
from tcell_assets.webserver.limits import server_config
from tcell_assets.webserver.login import Login
from tcell_assets.webserver.optional_upstreams import WithoutOptionalUpstreams
from tcell_assets.webserver.reports import reports_page
from tcell_assets.webserver.supervisor import WORKSPACE_FILE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import HTMLResponse

# As dagster-webserver's own defaults.
STATEMENT_TIMEOUT_MILLISECONDS = 15_000
POOL_RECYCLE_SECONDS = 3_600
POOL_OVERFLOW = 20
POLL_MILLISECONDS = 2_000
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
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    restrict_new_files()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Arguments and environment are readable by other programs; standard input is not.
    token = sys.stdin.readline().strip() if token_on_stdin else ""
    is_https = any(origin.lower().startswith("https://") for origin in origins)
    login = Login(token, port, is_https) if token_on_stdin else None
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MILLISECONDS, POOL_RECYCLE_SECONDS, POOL_OVERFLOW)
        with workspace_of(instance, WORKSPACE_FILE, __version__, read_only) as workspace:
            app = create_app_from_workspace_process_context(workspace, "", POLL_MILLISECONDS)
            storage = Storage(root=load_configuration().storage)
            reports = storage.local_folder("reports")
            # Before Dagster's own routes, the last of which takes every path.
            app.router.routes[:0] = [
                *(Route(path, partial(reports_index, reports)) for path in ("/reports", "/reports/")),
                *(
                    Mount(f"/{folder}", StaticFiles(directory=storage.local_folder(folder)))
                    for folder in SERVED_FOLDERS
                ),
            ]
            guard = Guard(WithoutOptionalUpstreams(app), door_of(host, port, origins), login)
            uvicorn.Server(server_config(guard, host, port)).run()


async def reports_index(folder: Path, request: Request) -> HTMLResponse:
    """Answer with the list of reports."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(reports_page(folder))


if __name__ == "__main__":
    serve()
