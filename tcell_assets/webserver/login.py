"""Asks for the token once and knows the browser again by a signed cookie; the token is never sent back or logged."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

SHORTEST_TOKEN = 16
DAYS_REMEMBERED = 30
LARGEST_FORM = 4096
# A guess costs a second of everybody's who guesses, so even a token of 16 letters outlasts any number of guessers.
SECONDS_AFTER_A_WRONG_TOKEN = 1.0
# Who finds so many others before him is told to come back; he learns nothing of his token.
MOST_WAITING = 16
MOST_KNOWN_ADDRESSES = 1000
LOGIN_PATH = "/tcell-login"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>T-cell screens</title></head>
<body style="font-family: sans-serif; max-width: 30em; margin: 15vh auto">
<h1>T-cell screens</h1>
<p>{message}</p>
<form method="post" action="{action}">
<input type="hidden" name="next" value="{next}">
<label>Token <input type="password" name="token" autocomplete="current-password" autofocus required></label>
<button type="submit">Open</button>
</form></body></html>"""


class _Queue:
    """Judges one token at a time, and after a wrong one nothing for a second."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def judge(self, is_right: Callable[[], bool]) -> bool | None:
        """Return whether the token is right; None where too many wait to be told."""
        if self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._turn:
                # The right token waits too: an answer that comes sooner than a wrong one's would tell as much.
                right = is_right()
                if not right:
                    await asyncio.sleep(SECONDS_AFTER_A_WRONG_TOKEN)
                return right
        finally:
            self._waiting -= 1


class Login:
    """Tells known browsers from others.

    A cookie holds the second until which it is good and the HMAC-SHA256 of that second under the token: it outlives a
    restart, and a new token ends it. Scripts send `Authorization: Bearer <token>` instead.
    """

    def __init__(self, token: str, port: int, is_https: bool = False) -> None:
        """Take the token.

        Args:
            token: What users are asked for.
            port: Names the cookie, since browsers do not keep the cookies of two ports of a machine apart.
            is_https: Whether browsers may send the cookie over TLS only.

        Raises:
            ValueError: The token is too short to withstand guessing.
        """
        if len(token) < SHORTEST_TOKEN:
            raise ValueError(f"the token has fewer than {SHORTEST_TOKEN} characters")
        self._token = token.encode()
        self._cookie = f"tcell_ui_{port}"
        self._is_https = is_https
        # Whoever has shown the token from an address does not wait behind those who guess from others.
        self._strangers, self._known = _Queue(), dict[str, _Queue]()

    async def judge(self, scope: Scope, receive: Receive) -> Response | None:
        """Return None where a request carries a good cookie or the token, else what to answer.

        Raises:
            starlette.requests.ClientDisconnect: A form never arrived whole.
        """
        if self.knows(scope):
            return None
        scheme, _, credential = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            right = await self._judge_token(scope, credential.strip())
            return None if right else _refused(right)
        return await self.ask(scope, receive)

    async def _judge_token(self, scope: Scope, given: str) -> bool | None:
        address = (scope.get("client") or ("",))[0]
        right = await self._known.get(address, self._strangers).judge(lambda: self._is_token(given))
        if right and address not in self._known and len(self._known) < MOST_KNOWN_ADDRESSES:
            self._known[address] = _Queue()
        return right

    def knows(self, scope: Scope) -> bool:
        """Return whether a request carries a good cookie."""
        headers = Headers(scope=scope)
        until, _, signature = cookie_parser(headers.get("cookie", "")).get(self._cookie, "").partition(".")
        if not until.isascii() or not until.isdigit() or len(until) > 12:
            return False
        # In this order, so that the time taken tells nothing of the signature.
        is_signed = hmac.compare_digest(self._signature(until).encode(), signature.encode())
        return is_signed and int(until) > time.time()

    async def ask(self, scope: Scope, receive: Receive) -> Response:
        """Return the answer to an unknown browser: the form, or after the right token the way back with a cookie."""
        if scope["type"] == "websocket":
            return PlainTextResponse("", 401)
        request = Request(scope, receive)
        if scope["method"] == "POST" and scope["path"] == LOGIN_PATH:
            return await self._answer_form(request)
        if scope["method"] == "GET" and "text/html" in request.headers.get("accept", ""):
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return self._form("This server asks for its token once.", path, 401)
        return PlainTextResponse(
            "A token is needed: open the UI in a browser, or send it as a bearer token.", 401
        )

    async def _answer_form(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_FORM:
                return PlainTextResponse("That is no token.", 413)
        form = parse_qs(body.decode("utf-8", "replace"))
        target = _local_path(form.get("next", ["/"])[0])
        right = await self._judge_token(request.scope, form.get("token", [""])[0])
        if right is None:
            return _refused(right)
        if not right:
            return self._form("That was not the token.", target, 401)
        seconds = DAYS_REMEMBERED * 24 * 3600
        until = str(int(time.time()) + seconds)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            self._cookie,
            f"{until}.{self._signature(until)}",
            max_age=seconds,
            httponly=True,
            samesite="lax",
            secure=self._is_https,
        )
        return response

    def _form(self, message: str, path: str, status: int) -> Response:
        page = _PAGE.format(message=message, action=LOGIN_PATH, next=html.escape(path, quote=True))
        response = HTMLResponse(page, status)
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        )
        return response

    def _is_token(self, given: str) -> bool:
        # Of equal length whatever was given: compare_digest tells lengths apart.
        return hmac.compare_digest(
            hashlib.sha256(given.encode()).digest(), hashlib.sha256(self._token).digest()
        )

    def _signature(self, until: str) -> str:
        return hmac.new(self._token, f"tcell ui until {until}".encode(), hashlib.sha256).hexdigest()


def _refused(right: bool | None) -> Response:
    """The answer to a script without the token, or to anyone where too many try tokens."""
    if right is None:
        wait = {"Retry-After": "10"}
        return PlainTextResponse("Too many tokens are being tried; come back in 10 s.", 429, wait)
    return PlainTextResponse("That was not the token.", 401)


def _local_path(path: str) -> str:
    """Return `path` where it is one of this server, else the first page: no way out to another site."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"
