"""The guard: its own pages and plain programs reach the application, other pages and other hosts do not."""

from __future__ import annotations

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tcell_assets.webserver.guard import door_of, is_loopback, only_reads
from tcell_assets_tests.webserver.conftest import Serve

MUTATION = "mutation { launchRun { __typename } }"


def test_the_servers_own_pages_reach_it_under_each_name_of_this_machine(serve: Serve) -> None:
    server = serve()
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        headers = {"Host": f"{host}:{server.port}", "Origin": f"http://{host.lower()}:{server.port}"}
        assert requests.get(f"{server.origin}/assets", headers=headers).text == "inside"
        answer = requests.post(f"{server.origin}/graphql", json={"query": MUTATION}, headers=headers)
        assert answer.text == "inside", host


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.test:{port}",
        "",
        "localhost:{port}@evil.test",
    ],
)
def test_a_foreign_host_as_after_dns_rebinding_is_misdirected(serve: Serve, host: str) -> None:
    server = serve()
    headers = {"Host": host.format(port=server.port)}
    answer = requests.get(f"{server.origin}/server_info", headers=headers)
    assert answer.status_code in (400, 421)
    assert server.reached == []


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}.evil.test",
        "",
    ],
)
@pytest.mark.parametrize(
    "path",
    ["/graphql", "/report_asset_materialization/a", "/report_asset_check/a", "/report_asset_observation/a"],
)
def test_a_page_of_another_origin_posts_nothing(serve: Serve, origin: str, path: str) -> None:
    server = serve()
    headers = {"Origin": origin.format(port=server.port)}
    answer = requests.post(f"{server.origin}{path}", json={"query": MUTATION}, headers=headers)
    assert answer.status_code == 403
    assert server.reached == []


def test_an_old_browser_that_tells_no_origin_is_judged_by_its_referer(serve: Serve) -> None:
    server = serve()
    url = f"{server.origin}/report_asset_materialization/a"
    assert requests.post(url, headers={"Referer": "http://evil.test/page"}).status_code == 403
    assert requests.post(url, headers={"Referer": f"{server.origin}/assets"}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_foreign_page_loads_nothing_from_here_but_may_link_here(serve: Serve, site: str) -> None:
    server = serve()
    loads = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert requests.get(f"{server.origin}/logs/a", headers=loads).status_code == 403
    assert (
        requests.post(f"{server.origin}/x", headers={**loads, "Sec-Fetch-Mode": "navigate"}).status_code
        == 403
    )
    assert server.reached == []
    follows = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert requests.get(f"{server.origin}/runs/1", headers=follows).text == "inside"


@pytest.mark.parametrize(
    "document",
    [
        MUTATION,
        "query a { version } mutation b { launchRun { __typename } }",
        "subscription { pipelineRunLogs { __typename } }",
        "# query\nmutation{x}",
        "not graphql at all",
        "",
        "{" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_carries_no_mutation(serve: Serve, document: str, method: str) -> None:
    server = serve()
    for path in ("/graphql", "/graphql/"):
        answer = requests.request(method, f"{server.origin}{path}", params={"query": document})
        assert answer.status_code == 405
    assert server.reached == []


def test_a_mutation_hides_neither_behind_a_query_nor_behind_html(serve: Serve) -> None:
    server = serve()
    both = [("query", "{ version }"), ("query", MUTATION)]
    for parameters in (both, both[::-1]):
        assert requests.get(f"{server.origin}/graphql", params=parameters).status_code == 405
    accept = {"Accept": "text/html"}
    assert (
        requests.get(f"{server.origin}/graphql", params={"query": MUTATION}, headers=accept).status_code
        == 405
    )
    assert server.reached == []


def test_a_get_may_query(serve: Serve) -> None:
    answer = requests.get(
        f"{serve().origin}/graphql", params={"query": "query q { version } fragment f on X { y }"}
    )
    assert answer.text == "inside"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "text/plain; application/json",
    ],
)
def test_graphql_in_a_type_that_forms_can_send_is_refused(serve: Serve, content_type: str) -> None:
    server = serve()
    answer = requests.post(
        f"{server.origin}/graphql",
        params={"query": MUTATION},
        data=b"{}",
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == 415
    assert server.reached == []


def test_websockets_open_for_own_pages_and_close_for_foreign_ones(serve: Serve) -> None:
    server = serve()
    url = f"ws://127.0.0.1:{server.port}/graphql"
    with connect(url, origin=Origin(server.origin)) as websocket:
        assert websocket.recv() == "inside"
    for origin in ("http://evil.test", "null", f"http://127.0.0.1:{server.port + 1}"):
        with pytest.raises(InvalidStatus) as refused:
            connect(url, origin=Origin(origin))
        assert refused.value.response.status_code == 403
    assert server.reached == ["websocket"]


def test_a_proxys_address_is_let_in_where_it_is_named(serve: Serve) -> None:
    server = serve(origins=["https://screens.example.org"])
    named = {"Host": "screens.example.org", "Origin": "https://screens.example.org"}
    assert requests.post(f"{server.origin}/graphql", json={}, headers=named).text == "inside"
    named["Origin"] = "http://screens.example.org"
    assert requests.post(f"{server.origin}/graphql", json={}, headers=named).status_code == 403


@pytest.mark.parametrize(
    "origin", ["screens.example.org", "ftp://a.b", "https://", "https://a.b/path", "https://me@a.b"]
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        door_of("127.0.0.1", 3000, [origin])


def test_pages_cannot_be_framed_by_others(serve: Serve) -> None:
    assert requests.get(f"{serve().origin}/assets").headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.test", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_no_document_reads_only() -> None:
    assert only_reads([])
