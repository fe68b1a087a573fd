"""Size of the report on a screen of eight plates, and how long a browser takes to open it.

`python -m benchmarks.report` simulates 2 batches × 4 plates × 96 wells, 256 genes, takes them through every stage with
a narrow network, writes the report, and opens it three times in headless Chromium. Opening ends with the page's load
event, after which every figure has been drawn.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tcell_assets.commands.platform import open_platform
from tcell_assets.commands.simulate import write_screen
from tcell_assets.defs.assets.report import report_file
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.browser.conftest import CHROMIUM, FLAGS
from tcell_assets_tests.small_screen import configuration_in, run_every_stage

GENES = 256
OPENINGS = 3


def write_report(home: Path) -> Path:
    """Make a screen of eight plates and everything of it that the report shows, and return the report's file."""
    configuration = configuration_in(home)
    screen = simulate_screen(SimulationSettings(preset="confounded", n_genes=GENES))
    write_screen(screen, configuration.data, counts=False, replace=True)
    with open_platform(configuration) as platform:
        run_every_stage(platform)
        return report_file(platform.storage)


def seconds_to_open(file: Path) -> list[float]:
    """Return the seconds from navigation to the end of the load event, once an opening."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(OPENINGS):
            page = chromium.new_page()
            page.goto(file.as_uri())
            timing = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
            assert page.locator(".main-svg").count() > 0, "no figure was drawn"
            seconds.append(round(timing["loadEventEnd"] / 1000, 2))
            page.close()
        chromium.close()
    return seconds


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as home:
        file = write_report(Path(home))
        print(f"size: {file.stat().st_size / 1e6:.1f} MB")
        print(f"opened in: {', '.join(f'{seconds} s' for seconds in seconds_to_open(file))}")


if __name__ == "__main__":
    main()
