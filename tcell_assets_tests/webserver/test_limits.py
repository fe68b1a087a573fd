"""What strangers can take of the server before they have shown the token: little, for a short time, a few at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import requests

from tcell_assets.webserver import limits, login
from tcell_assets_tests.webserver.conftest import Serve, Server

TOKEN = "a-token-of-the-tests"


def _connection(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def _said(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


def test_headers_without_end_are_broken_off(serve: Serve) -> None:
    server = serve(token=TOKEN)
    sent = 0
    with _connection(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            while sent < 54 * 2**20:
                sent += connection.send(b"X-Long: " + b"a" * 1000 + b"\r\n")
    assert sent < 8 * 2**20, "beyond what the kernel's own buffers take"


def test_a_head_that_arrives_at_once_is_no_larger_than_others(serve: Serve) -> None:
    server = serve()
    answer = requests.get(f"{server.origin}/x", headers={"X-Long": "a" * (limits.LARGEST_HEAD + 1)})
    assert answer.status_code in (400, 431)
    assert server.reached == []


def test_a_body_larger_than_any_request_is_refused_before_it_is_read(serve: Serve) -> None:
    server = serve()
    with _connection(server) as connection:
        head = f"POST /x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {limits.LARGEST_BODY + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 413 " in _said(connection)
    assert server.reached == []


def test_a_body_of_no_announced_size_ends_at_the_same_limit(serve: Serve) -> None:
    server = serve()

    def pieces() -> Iterator[bytes]:
        for _ in range(limits.LARGEST_BODY // 2**18 + 8):
            yield b"x" * 2**18

    with pytest.raises(requests.RequestException):
        requests.post(f"{server.origin}/x", data=pieces(), timeout=20).raise_for_status()
    assert server.reached == []


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nX: ",
        b"POST /tcell-login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\na",
    ],
)
def test_a_request_that_never_ends_loses_its_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """However often it says another letter."""
    monkeypatch.setattr(limits, "SECONDS_FOR_A_HEAD", 0.5)
    monkeypatch.setattr(limits, "SECONDS_FOR_A_BODY", 0.5)
    server = serve(token=TOKEN)
    with _connection(server) as connection:
        connection.sendall(begun.replace(b"{host}", f"127.0.0.1:{server.port}".encode()))
        deadline = time.monotonic() + 10
        while _is_open(connection):
            assert time.monotonic() < deadline
            time.sleep(0.1)
            if begun.endswith(b": "):
                with suppress(OSError):
                    connection.send(b"a")


def test_a_second_request_on_a_connection_has_no_more_time_than_the_first(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_A_HEAD", 0.5)
    server = serve()
    with _connection(server) as connection:
        connection.sendall(f"GET /x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\nGET ".encode())
        assert b"200 OK" in _said(connection)
        connection.settimeout(5)
        while connection.recv(4096):
            pass


def test_half_requests_in_any_number_leave_room_for_a_whole_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_UNFINISHED_REQUESTS", 20)
    server = serve(token=TOKEN)
    with ExitStack() as stack:
        held = [stack.enter_context(_connection(server)) for _ in range(60)]
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = requests.get(f"{server.origin}/x", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
        assert answer.status_code == 200
        deadline = time.monotonic() + 10
        while sum(_is_open(connection) for connection in held) > 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_open_page_keeps_its_websocket_beyond_the_time_of_a_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    from websockets.sync.client import connect

    monkeypatch.setattr(limits, "SECONDS_FOR_A_HEAD", 0.2)
    server = serve()
    with connect(f"ws://127.0.0.1:{server.port}/graphql") as websocket:
        time.sleep(0.6)
        assert websocket.recv() == "inside"


def _bearer(server: Server, token: str) -> int:
    return requests.get(
        f"{server.origin}/x", headers={"Authorization": f"Bearer {token}"}, timeout=60
    ).status_code


def test_wrong_tokens_cost_a_second_each_for_all_who_try_together(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bearer token and in the form, on as many connections as a guesser likes."""
    monkeypatch.setattr(login, "SECONDS_AFTER_A_WRONG_TOKEN", 0.3)
    server = serve(token=TOKEN)

    def form(token: str) -> int:
        return requests.post(
            f"{server.origin}{login.LOGIN_PATH}", data={"token": token}, timeout=60
        ).status_code

    started = time.monotonic()
    with ThreadPoolExecutor(8) as guessers:
        guesses = [
            guessers.submit(way, f"wrong {n}")
            for n in range(4)
            for way in (lambda t: _bearer(server, t), form)
        ]
        assert {guess.result() for guess in guesses} == {401}
    assert time.monotonic() - started >= 8 * 0.3


def test_of_guesses_beyond_those_that_wait_nothing_is_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MOST_WAITING", 2)
    server = serve(token=TOKEN)
    with ThreadPoolExecutor(12) as guessers:
        answers = list(guessers.map(lambda n: _bearer(server, f"wrong {n}"), range(12)))
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 4


def test_who_has_shown_the_token_before_does_not_wait_for_guessers(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def other_address() -> float:
        door = login.Login(TOKEN, 1)
        known = {
            "type": "http",
            "client": ("10.0.0.1", 1),
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        }
        stranger = {"type": "http", "client": ("10.0.0.2", 1), "headers": [(b"authorization", b"Bearer x")]}

        async def nothing() -> dict[str, object]:
            return {}

        assert await door.judge(known, nothing) is None
        guess = asyncio.create_task(door.judge(stranger, nothing))
        await asyncio.sleep(0)
        started = time.monotonic()
        assert await door.judge(known, nothing) is None
        guess.cancel()
        return time.monotonic() - started

    assert asyncio.run(other_address()) < 0.5


@pytest.mark.parametrize("path", ["/reports/%00", "/figures/" + "a" * 300, "/" + "a/" * 2500])
def test_a_path_no_file_can_have_is_not_found(serve: Serve, path: str) -> None:
    server = serve()
    assert requests.get(f"{server.origin}{path}").status_code == 404
    assert server.reached == []
