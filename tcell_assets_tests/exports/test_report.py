"""The report as a file: one document, every section, names as text, and nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.defs.assets.report import report_file
from tcell_assets.exports.report import SECTIONS, screen_report
from tcell_assets.exports.report_verdicts import screen_verdicts
from tcell_assets.installation.status import look
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.plates.position import CONSEQUENCES
from tcell_assets_tests.exports.conftest import HOSTILE_NAME

LARGEST_BYTES = 15 * 2**20


class Document(HTMLParser):
    """What a browser would make of the file: elements with attributes, and text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif not self._within:
            self.text.append(data)


@pytest.fixture(scope="module")
def source(screened: Platform) -> str:
    return report_file(screened.storage).read_text()


@pytest.fixture(scope="module")
def document(source: str) -> Document:
    return Document(source)


@pytest.fixture(scope="module")
def data(document: Document) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(document.scripts[0])
    return loaded


def test_every_section_of_the_table_of_contents_is_there(document: Document) -> None:
    identifiers = {attributes.get("id") for _, attributes in document.elements}
    assert {anchor for anchor, _ in SECTIONS} <= identifiers


def test_verdicts_come_before_any_metabolite(source: str) -> None:
    assert source.index('id="verdicts"') < source.index('id="metabolites"') < source.index('id="plates"')


def test_every_metabolite_stands_in_the_table(screened: Platform, document: Document) -> None:
    text = set(document.text)
    for metabolite in screened.storage.lake().read("metabolite_scores")["metabolite"]:
        assert metabolite in text


def test_a_name_that_is_markup_is_text_and_no_element(document: Document, data: dict[str, Any]) -> None:
    assert HOSTILE_NAME in document.text
    assert HOSTILE_NAME in data["wells"]["metabolite"]
    assert sum(tag == "script" for tag, _ in document.elements) == 3


def test_only_the_reports_own_scripts_may_run(document: Document) -> None:
    (policy,) = (
        str(attributes["content"])
        for tag, attributes in document.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in document.scripts[1:]
    ]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]


def test_nothing_is_fetched(document: Document) -> None:
    for tag, attributes in document.elements:
        for name in ("src", "href", "action"):
            address = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", address), (tag, address)


def test_the_wells_carry_the_values_of_their_tables(screened: Platform, data: dict[str, Any]) -> None:
    wells = data["wells"]
    lake = screened.storage.lake()
    distances = pd.concat([lake.read("dmso_distances", batch) for batch in ("tc1", "tc2")]).set_index(
        "well_id"
    )
    expected = distances.loc[wells["well_id"], "euclidean"]
    # five digits are kept
    assert wells["fields"]["euclidean"]["values"] == pytest.approx(expected.tolist(), rel=1e-4)
    metadata = pd.concat([lake.read("well_metadata", batch) for batch in ("tc1", "tc2")]).set_index("well_id")
    rows = [chr(64 + row) for row in wells["row"]]
    assert rows == metadata.loc[wells["well_id"], "row"].tolist()


def test_methods_name_the_model_and_the_hash_of_every_table(screened: Platform, document: Document) -> None:
    lake = screened.storage.lake()
    text = set(document.text)
    assert screened.storage.models().current() in text
    for batch in ("tc1", "tc2"):
        assert lake.lineage("dmso_distances", batch).data_version[:16] in text


def test_the_dictionary_explains_every_column_of_a_shown_table(document: Document) -> None:
    text = set(document.text)
    for column in TABLES["dmso_distances"].columns:
        assert column.name in text
        assert column.description in text


def test_the_same_tables_give_the_same_file(screened: Platform, source: str) -> None:
    lake, models = screened.storage.lake(), screened.storage.models()
    status, _ = look(screened.configuration.data, lake, models, 0.0, time.time())
    assert screen_report(lake, models, status).decode() == source


def test_a_batch_has_a_report_of_its_own_wells(screened: Platform) -> None:
    document = Document(report_file(screened.storage, "tc1").read_text())
    data = json.loads(document.scripts[0])
    assert set(data["wells"]["batch"]) == {"tc1"}
    assert "Batch tc1" in document.text


def test_before_anything_is_materialized_every_section_says_how_to_make_it(empty: Platform) -> None:
    document = Document(screen_report(empty.storage.lake(), empty.storage.models()).decode())
    missing = [attributes for _, attributes in document.elements if attributes.get("class") == "missing"]
    # Metabolites, volcano, plates, map, replicates, loss, evaluation, genes, model; and the note on scripts.
    assert len(missing) == 10
    text = " ".join(document.text)
    for command in ("tcell ingest", "tcell train", "tcell score", "tcell screen"):
        assert command in text


def test_eight_plates_fit_in_fifteen_mebibytes(screened: Platform, source: str, data: dict[str, Any]) -> None:
    """Plotly and the page are fixed; data grow with the wells: 192 here, 8 × 384 at most on eight plates."""
    of_data = len(json.dumps(data)) + source.count("<tr") * 300
    assert len(source.encode()) + of_data * (8 * 384 / 192) < LARGEST_BYTES


def test_a_confounded_variable_decides_the_position_verdict() -> None:
    audit = pd.DataFrame(
        {
            "variable": ["tscore", "depth"],
            "verdict": ["confounded", "ok"],
            "finding": [f"position predicts it {CONSEQUENCES['confounded']}", "nothing"],
        }
    )
    position = screen_verdicts(audit, None, None, None, None, None)[0]
    assert (position.verdict, position.findings) == (
        "confounded",
        (CONSEQUENCES["confounded"], "position predicts it"),
    )


def test_a_model_below_a_plainer_one_is_to_be_watched() -> None:
    comparison = pd.DataFrame(
        {
            "scheme": "leave_metabolite_out",
            "model": "transformer",
            "other": ["pca_ridge", "position_forest"],
            "target": "tscore",
            "metric": "r2",
            "value": 0.4,
            "other_value": [0.6, 0.1],
            "difference": [-0.2, 0.3],
            "low": [-0.3, 0.2],
            "high": [-0.1, 0.4],
            "verdict": ["worse", "better"],
        }
    )
    model = screen_verdicts(None, None, None, None, None, comparison)[-1]
    assert model.verdict == "watch"
    best, warning = model.findings
    assert best == "tscore: PCA + ridge is best, R² 0.600, 0.200 above the Transformer"
    assert "the Transformer is below PCA + ridge, the best, for tscore" in warning
