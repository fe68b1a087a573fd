"""`tcell ui` for real: another page's every door is shut in Chromium, the UI itself works, and nothing outlives it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
import requests
import urllib3
from click.testing import CliRunner

from tcell_assets.commands.ui import TOKEN_VARIABLE, ui_command
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets_tests.webserver.conftest import free_port

TOKEN = "a-token-of-the-tests"
SECONDS_TO_START = 240
TCELL_UI = [sys.executable, "-c", "from tcell_assets.cli import main; main()", "ui"]
CHROMIUM = shutil.which("chromium")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MUTATION = """mutation { addDynamicPartition(partitionKey: "%s", partitionsDefName: "screening_batches",
 repositorySelector: {repositoryLocationName: "tcell_assets", repositoryName: "__repository__"}) { __typename } }"""


@dataclass(frozen=True)
class Ui:
    """A running `tcell ui`."""

    home: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def partitions(self) -> set[str]:
        with dg.DagsterInstance.from_config(str(self.home / "storage")) as instance:
            return set(instance.get_dynamic_partitions(SCREENING_BATCHES))


def _family(session_leader: int) -> list[int]:
    """Return the living processes whose ancestry or session leads back to a process."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listing.splitlines()]
    family = {session_leader}
    while True:
        more = {int(pid) for pid, parent, state in rows if int(parent) in family and state[0] != "Z"} - family
        if not more:
            return sorted(family - {session_leader})
        family |= more


