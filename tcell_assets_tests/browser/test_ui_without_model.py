"""The UI of a screen without a model: what can do without one is made without being asked "are you sure"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tcell_assets_tests.browser.conftest import keep_picture
from tcell_assets_tests.browser.test_ui import RUN_MILLISECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

QUESTION = "may fail because the upstream assets listed below have not been materialized yet"


@pytest.mark.parametrize("asset", ["hit_calls", "screen_position_audit"])
def test_hits_and_the_position_audit_are_made_by_one_click(
    page: Page, ui_without_model: str, asset: str
) -> None:
    page.goto(f"{ui_without_model}/assets/{asset}")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("View", exact=True).click()
    page.wait_for_url("**/runs/*")
    page.get_by_text("Success", exact=True).first.wait_for(timeout=RUN_MILLISECONDS)
    keep_picture(page, f"{asset}_without_model")


def test_what_cannot_do_without_a_model_still_asks(page: Page, ui_without_model: str) -> None:
    page.goto(f"{ui_without_model}/assets/metabolite_scores")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text(QUESTION).wait_for()
    page.get_by_text("dmso_distances", exact=True).locator("visible=true").last.wait_for()
    keep_picture(page, "are_you_sure")
