"""Failed runs are told, once, to a service that listens; a message that does not arrive is seen and tried again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from tcell_assets.commands.alerts import alerts_command
from tcell_assets.commands.doctor import doctor_command
from tcell_assets.commands.platform import Platform
from tcell_assets.defs import alerts
from tcell_assets.defs.alerts import build_alert_sensor
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets.installation.alerts import AlertError
from tcell_assets.installation.dagster_internals import WILL_RETRY_TAG
from tcell_assets_tests.operations.small_installation import land, small_platform, spoil


class Service:
    """A service that keeps the messages it was sent."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        kept = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:secret@127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setattr(alerts, "SETTLED_SECONDS", 0)
    with small_platform(tmp_path) as platform:
        yield platform


class Looks:
    """Evaluates the sensor as the daemon does; a look that fails leaves the cursor as it was."""

    def __init__(self, platform: Platform, *urls: str) -> None:
        self.platform = platform
        self.sensor = build_alert_sensor(replace(platform.configuration, alerts=urls))
        self.cursor: str | None = None
        self.look()

    def look(self) -> str:
        with dg.build_sensor_context(instance=self.platform.instance, cursor=self.cursor) as context:
            tick = self.sensor.evaluate_tick(context)
        self.cursor = tick.cursor
        return str(tick.skip_message)


def _refused_batch(platform: Platform, batch: str = "tc1") -> dg.ExecuteInProcessResult:
    land(platform.configuration.data, batch)
    spoil(platform.configuration.data / batch)
    platform.instance.add_dynamic_partitions(SCREENING_BATCHES, [batch])
    job = platform.definitions.resolve_job_def("ingest")
    return job.execute_in_process(instance=platform.instance, partition_key=batch, raise_on_error=False)


def test_a_refused_batch_is_told_once_with_its_reason(platform: Platform, service: Service) -> None:
    looks = Looks(platform, service.url)
    run = _refused_batch(platform)
    assert looks.look() == "told: tcell_assets: 1 run failed (tc1)"
    assert looks.look() == "no run has failed for good"
    (message,) = service.messages
    assert message["message"].startswith(
        f"tc1: run {run.run_id[:8]} of ingest failed: batch 'tc1' cannot be read"
    )
    # The first problem stands there too, not only how many there are.
    assert "plate_map.csv" in message["message"]
    assert "tc1" in message["title"]


def test_failures_soon_after_a_message_wait_and_come_together(
    platform: Platform, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(platform, service.url)
    _refused_batch(platform)
    looks.look()
    _refused_batch(platform, "tc2")
    _refused_batch(platform, "tc3")
    assert looks.look().startswith("2 failed runs wait ")
    later = time.time() + alerts.SECONDS_BETWEEN_MESSAGES
    monkeypatch.setattr(time, "time", lambda: later)
    assert looks.look() == "told: tcell_assets: 2 runs failed (tc2, tc3)"
    assert len(service.messages) == 2


def test_a_run_that_is_repeated_is_told_only_when_its_retry_is_given_up(
    platform: Platform, service: Service
) -> None:
    looks = Looks(platform, service.url)
    run = _refused_batch(platform)
    platform.instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
    assert looks.look() == "no run has failed for good"
    platform.instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
    assert looks.look().startswith("told: ")


def test_a_message_that_does_not_arrive_fails_the_look_and_is_sent_by_the_next(
    platform: Platform, service: Service
) -> None:
    dead = Service()
    dead.close()
    looks = Looks(platform, dead.url)
    _refused_batch(platform)
    with pytest.raises(AlertError, match="did not take the message") as refused:
        looks.look()
    assert "secret" not in str(refused.value)
    looks.sensor = build_alert_sensor(replace(platform.configuration, alerts=(service.url,)))
    assert looks.look() == "told: tcell_assets: 1 run failed (tc1)"


def test_the_past_is_not_told_when_alerts_are_switched_on(platform: Platform, service: Service) -> None:
    _refused_batch(platform)
    assert Looks(platform, service.url).look() == "no run has failed for good"


def test_a_test_message_arrives_and_the_doctor_says_so(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TCELL_DATA", "TCELL_STORAGE", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TCELL_HOME", str(tmp_path))
    monkeypatch.setenv("TCELL_ALERTS", service.url)
    sent = CliRunner().invoke(alerts_command, ["test"])
    assert (sent.exit_code, sent.output) == (0, "sent to 1 service\n")
    assert service.messages[0]["title"] == "tcell_assets: a test"
    assert "the last message arrived: tcell_assets: a test" in CliRunner().invoke(doctor_command).output


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("", "TCELL_ALERTS names no service"),
        ("nonsense://x", "URL 1 of TCELL_ALERTS is none that Apprise knows"),
        ("json://user:secret@127.0.0.1:9", "did not take the message"),
    ],
)
def test_a_message_that_reaches_nobody_is_an_error_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: str, said: str
) -> None:
    monkeypatch.setenv("TCELL_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("TCELL_ALERTS", urls)
    error = CliRunner().invoke(alerts_command, ["test"]).exception
    assert isinstance(error, AlertError)
    assert said in str(error)
    assert "secret" not in str(error)
