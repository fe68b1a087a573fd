"""Keeps the UI from asking "are you sure" for an upstream that every asset which reads it can do without.

An edge orders a backfill, so hits come after the latents they combine; yet a screen without a model has hits and will
never have latents. Dagster's UI asks the server which upstreams of a selection were never made, by a query of its own
name; these assets are left out of the question. Under another name the query passes as it is, and the UI asks again.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tcell_assets.webserver.guard import GRAPHQL_PATH

# Whatever cannot do without latents depends on `latent_embeddings` itself, of which the UI goes on asking.
OPTIONAL_UPSTREAMS = frozenset({"adjusted_embeddings"})
QUESTION = "LaunchAssetCheckUpstreamQuery"


class WithoutOptionalUpstreams:
    """ASGI middleware behind the guard, which has limited the body's size."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; see the ASGI specification."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(GRAPHQL_PATH):
            await self.app(scope, receive, send)
            return
        body, rest = await _body(receive)
        asked = without_optional_upstreams(body)
        if asked != body:
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["content-length"] = str(len(asked))
        await self.app(scope, _replayed(asked, rest, receive), send)


def without_optional_upstreams(body: bytes) -> bytes:
    """Return the UI's question without the assets that are optional, and any other body as it is."""
    if QUESTION.encode() not in body:
        return body
    try:
        question = json.loads(body)
    except ValueError:
        return body
    if not isinstance(question, dict) or question.get("operationName") != QUESTION:
        return body
    variables = question.get("variables")
    if not isinstance(variables, dict) or not isinstance(variables.get("assetKeys"), list):
        return body
    asked = [key for key in variables["assetKeys"] if not _is_optional(key)]
    return json.dumps({**question, "variables": {**variables, "assetKeys": asked}}).encode()


def _is_optional(key: Any) -> bool:
    path = key.get("path") if isinstance(key, dict) else None
    return isinstance(path, list) and len(path) == 1 and path[0] in OPTIONAL_UPSTREAMS


async def _body(receive: Receive) -> tuple[bytes, Message | None]:
    """Return what arrived of the body, and the message that broke it off, if one did."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(pieces), message
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces), None


def _replayed(body: bytes, rest: Message | None, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": rest is not None}]
    if rest is not None:
        messages.append(rest)

    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return replay
