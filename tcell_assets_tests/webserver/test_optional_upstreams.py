"""Which upstreams the UI asks about: not those that every reader can do without, and all the others."""

from __future__ import annotations

import asyncio
import json

import dagster as dg
from starlette.types import Message, Receive, Scope, Send

from tcell_assets.definitions import build_defs
from tcell_assets.webserver.optional_upstreams import (
    OPTIONAL_UPSTREAMS,
    QUESTION,
    WithoutOptionalUpstreams,
    without_optional_upstreams,
)


def _question(*assets: str, name: str = QUESTION) -> bytes:
    keys = [{"path": [asset]} for asset in assets]
    return json.dumps({"operationName": name, "variables": {"assetKeys": keys}, "query": "…"}).encode()


def _assets(body: bytes) -> list[str]:
    return [key["path"][0] for key in json.loads(body)["variables"]["assetKeys"]]


def test_optional_upstreams_are_left_out_of_the_question_and_others_stay() -> None:
    asked = without_optional_upstreams(_question("well_qc", "adjusted_embeddings", "latent_embeddings"))
    assert _assets(asked) == ["well_qc", "latent_embeddings"]


def test_every_other_body_passes_byte_for_byte() -> None:
    for body in (
        _question("adjusted_embeddings", name="AnotherQuery"),
        f"{QUESTION} but no JSON".encode(),
        json.dumps([QUESTION]).encode(),
        json.dumps({"operationName": QUESTION, "variables": None}).encode(),
        json.dumps({"operationName": QUESTION, "variables": {"assetKeys": "x"}}).encode(),
        b"",
    ):
        assert without_optional_upstreams(body) == body


def test_only_hits_and_the_position_audit_read_what_the_ui_does_not_ask_about() -> None:
    """Both go on without a model; an asset that cannot must stay in the question by an edge of its own."""
    graph = build_defs().resolve_asset_graph()
    readers = {
        child.to_user_string()
        for asset in OPTIONAL_UPSTREAMS
        for child in graph.get(dg.AssetKey(asset)).child_keys
    }
    assert readers == {"hit_calls", "screen_position_audit"}


def test_the_application_reads_a_question_that_arrived_in_pieces_with_its_new_length() -> None:
    body = _question("adjusted_embeddings", "well_qc")
    arriving: list[Message] = [
        {"type": "http.request", "body": body[:20], "more_body": True},
        {"type": "http.request", "body": body[20:], "more_body": False},
    ]
    read: list[tuple[bytes, dict[bytes, bytes]]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        read.append((message["body"], dict(scope["headers"])))

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"nothing is answered here: {message}")

    headers = [(b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers}
    asyncio.run(WithoutOptionalUpstreams(application)(scope, receive, send))
    ((arrived, seen),) = read
    assert _assets(arrived) == ["well_qc"]
    assert seen[b"content-length"] == str(len(arrived)).encode()


def test_a_client_that_leaves_in_the_middle_is_gone_for_the_application_too() -> None:
    arriving: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    read: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        read.extend([await receive(), await receive()])

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"nothing is answered here: {message}")

    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": []}
    asyncio.run(WithoutOptionalUpstreams(application)(scope, receive, send))
    assert read == [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
