"""The registry of targets, and what a file may add to it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tcell_assets
from tcell_assets import targets as registry
from tcell_assets.lake.schema import Table
from tcell_assets.lake.tables import TABLES, ingest
from tcell_assets.landing.targets import landing_targets
from tcell_assets.targets import TARGETS, Target, TargetError, known_targets, names_of, target_of

PACKAGE = Path(tcell_assets.__file__).parent


@pytest.fixture
def declaration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "targets.yaml"
    monkeypatch.setenv("TCELL_TARGETS", str(path))
    return path


def test_without_a_declaration_the_published_five_are_the_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TCELL_TARGETS", raising=False)
    monkeypatch.setenv("TCELL_HOME", str(tmp_path))
    assert names_of(known_targets()) == [
        "tscore",
        "cytotrace",
        "pseudotime",
        "is_activated",
        "activation_score",
    ]


def test_a_file_in_the_home_declares_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TCELL_TARGETS", raising=False)
    monkeypatch.setenv("TCELL_HOME", str(tmp_path))
    (tmp_path / "targets.yaml").write_text("targets:\n  exhaustion:\n    kind: regression\n")
    assert names_of(known_targets()) == [*names_of(TARGETS), "exhaustion"]
    (tmp_path / "targets.yaml").write_text("targets:\n  exhaustion_two:\n    kind: regression\n")
    assert names_of(known_targets())[-1] == "exhaustion_two", "a changed file is read again"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targets:\n  exhaustion: {kind: number}", "'exhaustion' has the kind 'number'; write regression"),
        ("targets:\n  exhaustion: {}", "'exhaustion' has the kind None"),
        ("targets:\n  exhaustion: regression", "'exhaustion' says 'regression'; write its fields below it"),
        ("targets:\n  exhaustion: {kind: regression, wieght: 2}", "'wieght'; did you mean weight?"),
        ("targets:\n  exhaustion: {kind: regression, weight: 0}", "the weight 0; write a number above 0"),
        ("targets:\n  exhaustion: {kind: regression, weight: .nan}", "the weight nan"),
        ("targets:\n  exhaustion: {kind: regression, weight: yes}", "the weight True"),
        ("targets:\n  exhaustion: {kind: regression, spellings: tex}", "the spellings 'tex'; write a list"),
        ("targets:\n  exhaustion: {kind: regression, classes: [a, b]}", "is regression and has classes"),
        ("targets:\n  cycling: {kind: binary, classes: [no, yes]}", "in quotation marks"),
        ("targets:\n  cycling: {kind: binary, unit: h}", "is binary and has unit"),
        (
            "targets:\n  Exhaustion: {kind: regression}",
            "'Exhaustion' is no name of a column; write it in lower",
        ),
        ("targets:\n  tscore: {kind: regression}", "has the name 'tscore' of target 'tscore'"),
        ("targets:\n  t_score: {kind: regression}", "has the spelling 'tscore' of target 'tscore'"),
        ("targets:\n  other: {kind: regression, spellings: [Tscore_z]}", "the spelling 'tscore"),
        (
            "targets:\n  activation: {kind: regression}",
            "the column 'pred_activation' of target 'activation_score'",
        ),
        ("targets:\n  scores: {kind: regression}", "has the head 'scores' of target 'tscore'"),
        ("targets:\n  a: {kind: regression}\n  a: {kind: binary}", "a stands in it twice"),
        ("targets: [exhaustion]", "must be a name a target"),
        ("exhaustion: {kind: regression}", "must hold one key, targets"),
        ("targets:\n  a: &b {kind: regression}\n  c: *b", "uses YAML aliases"),
        ("targets: {", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused_in_a_sentence(
    declaration: Path, text: str, said: str
) -> None:
    declaration.write_text(text)
    with pytest.raises(TargetError) as error:
        known_targets()
    assert said in str(error.value)
    assert str(declaration) in str(error.value)


def test_every_problem_of_a_declaration_is_said_at_once(declaration: Path) -> None:
    declaration.write_text("targets:\n  a: {kind: x}\n  b: {kind: binary, weight: -1}\n")
    with pytest.raises(TargetError) as error:
        known_targets()
    assert len(str(error.value).splitlines()) == 2


def test_a_declaration_that_is_named_must_be_there(declaration: Path) -> None:
    with pytest.raises(TargetError, match="is not there; write the file or unset the variable"):
        known_targets()


def test_a_target_may_not_be_called_as_a_column_of_a_table(declaration: Path) -> None:
    declaration.write_text("targets:\n  plate: {kind: regression}\n")
    with pytest.raises(TargetError, match="second column plate of table well_metadata"):
        _ = TABLES["well_metadata"]


def test_a_target_may_not_be_spelled_as_a_column_of_a_plate_map(declaration: Path) -> None:
    declaration.write_text("targets:\n  potency: {kind: regression, spellings: [Compound]}\n")
    with pytest.raises(TargetError, match="'Compound', which is a column of a plate map"):
        landing_targets()


def test_spellings_pass_over_case_signs_and_a_z_at_the_end(declaration: Path) -> None:
    declaration.write_text("targets:\n  exhaustion: {kind: regression, spellings: [Tex score]}\n")
    for column in ("exhaustion", "Exhaustion_z", "tex.score", "TEX_SCORE_Z"):
        assert target_of(column, known_targets()) == "exhaustion"
    assert target_of("tex", known_targets()) is None


def test_a_sixth_target_in_the_registry_is_all_that_the_code_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its column stands in the tables of wells, predictions, losses and evaluation, without a further edit."""
    monkeypatch.setattr(registry, "TARGETS", (*TARGETS, Target("exhaustion", "regression")))
    for asset, column in (
        ("well_metadata", "exhaustion"),
        ("well_predictions", "pred_exhaustion"),
        ("training_history", "loss_exhaustion"),
        ("evaluation_predictions", "pred_exhaustion"),
        ("metabolite_scores", "mean_pred_exhaustion"),
        ("latent_map", "pred_exhaustion"),
    ):
        assert column in {each.name for each in TABLES[asset].columns}, asset


