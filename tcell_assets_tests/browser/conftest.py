"""A small scored screen, `tcell ui` on it, and a Chromium that notes what goes wrong in a page."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tcell_assets.commands.platform import open_platform
from tcell_assets_tests.small_screen import (
    configuration_in,
    rename_metabolite,
    run_every_stage,
    simulate_into,
)
from tcell_assets_tests.webserver.conftest import free_port

if TYPE_CHECKING:
    import pandas as pd
    from playwright.sync_api import Browser, Page

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium's own calls home are switched off, so that every request seen is the page's.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE_NAME = "<script>alert(1)</script>"
# A page of the UI on a loaded machine with two cores.
PAGE_MILLISECONDS = 60_000


@dataclass(frozen=True)
class Home:
    """An installation that webserver and daemon are to work on."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of `tcell ui`: nothing starts by itself, so that every run is a click's."""
        own = {
            "TCELL_HOME": str(self.folder),
            "TCELL_DATA": str(self.folder / "data"),
            "TCELL_STORAGE": str(self.folder / "storage"),
            "DAGSTER_HOME": str(self.folder / "storage"),
        }
        return {
            **os.environ, **own, "TCELL_NEW_PLATES": "off", "TCELL_NIGHTLY": "off", "TCELL_WEEKLY": "off",
        }  # fmt: skip


@dataclass
class Watch:
    """What a page did that it should not, or where it went."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two batches through every stage; one metabolite has a name that is markup."""
    folder = tmp_path_factory.mktemp("browser")
    configuration = configuration_in(folder)
    screen = simulate_into(configuration.data)
    rename_metabolite(configuration.data, first_treated(screen.wells), HOSTILE_NAME)
    with open_platform(configuration) as platform:
        run_every_stage(platform)
    return Home(folder)


def first_treated(wells: pd.DataFrame) -> str:
    """Return the first metabolite that is no vehicle control."""
    return str(wells.loc[~wells["is_dmso"], "metabolite"].iloc[0])


@pytest.fixture(scope="package")
def home_without_model(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two ingested batches without phenotype scores, so that no model can be trained, and their screen tables."""
    folder = tmp_path_factory.mktemp("browser_without_model")
    configuration = configuration_in(folder)
    simulate_into(configuration.data)
    for batch in ("tc1", "tc2"):
        (configuration.data / batch / "targets.csv").unlink()
    with open_platform(configuration) as platform:
        for batch in platform.register_landed_batches():
            platform.run("ingest", batch)
        platform.run("screen")
    return Home(folder)


@pytest.fixture(scope="package")
def ui(home: Home) -> Iterator[str]:
    """Webserver and daemon of `tcell ui`; the address."""
    with served(home) as address:
        yield address


@pytest.fixture(scope="package")
def ui_without_model(home_without_model: Home) -> Iterator[str]:
    """The same of a screen that has no model."""
    with served(home_without_model) as address:
        yield address


@contextmanager
def served(home: Home) -> Iterator[str]:
    """Run `tcell ui` on an installation; yields the address."""
    port = free_port()
    log = (home.folder / "ui.log").open("w")
    command = [sys.executable, "-c", "from tcell_assets.cli import main; main()", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command, env=home.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/server_info", process, home.folder / "ui.log")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        log.close()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"{address} did not answer within {seconds} s:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="package")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Headless Chromium, or a skip that says what is missing."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("Playwright is not installed (pip install playwright)")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread; Dagster's runs are done before it starts.
    request.getfixturevalue("home")
    request.getfixturevalue("home_without_model")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def watch() -> Watch:
    """Filled while a test has its page open."""
    return Watch()


@pytest.fixture
def page(browser: Browser, watch: Watch) -> Iterator[Page]:
    """A page whose errors and requests are noted in `watch`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PAGE_MILLISECONDS)
    opened.on("console", lambda said: watch.errors.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: watch.errors.append(str(error)))
    opened.on("request", lambda request: watch.requests.append(request.url))
    yield opened
    context.close()


def keep_picture(page: Page, name: str) -> None:
    """Keep what the page shows in `artifacts/`, which git ignores."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=str(ARTIFACTS / f"{name}.png"))
