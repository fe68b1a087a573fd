"""What a materialization shows: small enough for the event log, and in the UI's own terms."""

from __future__ import annotations

import math
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import pytest

from tcell_assets.defs.metadata import column_lineage, sparkline
from tcell_assets.lake.column_lineage import column_sources

# The UI shows shorter Markdown at once and hides longer behind a link.
SHOWN_AT_ONCE = 1000


def points(values: list[float]) -> list[tuple[float, float]]:
    """Return the curve's points as the SVG inside the Markdown has them."""
    text = str(sparkline(values, "loss").value)
    match = re.fullmatch(r"!\[loss\]\(data:image/svg\+xml,([^) ]+)\)", text)
    assert match is not None, text
    line = ElementTree.fromstring(unquote(match[1])).find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    pairs = (pair.split(",") for pair in (line.get("points") or "").split())
    return [(float(x), float(y)) for x, y in pairs]


@pytest.mark.parametrize("length", [0, 1, 2, 40, 41, 10_000])
def test_a_sparkline_of_any_length_is_shown_at_once(length: int) -> None:
    text = str(sparkline([math.sin(index) * 1e6 for index in range(length)], "validation loss").value)
    assert len(text) < SHOWN_AT_ONCE


def test_a_falling_loss_falls_on_the_page() -> None:
    heights = [y for _, y in points([5.0, 3.0, 2.0, 1.0])]
    # y grows downwards
    assert heights == sorted(heights)
    assert (min(heights), max(heights)) == (2, 26)


def test_a_long_series_ends_with_its_last_value() -> None:
    falling_to_the_end = [1.0] * 999 + [0.0]
    assert points(falling_to_the_end)[-1] == (120, 26)


def test_unknown_values_are_left_out() -> None:
    assert points([1.0, math.nan, 0.0]) == points([1.0, 0.0])


def test_column_lineage_is_in_the_terms_of_the_ui() -> None:
    for asset in column_sources():
        lineage = column_lineage(asset)["dagster/column_lineage"]
        assert isinstance(lineage, dg.TableColumnLineage)
    assert column_lineage("training_history") == {}