def test_only_tables_of_targets_change_with_them() -> None:
    changing = {asset for asset, table in TABLES.items() if table.columns_of is not None}
    for asset, table in TABLES.items():
        more = table.of_targets((*TARGETS, Target("exhaustion", "regression")))
        assert (len(more.columns) > len(table.columns)) == (asset in changing), asset
    assert isinstance(ingest.WELL_METADATA, Table)


def test_no_code_but_the_registry_lists_the_targets() -> None:
    """A tuple, list or set of two target names is a second registry: the next target would be missing in it."""
    names = set(names_of(TARGETS))
    lists = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            values = getattr(node, "elts", []) if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else []
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
                values = node.slice.elts
            named = {value.value for value in values if isinstance(value, ast.Constant)} & names
            if isinstance(node, ast.expr) and len(named) > 1:
                lists[f"{path.relative_to(PACKAGE)}:{node.lineno}"] = named
    # The simulator is the definition of three scores, not a list of what there is.
    assert {place for place in lists if not place.startswith("science/simulation/")} == set()


def test_no_code_takes_a_target_by_its_place() -> None:
    """`targets[3]` or `targets[:3]` means another target once one is added before it."""
    taken = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Subscript):
                continue
            of = ast.unparse(node.value).lower().rsplit(".", 1)[-1]
            is_literal = all(
                isinstance(part, (ast.Constant, ast.Slice, ast.UnaryOp, ast.USub, ast.Load, ast.Tuple))
                and not isinstance(getattr(part, "value", None), str)
                for part in ast.walk(node.slice)
            )
            if is_literal and of in {"targets", "known_targets()", "target_order", "trained_heads"}:
                taken.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}")
    assert taken == []
