"""A small web application behind the guard, served for real, so that each test speaks HTTP to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tcell_assets.webserver.guard import Guard, door_of
from tcell_assets.webserver.limits import server_config
from tcell_assets.webserver.login import Login


@dataclass(frozen=True)
class Server:
    """Where a guarded application listens, and what reached it past the guard."""

    port: int
    reached: list[str]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves an application which answers every path, behind the guard."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(token: str | None = None, origins: Sequence[str] = ()) -> Server:
        port, reached = free_port(), list[str]()

        async def answer(request: Request) -> PlainTextResponse:
            await request.body()
            reached.append(f"{request.method} {request.url.path}")
            return PlainTextResponse("inside")

        async def converse(websocket: WebSocket) -> None:
            reached.append("websocket")
            await websocket.accept()
            await websocket.send_text("inside")
            await websocket.close()

        app = Starlette(
            routes=[
                WebSocketRoute("/graphql", converse),
                Route("/{path:path}", answer, methods=["GET", "POST", "PUT", "DELETE"]),
            ]
        )
        login = Login(token, port) if token else None
        guard = Guard(app, door_of("127.0.0.1", port, origins), login)
        server = uvicorn.Server(server_config(guard, "127.0.0.1", port))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return Server(port, reached)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
