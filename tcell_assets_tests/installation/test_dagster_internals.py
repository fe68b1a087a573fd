"""What is private in Dagster is used in one place, and what it tells of temporary folders is understood."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tcell_assets.installation.dagster_internals import keeps_no_history

ROOT = Path(__file__).parents[2]
THE_ONE_PLACE = ROOT / "tcell_assets" / "installation" / "dagster_internals.py"
FILES = [
    file
    for folder in ("tcell_assets", "tcell_assets_tests", "benchmarks", "docs")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if file not in (THE_ONE_PLACE, Path(__file__))
]
TEMPORARY = "/home/ada/screens/.tmp_dagster_home_x1"


def private_names(source: str) -> list[str]:
    """Return every private module of a `dagster…` package that a file imports, or names in a string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [word for word in node.value.split() if "." in word]
    return [name for name in found if name.startswith("dagster") and any(map(_is_private, name.split(".")))]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_a_private_module_is_found_however_it_is_reached() -> None:
    for source in (
        "import dagster._core.events",
        "from dagster._core.storage.tags import WILL_RETRY_TAG",
        "from dagster import _check",
        "import dagster_webserver._x as y",
        'command = ["-m", "dagster._daemon"]',
        'command = "python -m dagster._daemon run"',
    ):
        assert private_names(source), source
    assert private_names("import dagster as dg\nfrom dagster_webserver.app import create_app") == []


def test_private_interfaces_of_dagster_are_used_in_one_module_alone() -> None:
    used = {str(file.relative_to(ROOT)): private_names(file.read_text()) for file in FILES}
    assert {file: names for file, names in used.items() if names} == {}


def test_each_of_them_is_explained() -> None:
    tree = ast.parse(THE_ONE_PLACE.read_text())
    explained = ast.get_docstring(tree) or ""
    (names,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert [name for name in names if f"`{name}`" not in explained] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["/v/bin/dagster", "asset", "materialize", "--select", "a"],
        ["/v/lib/dagster/__main__.py", "asset", "materialize", "--select", "a"],
        ["/v/bin/dagster", "job", "execute", "-j", "train"],
        ["/v/bin/dg", "launch", "--assets", "a"],
        # Code servers and run workers of `dagster dev`, `dg dev` and `dagster-webserver`.
        ["/v/lib/dagster/__main__.py", "api", "grpc", "--instance-ref", f'{{"base_dir": "{TEMPORARY}"}}'],
    ],
)
def test_a_command_that_would_forget_its_runs_is_known(arguments: list[str]) -> None:
    assert keeps_no_history(arguments, {})


@pytest.mark.parametrize(
    "arguments",
    [
        ["/v/bin/dagster", "definitions", "validate"],
        ["/v/bin/dagster", "asset", "list"],
        ["/v/bin/dg", "list", "defs"],
        ["/v/bin/dg", "check", "defs"],
        ["/v/bin/tcell", "train"],
        ["/v/bin/launch"],
        ["-c"],
    ],
)
def test_a_command_that_runs_nothing_or_is_not_dagsters_needs_no_history(arguments: list[str]) -> None:
    assert not keeps_no_history(arguments, {})


def test_a_command_with_a_home_keeps_its_history() -> None:
    assert not keeps_no_history(["dagster", "asset", "materialize"], {"DAGSTER_HOME": "/home/ada/storage"})
