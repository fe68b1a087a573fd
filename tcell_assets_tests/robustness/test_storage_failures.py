"""Full disks, read-only folders and vanished mounts: one clear error, and what was there before is still there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from tcell_assets.lake.marker import KNOWN_STORAGES, require_known_storage
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import Lake, Lineage
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets.landing.unfinished import sweep_unfinished_batches
from tcell_assets.landing.writing import write_landing_batch
from tcell_assets.science.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tcell_assets.system.files import StorageError, leftovers, locked, write_atomically

DISK_BYTES = 512 * 1024
Write = Callable[[Path, int], object]


def _expression(n_wells: int) -> pd.DataFrame:
    values = np.random.default_rng(n_wells).normal(size=(n_wells, 200)).astype(np.float32)
    index = pd.Index([f"tc1_A1_A{number}" for number in range(1, n_wells + 1)], name="well_id")
    return pd.DataFrame(values, index=index, columns=[f"G{number}" for number in range(200)])


def _write_table(folder: Path, n_wells: int) -> None:
    lineage = Lineage("expression_matrix", "tc1", run_id="r", code_version="1", data_version="h")
    Lake(UPath(folder / "lake")).write(_expression(n_wells).reset_index(), lineage)


def _write_checkpoint(folder: Path, n_wells: int) -> None:
    weights = {"w": _expression(n_wells).to_numpy()}
    write_checkpoint(
        folder / "checkpoints", Checkpoint({"n": 0}, n_wells, 1, 0.5, [], weights, weights, weights)
    )


def _add_model(folder: Path, n_wells: int) -> None:
    def save(target: UPath) -> None:
        write_atomically(target / "weights.safetensors", _expression(n_wells).to_numpy().tobytes())
        write_atomically(target / "manifest.json", b'{"created_at": "x", "batch_hashes": {}, "settings": {}}')

    registry = ModelRegistry(UPath(folder / "models"))
    registry.add(f"model-{n_wells}", save)
    registry.promote(f"model-{n_wells}", who="Ada", why="test" * n_wells * 100)


def _write_file(folder: Path, n_wells: int) -> None:
    write_atomically(UPath(folder / "table.csv"), _expression(n_wells).to_csv().encode())


def _write_landing_batch(folder: Path, n_wells: int) -> None:
    expression = _expression(n_wells)
    wells = pd.DataFrame(
        {
            "well_id": expression.index,
            "plate": "A1",
            "well": [f"A{n + 1}" for n in range(n_wells)],
            "metabolite": "DMSO",
        }
    )
    write_landing_batch(folder / "data" / "tc1", wells, expression=expression, replace=True)


KINDS: dict[str, Write] = {
    "table": _write_table,
    "checkpoint": _write_checkpoint,
    "model and pointer": _add_model,
    "exported file": _write_file,
    "landing batch": _write_landing_batch,
}
FEW, MANY = 2, 2000


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip(
            "this user may not mount a small disk (needs root); the file size limit below is tested instead"
        )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_in_the_middle_of_a_write_leaves_what_was_there(
    small_disk: Path, kind: str
) -> None:
    KINDS[kind](small_disk, FEW)
    before = _files(small_disk)
    with pytest.raises(
        StorageError, match=r"(?s)No space left on device.*previous file is intact.*Check free space"
    ):
        KINDS[kind](small_disk, MANY)
    assert _files(small_disk) == before
    KINDS[kind](small_disk, FEW + 1)
    assert _files(small_disk) != before, "after room was made, the next write succeeds"


_WRITE_UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
from tcell_assets_tests.robustness.test_storage_failures import KINDS, FEW, MANY
from tcell_assets.system.files import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    KINDS[sys.argv[1]](Path(sys.argv[2]), MANY)
except StorageError as error:
    print(error)
"""


def test_a_quota_reached_in_the_middle_of_any_write_leaves_what_was_there(tmp_path: Path) -> None:
    for kind, write in KINDS.items():
        folder = tmp_path / kind
        folder.mkdir()
        write(folder, FEW)
        before = _files(folder)
        command = [sys.executable, "-c", _WRITE_UNDER_A_LIMIT, kind, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "File too large" in done.stdout, (kind, done.stderr)
        assert _files(folder) == before, kind


def test_a_read_only_folder_gives_one_clear_error(small_disk: Path) -> None:
    _write_table(small_disk, FEW)
    before = _files(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match=r"tc1\.parquet: could not be written \(Read-only file system\)"):
        _write_table(small_disk, FEW + 1)
    assert _files(small_disk) == before


def test_an_empty_folder_under_a_vanished_mount_is_not_taken_for_the_storage(tmp_path: Path) -> None:
    storage, home = UPath(tmp_path / "storage"), tmp_path / "home"
    home.mkdir()
    require_known_storage(storage, home)
    require_known_storage(storage, home)
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").mkdir()
    with pytest.raises(StorageError, match="Is its disk mounted"):
        require_known_storage(storage, home)
    assert list((tmp_path / "storage").iterdir()) == [], "nothing is written to the wrong disk"
    (home / KNOWN_STORAGES).unlink()
    require_known_storage(storage, home)


def test_a_damaged_pointer_to_the_current_model_is_named_with_what_to_do(tmp_path: Path) -> None:
    _add_model(tmp_path, FEW)
    (tmp_path / "models" / "current.json").write_text('{"promo')
    with pytest.raises(StorageError, match=r"current\.json: damaged.*promote one of model-2"):
        ModelRegistry(UPath(tmp_path / "models")).current()


def test_a_checkpoint_cut_short_is_told_and_not_resumed(tmp_path: Path) -> None:
    _write_checkpoint(tmp_path, FEW)
    path = next((tmp_path / "checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in str(read_checkpoint(tmp_path / "checkpoints", {"n": 0}))


def _dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_batch_moved_aside_by_a_killed_writer_goes_back_and_its_leftovers_go(tmp_path: Path) -> None:
    _write_landing_batch(tmp_path, FEW)
    data = tmp_path / "data"
    before = content_hash(data / "tc1")
    staging = data / f".batches.{_dead_process()}-0123abcd.writing"
    staging.mkdir()
    (data / "tc1").rename(staging / "tc1.replaced")
    (staging / "tc2").mkdir()
    assert sweep_unfinished_batches(data) == [str(staging)]
    assert [path.name for path in data.iterdir()] == ["tc1"]
    assert content_hash(data / "tc1") == before


def test_half_a_model_of_a_killed_run_is_a_leftover_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f".model-a.{_dead_process()}-0123abcd.writing"
    alive = tmp_path / f".model-a.{os.getpid()}-0123abcd.writing"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
    assert leftovers(UPath(tmp_path)) == [dead]


_HOLD = """
import sys, time
from pathlib import Path
from tcell_assets.system.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_killed_process(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "tc1.lock"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    with locked(lock):
        pass
