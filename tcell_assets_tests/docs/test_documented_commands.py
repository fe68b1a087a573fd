"""Every command in the README and the documentation is run, or marked `<!-- not run: why -->` above its block."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest

from tcell_assets.cli import tcell

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "landing").glob("*.md")),
    *sorted((ROOT / "docs" / "statistics").glob("*.md")),
]
_BLOCK = re.compile(r"(?P<mark><!-- not run: (?P<why>[^>]+) -->\n)?```bash\n(?P<lines>.*?)```", re.DOTALL)
_PYTHON = re.compile(r"(?<!-->\n)```python\n(.*?)```", re.DOTALL)
_SETTING = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    """One block of commands of a page, and why the tests do not run it, empty where they do."""

    page: Path
    lines: tuple[str, ...]
    why_not: str


def programs() -> dict[str, str]:
    """The Python of each page as one program, and of each notebook its cells in their order."""
    found = {page.name: "\n".join(_PYTHON.findall(page.read_text())) for page in PAGES}
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        cells = json.loads(notebook.read_text())["cells"]
        found[notebook.name] = "\n".join(
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
        )
    return {name: program for name, program in found.items() if program}


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        for match in _BLOCK.finditer(page.read_text()):
            joined = match["lines"].replace("\\\n", " ")
            lines = tuple(line for line in joined.splitlines() if line.strip() and line[0] != "#")
            found.append(Block(page, lines, match["why"] or ""))
    return found


def tcell_arguments(line: str) -> list[str] | None:
    """Return what stands after `tcell` in a line, or None where it is another command."""
    words = shlex.split(line, comments=True)
    while words and _SETTING.match(words[0]):
        words.pop(0)
    return words[1:] if words and Path(words[0]).name == "tcell" else None


def test_there_are_commands_to_check() -> None:
    assert len([block for block in blocks() if not block.why_not]) >= 5


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block.page.name}: {block.lines[0]}")
def test_every_documented_tcell_command_has_the_options_it_is_given(block: Block) -> None:
    for line in block.lines:
        arguments = tcell_arguments(line)
        if arguments is None:
            continue
        command: click.Command = tcell
        context = click.Context(command, info_name="tcell")
        while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
            name = arguments.pop(0)
            found = command.get_command(context, name)
            assert found is not None, f"{block.page.name}: no command {name} in: {line}"
            command = found
            context = click.Context(command, info_name=name, parent=context)
        missing_files_are_fine = [
            word for word in arguments if not word.startswith("~") and not word.startswith("/")
        ]
        command.make_context(command.name, missing_files_are_fine, resilient_parsing=True)


def test_every_documented_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks():
        for line in block.lines:
            words = line.split()
            if words[0] == "make":
                assert set(words[1:]) <= targets, f"{block.page.name}: {line}"


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `make demo` was run, as the first command of the README tells people to."""
    home = tmp_path_factory.mktemp("documented")
    run_in(home, ["make demo"])
    return home


def run_in(home: Path, lines: list[str] | tuple[str, ...]) -> None:
    """Run a block as a reader would, with the environment active and the repository's make."""
    script = f'make() {{ command make -C {shlex.quote(str(ROOT))} "$@"; }}\n' + "\n".join(lines)
    environment = {
        **os.environ,
        "TCELL_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for name in ("TCELL_DATA", "TCELL_STORAGE", "DAGSTER_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=home, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{lines}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", programs())
def test_the_documented_python_runs(name: str, demonstrated: Path) -> None:
    program = demonstrated / "documented.py"
    program.write_text(programs()[name])
    run_in(demonstrated, [f"MPLBACKEND=Agg {shlex.quote(sys.executable)} {program}"])


def test_wide_tables_of_batches_with_different_genes_are_read_whole_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "storage" / "lake" / "expression_matrix"
    folder.mkdir(parents=True)
    pd.DataFrame({"well_id": ["a1", "a2"], "IL2": [1.0, 2.0], "CD69": [3.0, 4.0]}).to_parquet(
        folder / "a.parquet"
    )
    pd.DataFrame({"well_id": ["b1"], "CD69": [5.0], "SELL": [6.0]}).to_parquet(folder / "b.parquet")
    page = (ROOT / "docs" / "report.md").read_text().partition("### Batches with different genes")[2]
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(_PYTHON.findall(page)[0], names)
    read = (names["by_pandas"], names["by_polars"].to_pandas(), names["by_duckdb"])
    for table in read:
        assert set(table.columns) == {"well_id", "IL2", "CD69", "SELL"}
        assert table.notna().sum().to_dict() == {"well_id": 3, "IL2": 2, "CD69": 3, "SELL": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [block for block in blocks() if not block.why_not],
    ids=lambda block: f"{block.page.name}: {block.lines[0]}",
)
def test_the_documented_commands_run(block: Block, demonstrated: Path) -> None:
    if block.lines != ("make demo",):
        run_in(demonstrated, block.lines)
