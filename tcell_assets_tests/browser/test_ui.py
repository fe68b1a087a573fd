"""The Dagster UI as a scientist uses it: look at the graph, click a batch, launch a backfill, open the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tcell_assets.definitions import build_defs
from tcell_assets.exports.asset_reference import groups_in_order
from tcell_assets_tests.browser.conftest import Watch, keep_picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

# A run waits for the daemon's next look and then for a process with all imports.
RUN_MILLISECONDS = 180_000


def open_materialize_dialog(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Materialize…").click()
    page.get_by_text("Launch runs to materialize").wait_for()


def test_the_asset_graph_shows_every_group(page: Page, ui: str, watch: Watch) -> None:
    page.goto(f"{ui}/asset-groups")
    for group in groups_in_order(build_defs()):
        page.get_by_text(group, exact=True).locator("visible=true").first.wait_for()
    keep_picture(page, "asset_graph")
    assert [url for url in watch.requests if not url.startswith((ui, "data:", "blob:"))] == []


def test_a_group_lists_its_assets(page: Page, ui: str) -> None:
    page.goto(f"{ui}/locations/tcell_assets/asset-groups/quality/list")
    for asset in ("well_qc", "plate_qc", "position_audit"):
        page.get_by_role("link", name=asset).first.wait_for()
    keep_picture(page, "group_quality")


def test_an_asset_shows_its_place_in_the_graph(page: Page, ui: str) -> None:
    page.goto(f"{ui}/assets/dmso_distances?view=lineage")
    for asset in ("latent_embeddings", "dmso_distances", "metabolite_scores"):
        page.get_by_text(asset, exact=True).locator("visible=true").first.wait_for()
    keep_picture(page, "lineage")


def test_a_batch_is_materialized_by_clicking_and_its_run_goes_green(page: Page, ui: str) -> None:
    open_materialize_dialog(page, f"{ui}/assets/well_qc")
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text("tc1", exact=True).locator("visible=true").last.click()
    page.get_by_text("Partition selection").click()
    page.get_by_role("button", name="Launch 1 run").click()
    page.get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/*")
    page.get_by_text("Success", exact=True).first.wait_for(timeout=RUN_MILLISECONDS)
    keep_picture(page, "run")


def test_a_backfill_of_two_batches_is_launched_and_finishes(page: Page, ui: str) -> None:
    open_materialize_dialog(page, f"{ui}/assets/dmso_distances")
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Launch").last.click()
    page.get_by_text("View", exact=True).wait_for()
    page.goto(f"{ui}/runs?view=backfills")
    page.get_by_text("2 partitions").first.wait_for()
    page.get_by_text("Success", exact=True).first.wait_for(timeout=2 * RUN_MILLISECONDS)
    keep_picture(page, "backfill")


def test_the_loss_curve_is_seen_on_the_models_page_and_its_picture_one_click_away(
    page: Page, ui: str
) -> None:
    page.goto(f"{ui}/assets/trained_model")
    curve = page.get_by_alt_text("validation loss")
    curve.scroll_into_view_if_needed()
    assert curve.evaluate("image => image.complete && image.naturalWidth > 0")
    keep_picture(page, "model")
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_alt_text("picture")
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
    keep_picture(page, "loss_curve")


def test_a_table_shows_its_columns_with_their_meaning(page: Page, ui: str) -> None:
    page.goto(f"{ui}/assets/dmso_distances")
    page.get_by_text("length of latent − DMSO centre").first.wait_for()
    keep_picture(page, "columns")


def test_the_report_opens_from_the_page_of_its_asset(page: Page, ui: str) -> None:
    page.goto(f"{ui}/assets/screen_report")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="/reports/screen.html").first.click()
    opened.value.get_by_role("heading", name="Screen report").wait_for()
