"""The report in a browser: it sorts, filters and hovers, asks nobody for anything, and shows names as text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tcell_assets_tests.browser.conftest import HOSTILE_NAME, Home, Watch, keep_picture

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

pytestmark = pytest.mark.slow


@pytest.fixture
def report(home: Home) -> Path:
    return home.folder / "storage" / "reports" / "screen.html"


def column(page: Page, index: int) -> list[str]:
    return page.locator(f"#hits tbody tr:visible td:nth-child({index})").all_inner_texts()


def test_the_report_opens_without_an_error_and_without_a_request(
    page: Page, report: Path, watch: Watch
) -> None:
    page.goto(report.as_uri())
    page.locator("#genes-figure .bars").wait_for()
    keep_picture(page, "report")
    assert watch.errors == []
    assert [url for url in watch.requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]


def test_the_reason_of_each_class_is_read_without_scrolling_sideways(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    assert page.evaluate("hits.scrollWidth <= hits.parentElement.clientWidth")


def test_the_metabolites_sort_by_a_click_and_by_the_keyboard(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    heading = page.get_by_role("button", name="metabolite", exact=True)
    heading.click()
    names = column(page, 2)
    assert names == page.evaluate("names => [...names].sort((a, b) => a.localeCompare(b))", names)
    heading.press("Enter")
    assert column(page, 2) == names[::-1]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("metabolite")


def test_the_metabolites_are_filtered_as_one_types(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    everything = column(page, 2)
    page.get_by_label("Search").fill("acid")
    expected = page.evaluate("rows => rows", [name for name in everything if "acid" in name.lower()])
    assert set(expected) <= set(column(page, 2))
    assert 0 < len(column(page, 2)) < len(everything)
    assert page.locator("#hits-count").inner_text() == f"{len(column(page, 2))} of {len(everything)}"


def test_a_name_that_is_markup_stays_text_everywhere(page: Page, report: Path) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    page.goto(report.as_uri())
    page.get_by_label("Search").fill("alert(1)")
    assert column(page, 2) == [HOSTILE_NAME]
    page.get_by_label("Colour by").select_option("metabolite")
    page.wait_for_timeout(500)
    assert dialogs == []


def test_hovering_over_a_well_of_the_map_names_its_metabolite(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    point = page.locator("#map-figure .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    shown = page.locator("#map-figure .hoverlayer .hovertext").first
    shown.wait_for()
    names = set(column(page, 2)) | {"DMSO"}
    assert any(name[:20] in (shown.text_content() or "") for name in names), shown.text_content()
    keep_picture(page, "latent_map")


def test_the_map_is_coloured_by_any_field(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    choice = page.get_by_label("Colour by")
    choice.select_option("plate")
    page.locator("#map-figure .legendtext", has_text="A1").wait_for()
    choice.select_option("activation_probability")
    page.locator("#map-figure .colorbar").wait_for()


def test_the_report_prints_with_every_row_and_without_its_controls(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert not page.get_by_label("Search").is_visible()
    height, content = page.evaluate(
        "() => { const box = document.querySelector('#hits').parentElement;"
        " return [box.clientHeight, box.scrollHeight]; }"
    )
    assert height >= content


def test_every_figure_says_in_words_what_it_shows(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    figures = page.locator("figure > [role=img]")
    assert figures.count() >= 5
    for index in range(figures.count()):
        assert len(figures.nth(index).get_attribute("aria-label") or "") > 30
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
