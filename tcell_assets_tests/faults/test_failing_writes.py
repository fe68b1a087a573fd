"""EIO and ENOSPC at any write or rename, no locks, no memory: what was there is whole, and one sentence is said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from upath import UPath

from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets_tests.operations.small_installation import PREPARED, prepared_platform

pytestmark = pytest.mark.slow

COMPILER = shutil.which("gcc") or shutil.which("cc")
TCELL = [sys.executable, "-c", "from tcell_assets.cli import main; main()"]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler (gcc or cc) to build the shim that lets writes fail")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    source = Path(__file__).with_name("failing_writes.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An installation with two batches ingested, trained on and scored."""
    with prepared_platform(tmp_path):
        pass
    yield tmp_path


def _run(home: Path, *command: str, **fault: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TCELL_", "DAGSTER_"))}
    return subprocess.run(
        [*TCELL, *command],
        env={**own, "TCELL_HOME": str(home), "OMP_NUM_THREADS": "1", **fault},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _require_whole(home: Path) -> None:
    """Every table is the one its footer names, every model opens, and nothing half lies about under its own name."""
    from tcell_assets.science.model.trained_model import load_model

    lake, models = Lake(UPath(home / "storage" / "lake")), ModelRegistry(UPath(home / "storage" / "models"))
    for asset, table in TABLES.items():
        for batch in lake.batches(asset) if table.partitioned else [None] * lake.exists(asset):
            lake.verify(asset, batch)
    assert set(PREPARED) <= set(lake.batches("expression_matrix"))
    assert models.damaged() == {}
    assert models.current() in models.versions()
    for version in models.versions():
        load_model(models.folder(version))


def _require_a_sentence(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr + done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 17])
def test_a_write_to_the_lake_that_fails_loses_nothing(shim: Path, home: Path, code: int, at: int) -> None:
    done = _run(
        home,
        "ingest",
        "tc1",
        LD_PRELOAD=str(shim),
        FAIL_BELOW=str(home / "storage" / "lake"),
        FAIL_AT=str(at),
        FAIL_WITH=str(code),
        FAIL_ALWAYS="1",
    )
    assert done.returncode != 0
    _require_a_sentence(done)
    assert os.strerror(code) in done.stderr
    _require_whole(home)
    assert _run(home, "ingest", "tc1").returncode == 0


@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_model_that_cannot_be_written_leaves_the_current_one(shim: Path, home: Path, at: int) -> None:
    before = ModelRegistry(UPath(home / "storage" / "models")).current()
    done = _run(
        home,
        "train",
        *(f"--set={name}" for name in ("epochs=2", "d_model=8", "heads=2", "layers=1", "feed_forward=16")),
        LD_PRELOAD=str(shim),
        FAIL_BELOW=str(home / "storage" / "models"),
        FAIL_AT=str(at),
        FAIL_WITH=str(errno.ENOSPC),
        FAIL_ALWAYS="1",
    )
    assert done.returncode != 0
    _require_a_sentence(done)
    assert ModelRegistry(UPath(home / "storage" / "models")).current() == before
    _require_whole(home)


def test_a_rename_alone_that_fails_leaves_the_table_that_was_there(shim: Path, home: Path) -> None:
    """The third event of a table's write, after its bytes and their flush."""
    lake = Lake(UPath(home / "storage" / "lake"))
    before = lake.lineage("well_metadata", "tc1")
    below = str(lake.path("well_metadata", "tc1"))
    done = _run(
        home, "ingest", "tc1", LD_PRELOAD=str(shim), FAIL_BELOW=below, FAIL_AT="1", FAIL_WITH=str(errno.EIO)
    )
    _require_a_sentence(done)
    _require_whole(home)
    # Tried again within the run, as any step whose storage failed once.
    assert done.returncode == 0
    assert lake.lineage("well_metadata", "tc1").run_id != before.run_id


def test_a_storage_without_locks_is_said_and_nothing_is_written(shim: Path, home: Path) -> None:
    before = Lake(UPath(home / "storage" / "lake")).lineage("well_metadata", "tc1")
    done = _run(home, "ingest", "tc1", LD_PRELOAD=str(shim), NO_FLOCK="1")
    assert done.returncode != 0
    _require_a_sentence(done)
    assert "could not be locked (No locks available)" in done.stderr
    assert Lake(UPath(home / "storage" / "lake")).lineage("well_metadata", "tc1") == before
    _require_whole(home)


def test_a_process_without_memory_loses_nothing(home: Path) -> None:
    """The kernel refuses it memory while it reads a batch."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20)); "
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TCELL_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-c", limit + "from tcell_assets.cli import main; main()", "ingest", "tc1"],
        env={**own, "TCELL_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    _require_whole(home)
    if done.returncode > 0:
        _require_a_sentence(done)
