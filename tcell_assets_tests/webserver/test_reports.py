"""The list of reports: newest first, names as text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tcell_assets.webserver.reports import reports_page


def test_reports_are_listed_newest_first_with_links_that_lead_to_them(tmp_path: Path) -> None:
    (tmp_path / "batches").mkdir()
    for number, name in enumerate(["screen.html", "batches/tc1.html", "batches/tc 2.html"]):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (number, number))
    page = reports_page(tmp_path)
    links = ["/reports/batches/tc%202.html", "/reports/batches/tc1.html", "/reports/screen.html"]
    assert re.findall('href="([^"]*)"', page) == links


def test_a_name_that_is_markup_stays_text(tmp_path: Path) -> None:
    (tmp_path / "<b>.html").write_text("x")
    assert "<b>" not in reports_page(tmp_path)


def test_before_the_first_report_the_page_says_what_makes_one(tmp_path: Path) -> None:
    assert "tcell report" in reports_page(tmp_path)
