"""What a connection may take before anyone knows who it is: bytes of head and body, time for them, and its place.

uvicorn has limits for requests that have arrived. 1 500 requests that never end, or 54 MiB of headers, would hold
memory and file descriptors for as long as their sender likes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope

# Browsers send 1 to 2 KiB, cookies included.
LARGEST_HEAD = 32 * 1024
# The longest configuration of a run that was posted took 40 KiB.
LARGEST_BODY = 8 * 2**20
SECONDS_FOR_A_HEAD = 10.0
SECONDS_FOR_A_BODY = 30.0
# A browser's request arrives whole within milliseconds. Where more than these are on their way, the oldest go.
MOST_UNFINISHED_REQUESTS = 256
SECONDS_FOR_OPEN_REQUESTS = 3
# Longer names no file system holds.
LONGEST_NAME, LONGEST_PATH = 255, 4096


def server_config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """Return the settings of a server that keeps these limits."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        log_level="warning",
        server_header=False,
        # The guard judges what the client itself said; nothing here reads forwarded addresses.
        proxy_headers=False,
        # Open pages hold their WebSockets for ever; Ctrl-C shall not wait for them.
        timeout_graceful_shutdown=SECONDS_FOR_OPEN_REQUESTS,
    )


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a clock from the first byte of a request to its last."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._clock: asyncio.TimerHandle | None = None
        self._waits_for: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is one too."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see how far the request has come."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """See whether the next request has begun: one that came in with the last has no more time than another."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket, whose time is its own."""
        self._stop_clock()
        self._waits_for = h11.SWITCHED_PROTOCOL
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_clock()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self._waits_for is h11.SWITCHED_PROTOCOL or self.transport.is_closing():
            return
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_clock()
            self._waits_for = None
        elif state is not self._waits_for:
            # Not once more with every byte: a request that trickles in has no more time than another.
            self._stop_clock()
            self._waits_for = state
            seconds = SECONDS_FOR_A_HEAD if state is h11.IDLE else SECONDS_FOR_A_BODY
            self._clock = self.loop.call_later(seconds, self.transport.close)
            unfinished = _unfinished_requests(self.server_state)
            unfinished[self] = None
            if len(unfinished) > MOST_UNFINISHED_REQUESTS:
                next(iter(unfinished)).transport.abort()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        _unfinished_requests(self.server_state).pop(self, None)


def _unfinished_requests(server_state: Any) -> OrderedDict[LimitedProtocol, None]:
    """The connections of one server whose request has not arrived whole, oldest first."""
    if not hasattr(server_state, "unfinished_requests"):
        server_state.unfinished_requests = OrderedDict()
    connections: OrderedDict[LimitedProtocol, None] = server_state.unfinished_requests
    return connections


def is_servable(path: str) -> bool:
    """Return whether a file could bear this path: others end in an error of the file system, not in "not found"."""
    if "\0" in path or len(path.encode("utf-8", "surrogatepass")) > LONGEST_PATH:
        return False
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return False
    return all(len(name.encode()) <= LONGEST_NAME for name in path.split("/"))


def head_size(scope: Scope) -> int:
    """Return the bytes of a request's target and headers."""
    target = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    return target + sum(len(name) + len(value) for name, value in scope["headers"])
