"""The guard in front of Dagster's web application: an ASGI middleware that refuses what no user of the UI asked for.

Dagster's webserver has no login and trusts whoever reaches it. Any web page that a user visits can reach
127.0.0.1, so each request must name this server as its Host (a rebound DNS name does not), must come from this
server's own pages or from no page at all (Origin, Referer, Sec-Fetch-Site), and must change nothing by GET.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tcell_assets.webserver.limits import LARGEST_BODY, LARGEST_HEAD, head_size, is_servable
from tcell_assets.webserver.login import Login

log = logging.getLogger(__name__)

GRAPHQL_PATH = "/graphql"
SAFE_METHODS = frozenset({"GET", "HEAD"})
# A form of a foreign page can send text/plain without asking first; these two it cannot.
GRAPHQL_CONTENT_TYPES = frozenset({"application/json", "application/graphql"})
# What a browser says of a request that its user or a page of this very server made.
OWN_FETCH_SITES = frozenset({"same-origin", "none"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Refusal:
    """Why a request is not passed on: an HTTP status and a sentence for the person who reads it."""

    status: int
    reason: str


@dataclass(frozen=True)
class Door:
    """How this server is reached: what a Host header may say and what an Origin may be, in lower case."""

    hosts: frozenset[str]
    origins: frozenset[str]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that binds `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def door_of(host: str, port: int, origins: Sequence[str] = ()) -> Door:
    """Return what Host and Origin may say where the server binds `host` and `port`.

    Args:
        host: Address that the server binds. A loopback address is reached by its three names; 0.0.0.0 and :: by the
            machine's own names and addresses.
        port: Its port.
        origins: Further origins by which browsers reach it, e.g. `https://screens.example.org` of a proxy.

    Raises:
        ValueError: An origin is not `scheme://host` or `scheme://host:port`.
    """
    if is_loopback(host):
        names = {"127.0.0.1", "localhost", "::1", host}
    elif host in ("0.0.0.0", "::"):
        names = {"127.0.0.1", "localhost", "::1", socket.gethostname(), socket.getfqdn(), *_addresses()}
    else:
        names = {host}
    hosts, allowed = set(), set()
    for name in names:
        written = f"[{name}]" if ":" in name else name.lower()
        for authority in {f"{written}:{port}"} | ({written} if port == 80 else set()):
            hosts.add(authority)
            allowed.add(f"http://{authority}")
    for origin in origins:
        parts = urlsplit(origin.lower())
        if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or parts.path.strip("/") or parts.username:
            raise ValueError(f"{origin!r} is no origin; give it as https://screens.example.org")
        hosts.add(parts.netloc)
        allowed.add(f"{parts.scheme}://{parts.netloc}")
    return Door(frozenset(hosts), frozenset(allowed))


def _addresses() -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)}
    except socket.gaierror:
        return set()


class Guard:
    """ASGI middleware: passes on what `refusal` finds nothing wrong with, and asks for the token where one is set."""

    def __init__(self, app: ASGIApp, door: Door, login: Login | None = None) -> None:
        self.app, self.door, self.login = app, door, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; see the ASGI specification."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = refusal(scope, self.door)
        if refused is not None:
            # The path alone: a query string may hold what someone tried to have executed.
            log.warning("refused %s %r: %s", scope.get("method", "WebSocket"), scope["path"], refused.reason)
            await _answer(PlainTextResponse(refused.reason, refused.status), scope, receive, send)
            return
        receive = _of_limited_size(receive)
        try:
            asked = await self.login.judge(scope, receive) if self.login is not None else None
            if asked is not None:
                await _answer(asked, scope, receive, send)
            else:
                await self.app(scope, receive, _against_framing(send))
        except ClientDisconnect:
            # Gone, too slow or too large: nobody is left to answer.
            log.warning("%s %r ended before it had arrived", scope.get("method", "WebSocket"), scope["path"])


def _of_limited_size(receive: Receive) -> Receive:
    """Return a `receive` that takes a body of a size nobody announced for broken off when it is too large."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
        return message if received <= LARGEST_BODY else {"type": "http.disconnect"}

    return receive_limited


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        # Closing before accepting answers the handshake with 403.
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    # Closed, so that nobody holds a connection here without the token.
    response.headers.update({"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Connection": "close"})
    await response(scope, receive, send)


def _against_framing(send: Send) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            # A page that shows the UI in a frame could have its user click what it lays over the buttons.
            MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
        await send(message)

    return send_with_header


def refusal(scope: Scope, door: Door) -> Refusal | None:
    """Return why a request is refused, or None where it may pass."""
    headers = Headers(scope=scope)
    if head_size(scope) > LARGEST_HEAD:
        return Refusal(431, f"A request's headers may take {LARGEST_HEAD // 1024} KiB.")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return Refusal(413, f"A request's body may take {LARGEST_BODY // 2**20} MiB.")
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower() not in door.hosts:
        return Refusal(421, "This server does not answer under that Host; see tcell ui --origin.")
    foreign = _comes_from_elsewhere(scope, headers, door)
    if foreign is not None:
        return foreign
    if not is_servable(scope["path"]):
        return Refusal(404, "There is no such page.")
    if scope["type"] == "http" and scope["path"].rstrip("/").endswith(GRAPHQL_PATH):
        return _graphql_refusal(scope, headers)
    return None


def _comes_from_elsewhere(scope: Scope, headers: Headers, door: Door) -> Refusal | None:
    origins = headers.getlist("origin")
    if any(origin.lower() not in door.origins for origin in origins):
        return Refusal(403, "Requests from pages of another origin are refused.")
    is_safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
    site = headers.get("sec-fetch-site", "none")
    # A link in a mail or a chat leads here by a plain navigation, which can only look.
    is_link = is_safe and headers.get("sec-fetch-mode") == "navigate"
    if site not in OWN_FETCH_SITES and not is_link:
        return Refusal(403, "Requests from pages of another site are refused.")
    referer = headers.get("referer")
    if not is_safe and not origins and referer is not None:
        parts = urlsplit(referer.lower())
        if f"{parts.scheme}://{parts.netloc}" not in door.origins:
            return Refusal(403, "Requests from pages of another origin are refused.")
    return None


def _graphql_refusal(scope: Scope, headers: Headers) -> Refusal | None:
    if scope["method"] == "POST":
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in GRAPHQL_CONTENT_TYPES:
            return Refusal(415, "GraphQL is posted as application/json.")
        return None
    if scope["method"] not in SAFE_METHODS:
        return Refusal(405, "GraphQL takes GET and POST.")
    query_string = scope["query_string"].decode("latin-1")
    documents = [value for name, value in parse_qsl(query_string, keep_blank_values=True) if name == "query"]
    if not only_reads(documents):
        return Refusal(405, "A GET may only query; post mutations from the UI.")
    return None


def only_reads(documents: Iterable[str]) -> bool:
    """Return whether each GraphQL document holds queries only; one that cannot be parsed does not."""
    for document in documents:
        try:
            definitions = parse(document).definitions
        except (GraphQLError, RecursionError):
            return False
        for definition in definitions:
            if (
                isinstance(definition, OperationDefinitionNode)
                and definition.operation is not OperationType.QUERY
            ):
                return False
    return True
