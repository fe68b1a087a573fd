"""The token: asked for once, remembered by a cookie that neither holds nor outlives it."""

from __future__ import annotations

import logging
import re
import time

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tcell_assets.webserver.login import LOGIN_PATH, Login
from tcell_assets_tests.webserver.conftest import Serve, Server

TOKEN = "a-token-of-the-tests"
PAGE = {"Accept": "text/html"}


def _log_in(server: Server, token: str, path: str = "/") -> requests.Response:
    form = {"token": token, "next": path}
    return requests.post(f"{server.origin}{LOGIN_PATH}", data=form, allow_redirects=False)


def test_nothing_is_reached_without_the_token(serve: Serve) -> None:
    server = serve(token=TOKEN)
    assert requests.get(f"{server.origin}/server_info").status_code == 401
    assert requests.post(f"{server.origin}/graphql", json={}).status_code == 401
    assert requests.get(f"{server.origin}/assets", headers=PAGE).status_code == 401
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{server.port}/graphql")
    assert server.reached == []


def test_the_right_token_opens_the_page_that_was_asked_for_and_stays_good(serve: Serve) -> None:
    server = serve(token=TOKEN)
    browser = requests.Session()
    asked = browser.get(f"{server.origin}/runs?view=all&x=1", headers=PAGE)
    target = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert target is not None
    assert target[1] == "/runs?view=all&amp;x=1"
    form = {"token": TOKEN, "next": "/runs?view=all&x=1"}
    answer = browser.post(f"{server.origin}{LOGIN_PATH}", data=form)
    assert (answer.url, answer.text) == (f"{server.origin}/runs?view=all&x=1", "inside")
    assert browser.get(f"{server.origin}/assets").text == "inside"
    ((name, value),) = browser.cookies.items()
    assert TOKEN not in str(value)
    header = f"{name}={value}"
    url = f"ws://127.0.0.1:{server.port}/graphql"
    with connect(url, additional_headers={"Cookie": header}) as websocket:
        assert websocket.recv() == "inside"


def test_the_cookie_is_kept_from_scripts_and_from_other_sites_posts(serve: Serve) -> None:
    cookie = _log_in(serve(token=TOKEN), TOKEN).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_a_wrong_token_opens_nothing_and_costs_a_second(serve: Serve) -> None:
    server = serve(token=TOKEN)
    started = time.monotonic()
    answer = _log_in(server, TOKEN[:-1])
    assert time.monotonic() - started >= 1.0
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def test_scripts_send_the_token_as_a_bearer(serve: Serve) -> None:
    server = serve(token=TOKEN)
    for scheme, status in ((f"Bearer {TOKEN}", 200), ("Bearer x", 401), (f"Basic {TOKEN}", 401)):
        assert requests.get(f"{server.origin}/x", headers={"Authorization": scheme}).status_code == status


def _cookie_value(login: Login, until: int) -> str:
    return f"{until}.{login._signature(str(until))}"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_cookie_value(Login(TOKEN, 1), 1), id="run out"),
        pytest.param(_cookie_value(Login("another-token-of-theirs", 1), 4_000_000_000), id="another token"),
        pytest.param("4000000000." + "0" * 64, id="forged"),
        pytest.param("٤٠٠٠٠٠٠٠٠٠." + "0" * 64, id="digits that are not ASCII"),
        pytest.param("9" * 5000 + ".", id="long"),
        pytest.param(".", id="empty"),
    ],
)
def test_a_cookie_that_was_not_given_or_has_run_out_opens_nothing(value: str) -> None:
    scope = {"type": "http", "headers": [(b"cookie", f"tcell_ui_1={value}".encode())]}
    assert not Login(TOKEN, 1).knows(scope)


def test_a_good_cookie_is_known() -> None:
    login = Login(TOKEN, 1)
    value = _cookie_value(login, int(time.time()) + 60)
    assert login.knows({"type": "http", "headers": [(b"cookie", f"tcell_ui_1={value}".encode())]})


@pytest.mark.parametrize(
    "target", ["//evil.test", "https://evil.test", "/\\evil.test", "", "/a\r\nSet-Cookie: x=1"]
)
def test_the_way_back_never_leads_to_another_site(serve: Serve, target: str) -> None:
    answer = _log_in(serve(token=TOKEN), TOKEN, target)
    assert answer.headers["Location"] == "/"


def test_the_page_asked_for_is_text_in_the_form_not_markup(serve: Serve) -> None:
    server = serve(token=TOKEN)
    answer = requests.get(f'{server.origin}/?"><script>alert(1)</script>', headers=PAGE)
    assert "<script" not in answer.text


def test_the_token_never_reaches_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        server = serve(token=TOKEN)
        _log_in(server, TOKEN)
        requests.get(f"{server.origin}/graphql", params={"query": "mutation{x}", "token": TOKEN})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert ours
    assert not any(TOKEN in message for message in ours)


def test_a_large_form_is_no_login(serve: Serve) -> None:
    assert _log_in(serve(token=TOKEN), "x" * 10_000).status_code == 413


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 16"):
        Login("short", 1)