def _living(processes: Sequence[int]) -> list[int]:
    return [
        process for process in processes if Path(f"/proc/{process}/environ").exists() and _is_running(process)
    ]


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _environment(home: Path) -> dict[str, str]:
    """Of an installation at `home`, whatever other tests have left in this process's own environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TCELL_", "DAGSTER_"))}
    return {**own, "TCELL_HOME": str(home)}


@contextmanager
def _started(home: Path, *arguments: str, token: str | None = None) -> Iterator[Ui]:
    port = free_port()
    environment = _environment(home) | ({TOKEN_VARIABLE: token} if token else {})
    with (home / "ui.log").open("w") as log:
        process = subprocess.Popen(
            [*TCELL_UI, "--port", str(port), *arguments], env=environment, stdout=log, stderr=log, text=True
        )
    ui = Ui(home, port, process)
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            requests.get(f"{ui.origin}/server_info", timeout=5)
            break
        except requests.RequestException:
            assert process.poll() is None, (home / "ui.log").read_text()
            assert time.monotonic() < deadline, (home / "ui.log").read_text()
            time.sleep(0.3)
    try:
        yield ui
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture(scope="module")
def proxy_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, proxy_port: int) -> Iterator[Ui]:
    home = tmp_path_factory.mktemp("ui")
    (home / "data" / "tc1").mkdir(parents=True)
    with _started(home, "--origin", f"https://screens.example.org:{proxy_port}") as started:
        yield started


FOREIGN_PAGE = """<!doctype html><title>foreign</title><form id="form" method="post" target="sink"></form>
<iframe name="sink"></iframe><iframe id="frame"></iframe><script>
async function attempt(ui, mutation) {
  const quiet = (...a) => fetch(...a).then(r => r.type + r.status, () => "blocked");
  const query = "?query=" + encodeURIComponent(mutation);
  const body = JSON.stringify({query: mutation});
  const said = {};
  said.get = await quiet(ui + "/graphql" + query, {mode: "no-cors"});
  said.post_text = await quiet(ui + "/graphql", {method: "POST", mode: "no-cors", body});
  said.post_query = await quiet(ui + "/graphql" + query, {method: "POST", mode: "no-cors"});
  said.post_json = await quiet(ui + "/graphql", {method: "POST", body, headers: {"Content-Type": "application/json"}});
  for (const what of ["materialization", "observation"])
    said[what] = await quiet(ui + "/report_asset_" + what + "/plate_files", {method: "POST", mode: "no-cors"});
  said.beacon = navigator.sendBeacon(ui + "/report_asset_materialization/plate_files");
  const image = new Image(); image.src = ui + "/graphql" + query;
  const form = document.getElementById("form");
  form.action = ui + "/report_asset_materialization/plate_files"; form.submit();
  document.getElementById("frame").src = ui + "/assets";
  said.read = await fetch(ui + "/server_info").then(r => r.text(), () => "blocked");
  said.websocket = await new Promise(done => {
    const socket = new WebSocket(ui.replace("http", "ws") + "/graphql", "graphql-ws");
    socket.onopen = () => done("open"); socket.onerror = () => done("refused");
  });
  await new Promise(done => setTimeout(done, 1500));
  return said;
}
</script>"""


@contextmanager
def _foreign_site(folder: Path) -> Iterator[str]:
    (folder / "index.html").write_text(FOREIGN_PAGE)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The same machine by another name and port: for the cookie rules of browsers the same site, yet another origin.
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_in_a_browser_a_foreign_page_finds_every_door_shut_and_the_ui_itself_works(
    ui: Ui, tmp_path: Path
) -> None:
    from playwright.sync_api import WebSocket, expect, sync_playwright

    with sync_playwright() as playwright, _foreign_site(tmp_path) as foreign:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.goto(foreign)
        for target in (ui.origin, ui.origin.replace("127.0.0.1", "localhost")):
            said = page.evaluate("([ui, mutation]) => attempt(ui, mutation)", [target, MUTATION % "pwned"])
            assert said["websocket"] == "refused", said
            assert said["read"] == "blocked", said
        assert ui.partitions() == {"tc1"}
        with dg.DagsterInstance.from_config(str(ui.home / "storage")) as instance:
            assert instance.get_latest_materialization_event(dg.AssetKey("plate_files")) is None

        own = browser.new_page()
        frames: list[object] = []

        def listen(socket: WebSocket) -> None:
            socket.on("framereceived", lambda frame: frames.append(frame))

        own.on("websocket", listen)
        with own.expect_websocket(timeout=60_000) as opened:
            own.goto(f"{ui.origin}/asset-groups")
        expect(own.get_by_text("ingest").first).to_be_visible(timeout=60_000)
        assert opened.value.url.startswith(f"ws://127.0.0.1:{ui.port}/graphql")
        assert any("connection_ack" in str(frame) for frame in frames), "the UI converses over its WebSocket"
        answer = own.evaluate(
            "query => fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},"
            " body: JSON.stringify({query})}).then(r => r.json())",
            MUTATION % "own",
        )
        assert answer["data"]["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess"
        assert ui.partitions() == {"tc1", "own"}
        browser.close()


def _nginx_configuration(folder: Path, ui: Ui, port: int) -> Path:
    text = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text()
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(
        "127.0.0.1:3000", f"127.0.0.1:{ui.port}"
    )
    text = re.sub(r"/etc/nginx/", f"{folder}/", text)
    file = folder / "nginx.conf"
    # Started by root, nginx works as another user, who may not look into the folder of a test.
    user = "user root;\n" if os.getuid() == 0 else ""
    file.write_text(
        f"{user}pid {folder}/pid;\nerror_log {folder}/error.log;\n"
        + text.replace("http {", "http { access_log off;", 1)
    )
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=screens.example.org",
         "-keyout", str(folder / "tcell.key"), "-out", str(folder / "tcell.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True, text=True
    )
    (folder / "tcell.htpasswd").write_text(f"ada:{hashed.stdout}")
    (folder / "tcell.htpasswd").chmod(0o644)
    folder.chmod(0o755)
    return file


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="no nginx on this machine (Debian: apt-get install nginx-light)")
def test_behind_the_example_nginx_the_team_logs_in_and_the_doors_stay_shut(
    ui: Ui, proxy_port: int, tmp_path: Path
) -> None:
    urllib3.disable_warnings()
    configuration = _nginx_configuration(tmp_path, ui, proxy_port)
    nginx = subprocess.Popen([str(NGINX), "-c", str(configuration), "-p", str(tmp_path), "-g", "daemon off;"])
    try:
        url, host = f"https://127.0.0.1:{proxy_port}", f"screens.example.org:{proxy_port}"
        login, own = ("ada", "secret"), {"Host": host, "Origin": f"https://{host}"}
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.1)

        def status(method: str, path: str, with_login: bool = True, **more: object) -> int:
            arguments = {"headers": own, "auth": login if with_login else None, **more}
            return requests.request(method, url + path, verify=False, timeout=30, **arguments).status_code  # type: ignore[arg-type]

        assert status("GET", "/server_info") == 200
        assert status("POST", "/graphql", json={"query": "{ version }"}) == 200
        assert status("GET", "/server_info", with_login=False) == 401
        assert status("GET", "/server_info", headers={"Host": "evil.test"}) == 421
        assert status("GET", "/graphql", params={"query": MUTATION % "pwned"}) == 405
        foreign = {"Host": host, "Origin": "http://evil.test"}
        assert status("POST", "/graphql", json={"query": MUTATION % "pwned"}, headers=foreign) == 403
        assert status("POST", "/report_asset_materialization/plate_files", headers=foreign) == 403
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "graphql-ws",
        }
        assert status("GET", "/graphql", headers={**foreign, **handshake}) == 403
        assert status("GET", "/graphql", headers={**own, **handshake}, stream=True) == 101
        assert "pwned" not in ui.partitions()
    finally:
        nginx.terminate()
        nginx.wait(20)


@pytest.mark.slow
def test_a_viewer_with_the_token_reads_and_changes_nothing_and_the_token_stands_nowhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "data" / "tc1").mkdir(parents=True)
    with _started(tmp_path, "--read-only", "--token", token=TOKEN) as ui:
        assert requests.post(f"{ui.origin}/graphql", json={"query": "{ version }"}).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}

        def ask(query: str) -> str:
            return json.dumps(
                requests.post(f"{ui.origin}/graphql", json={"query": query}, headers=bearer).json()
            )

        assert "version" in ask("{ version }")
        assert "AddDynamicPartitionSuccess" not in ask(MUTATION % "pwned")
        report = f"{ui.origin}/report_asset_materialization/plate_files"
        assert requests.post(report, headers=bearer).status_code == 401
        assert ui.partitions() == {"tc1"}
        children = _family(ui.process.pid)
        assert len(children) >= 3
        for child in children:
            for file in ("cmdline", "environ"):
                assert TOKEN.encode() not in Path(f"/proc/{child}/{file}").read_bytes()
    assert TOKEN not in (tmp_path / "ui.log").read_text()
    assert _living(children) == [], "Ctrl-C ends all it has started"


@pytest.mark.slow
def test_kill_9_of_tcell_ui_leaves_no_process_and_a_second_one_is_refused_meanwhile(tmp_path: Path) -> None:
    with _started(tmp_path) as ui:
        children = _family(ui.process.pid)
        assert len(children) >= 3
        second = subprocess.run(
            [*TCELL_UI, "--port", str(free_port())],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_START,
            check=False,
        )
        assert second.returncode == 1
        assert "another tcell ui works on" in second.stderr
        ui.process.kill()
        ui.process.wait()
        deadline = time.monotonic() + 40
        while _living(children) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert _living(children) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "screens.example.org"])
def test_another_host_needs_a_token(host: str) -> None:
    refused = CliRunner().invoke(ui_command, ["--host", host])
    assert refused.exit_code == 2
    assert "add --token" in refused.output
