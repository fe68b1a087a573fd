"""No change of the code behind an asset goes by without a thought for its code version."""

from __future__ import annotations

import ast
import json
from dataclasses import replace

import pytest

from tcell_assets.definitions import build_defs
from tcell_assets.defs import code_fingerprints
from tcell_assets.defs.code_fingerprints import (
    FINGERPRINTS,
    WAYS_OUT,
    code_of_assets,
    fingerprints,
    hash_of,
    read_module,
    unnoticed_changes,
)

POSITION = "tcell_assets.science.plates.position"


def _kept() -> dict[str, dict[str, object]]:
    return dict(json.loads(FINGERPRINTS.read_text()))


def test_every_change_of_an_assets_code_was_noticed() -> None:
    changes = unnoticed_changes(build_defs(), _kept())
    assert not changes, "\n".join([*changes, WAYS_OUT])


def _change(monkeypatch: pytest.MonkeyPatch, module: str, function: str, statement: str) -> None:
    """Read `function` with one more statement at its end."""
    known = read_module(module)
    node = ast.parse(ast.unparse(known.definitions[function])).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.body += ast.parse(statement).body
    changed = replace(known, definitions={**known.definitions, function: node})
    unchanged = read_module
    hash_of.cache_clear()
    monkeypatch.setattr(
        code_fingerprints, "read_module", lambda name: changed if name == module else unchanged(name)
    )


@pytest.fixture(autouse=True)
def _fresh_hashes() -> None:
    hash_of.cache_clear()


def test_a_changed_function_is_named_with_the_assets_it_stands_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definitions = build_defs()
    kept = fingerprints(definitions)
    _change(monkeypatch, POSITION, "adjust_for_position", "print('other values')")
    named = {line.split(" ")[0].rstrip(":"): line for line in unnoticed_changes(definitions, kept)}
    assert {"adjusted_expression", "adjusted_embeddings", "plate_maps"} <= set(named)
    assert "well_metadata" not in named
    assert "training_history" not in named
    assert f"{POSITION}.adjust_for_position changed" in named["adjusted_expression"]


def test_a_docstring_and_a_comment_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of((POSITION, "worst_verdict"))
    known = read_module(POSITION)
    source = ast.unparse(known.definitions["worst_verdict"])
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.body[0] = ast.parse("'Another docstring.'").body[0]
    changed = replace(known, definitions={**known.definitions, "worst_verdict": node})
    hash_of.cache_clear()
    monkeypatch.setattr(code_fingerprints, "read_module", lambda name: changed)
    assert hash_of((POSITION, "worst_verdict")) == before


def test_code_is_followed_through_imports_resources_and_inner_imports() -> None:
    code = code_of_assets(build_defs())
    reached = {".".join(name) for name in code["training_history"][1]}
    assert "tcell_assets.science.model.network.TcellTransformer" in reached or any(
        name.startswith("tcell_assets.science.model.network.") for name in reached
    )
    assert any(
        name.startswith("tcell_assets.landing.") for name in (".".join(n) for n in code["well_metadata"][1])
    )


def test_every_asset_that_runs_has_its_fingerprint() -> None:
    graph = build_defs().resolve_asset_graph()
    running = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_executable}
    assert set(code_of_assets(build_defs())) == running
