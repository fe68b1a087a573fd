"""The report in a browser: it sorts, filters and hovers, asks nobody for anything, and shows names as text."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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


def test_a_hit_is_read_on_one_line_without_scrolling_sideways(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.evaluate("document.getElementById('metabolites').scrollIntoView()")
    keep_picture(page, "hits")
    assert page.evaluate("hits.scrollWidth <= hits.parentElement.clientWidth")
    assert page.evaluate("Math.max(...[...hits.tBodies[0].rows].map(row => row.clientHeight))") < 45


def test_the_metabolites_sort_by_a_click_and_by_the_keyboard(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    heading = page.get_by_role("button", name="Metabolite", exact=True)
    heading.click()
    names = column(page, 2)
    assert names == page.evaluate("names => [...names].sort((a, b) => a.localeCompare(b))", names)
    heading.press("Enter")
    assert column(page, 2) == names[::-1]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Metabolite")


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


def test_the_report_prints_hits_and_their_cards_without_controls_and_dictionary(
    page: Page, report: Path, tmp_path: Path
) -> None:
    page.goto(report.as_uri())
    page.locator("#genes-figure .bars").wait_for()
    classes = page.locator("#hits tbody tr").evaluate_all("rows => rows.map(row => row.dataset.choice)")
    hits = [name for name in classes if name in ("activator", "suppressor", "active_other")]
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#hits tbody tr:visible").count() == len(hits)
    assert page.locator("#printed-cards article:visible").count() == min(len(hits), 50)
    for hidden in ("#hits-search", "#dictionary", "nav"):
        assert not page.locator(hidden).is_visible(), hidden
    content = page.pdf(path=str(tmp_path / "report.pdf"))
    assert content.startswith(b"%PDF")


def first_condition(page: Page) -> str:
    return str(page.locator("#hits tbody tr").first.get_attribute("data-opens"))


def shown_card(page: Page) -> str:
    page.locator("dialog[open]").wait_for()
    return page.locator("#card-title").inner_text()


def click_on_point(page: Page, figure: str, custom: str = "customdata") -> str:
    """Click in the middle of the first point of a figure, as a mouse does, and return whose it is."""
    found = page.evaluate(
        """([name, key]) => {
            const element = document.getElementById(`${name}-figure`);
            element.scrollIntoView({block: "center"});
            const box = element.getBoundingClientRect(), full = element._fullLayout;
            for (const trace of element.data) {
                if (trace.type === "heatmap") {
                    const row = trace.conditions.findIndex((each) => each.some((name) => name !== null));
                    const column = trace.conditions[row].findIndex((name) => name !== null);
                    const [x, y] = [full.xaxis, full.yaxis];
                    const name = trace.conditions[row][column];
                    return [box.left + x._offset + x.l2p(column + 1), box.top + y._offset + y.l2p(row), name];
                }
                if (!trace[key]?.length || !(trace[key][0] in report.cards)) continue;
                const [x, y] = [full.xaxis, full.yaxis];
                const at = [box.left + x._offset + x.l2p(trace.x[0]), box.top + y._offset + y.l2p(trace.y[0])];
                return [...at, trace[key][0]];
            }
        }""",
        [figure, custom],
    )
    x, y, name = found
    page.mouse.move(x - 1, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(200)
    page.mouse.click(x, y)
    return str(name)


def test_a_row_opens_the_card_of_its_metabolite_at_an_address_of_its_own(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    name = first_condition(page)
    page.locator("#hits tbody tr td:last-child").first.click()
    assert shown_card(page) == name
    keep_picture(page, "card")
    address = page.url
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    assert "#metabolite" not in page.url
    page.goto("about:blank")
    page.goto(address)
    assert shown_card(page) == name


@pytest.mark.parametrize("figure", ["volcano", "map", "plates"])
def test_a_point_of_a_figure_opens_the_card_of_its_metabolite(page: Page, report: Path, figure: str) -> None:
    page.goto(report.as_uri())
    page.locator("#genes-figure .bars").wait_for()
    clicked = click_on_point(page, figure)
    shown = shown_card(page)
    if figure == "plates":
        assert shown == clicked
    else:
        # Points lie upon each other: the uppermost one opens.
        assert page.evaluate("name => name in report.cards", shown)


def test_the_card_is_opened_read_and_closed_by_keyboard_alone(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.locator("#hits .opens-card").first.focus()
    page.keyboard.press("Enter")
    name = shown_card(page)
    assert name == first_condition(page)
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    assert page.evaluate("document.activeElement.className") == "opens-card"


def test_a_card_shows_wells_beside_dmso_genes_and_where_to_look_it_up(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.locator("#hits tbody tr").first.click()
    shown_card(page)
    card = page.locator("#card-body")
    assert card.locator(".small-plate .well-own").count() >= 2
    assert card.locator(".small-plate .well-dmso").count() >= 1
    assert "DMSO" in card.locator("table").first.inner_text()
    assert card.get_by_role("heading", name="Genes that moved most").is_visible()
    assert [link.inner_text() for link in card.locator(".links a").all()] == ["PubChem", "ChEBI", "HMDB"]


def test_the_card_of_a_name_that_is_markup_shows_it_as_text(page: Page, report: Path, watch: Watch) -> None:
    page.goto(report.as_uri())
    page.get_by_label("Search").fill("alert(1)")
    page.locator("#hits tbody tr:visible").click()
    assert shown_card(page) == HOSTILE_NAME
    assert page.locator("#card script").count() == 0
    assert watch.errors == []


def read_csv(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text("utf-8-sig").splitlines()))


def test_what_is_shown_of_the_hits_is_downloaded_as_csv(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.get_by_label("Search").fill("acid")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    header, *rows = read_csv(download.value.path())
    assert header[:2] == ["Rank", "Metabolite"]
    assert [row[1] for row in rows] == column(page, 2)


def test_a_cell_of_the_csv_is_never_a_formula(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.evaluate("document.querySelector('#hits tbody tr td:nth-child(2)').textContent = '=1+1'")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert read_csv(download.value.path())[1][1] == "'=1+1"


def test_the_hits_are_filtered_by_class(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    choice = page.locator("#hits-choice option").nth(1).inner_text()
    page.get_by_label("Class").select_option(choice)
    shown = page.locator("#hits tbody tr:visible").evaluate_all("rows => rows.map(row => row.dataset.choice)")
    assert set(shown) == {choice}


def test_the_map_is_coloured_by_a_gene_that_one_types(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    gene = str(page.evaluate("report.expression.genes[3]"))
    page.get_by_label("or by gene").fill(gene)
    page.locator("#map-figure .colorbar", has_text=gene).wait_for()


def test_nothing_overflows_a_telephone(page: Page, report: Path) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(report.as_uri())
    page.locator("#genes-figure .bars").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator("#hits .opens-card").first.click()
    shown_card(page)
    assert page.evaluate("card.scrollWidth <= card.clientWidth")
    keep_picture(page, "card_narrow")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, report: Path, scheme: Literal["light", "dark"]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    page.locator("#genes-figure .bars").wait_for()
    found = Axe().run(page).response["violations"]
    page.locator("#hits tbody tr").first.click()
    shown_card(page)
    found += Axe().run(page, context="dialog").response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious] == []


def test_every_figure_says_in_words_what_it_shows(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    figures = page.locator("figure > [role=group]")
    assert figures.count() >= 5
    for index in range(figures.count()):
        assert len(figures.nth(index).get_attribute("aria-label") or "") > 30
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
