"""Atomic writes: after any interruption the previous file or the new one is there, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import pytest
from upath import UPath

from tcell_assets.system.files import StorageError, is_held, locked, sweep_temporary_files, write_atomically


def test_a_crash_between_write_and_rename_leaves_the_previous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = UPath(tmp_path / "table.parquet")
    write_atomically(target, lambda file: file.write(b"previous"))

    def crash(self: Path, other: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, lambda file: file.write(b"new"))
    assert target.read_bytes() == b"previous"
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


def test_a_writer_that_fails_midway_leaves_the_previous_file(tmp_path: Path) -> None:
    target = UPath(tmp_path / "table.parquet")
    write_atomically(target, lambda file: file.write(b"previous"))

    def half(file: IO[bytes]) -> None:
        file.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"table\.parquet.*No space left.*previous file is intact"):
        write_atomically(target, half)
    assert target.read_bytes() == b"previous"
    assert len(list(tmp_path.iterdir())) == 1


_WRITE_SLOWLY = """
import sys, time
from upath import UPath
from tcell_assets.system.files import write_atomically
def slowly(file):
    file.write(b"half of the new one"); file.flush(); print("writing", flush=True); time.sleep(60)
write_atomically(UPath(sys.argv[1]), slowly)
"""


def test_a_killed_writer_leaves_the_previous_file_and_its_leftover_is_swept(tmp_path: Path) -> None:
    target = UPath(tmp_path / "table.parquet")
    write_atomically(target, lambda file: file.write(b"previous"))
    process = subprocess.Popen([sys.executable, "-c", _WRITE_SLOWLY, str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    assert sweep_temporary_files(UPath(tmp_path)) == [], "a living writer's file must stay"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert target.read_bytes() == b"previous"
    assert len(sweep_temporary_files(UPath(tmp_path))) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    program = (
        "import sys; from upath import UPath; from tcell_assets.system.files import write_atomically\n"
        "for _ in range(50): write_atomically(UPath(sys.argv[1]), lambda f: f.write(sys.argv[2].encode() * 100_000))"
    )
    target = tmp_path / "table.parquet"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(target), letter]) for letter in "ab"]
    while not target.exists():
        time.sleep(0.01)
    while any(writer.poll() is None for writer in writers):
        content = target.read_bytes()
        assert content in (b"a" * 100_000, b"b" * 100_000)
    assert all(writer.returncode == 0 for writer in writers)


def test_a_lock_is_held_until_it_is_left(tmp_path: Path) -> None:
    lock = tmp_path / "batch.lock"
    assert is_held(lock) is None
    with locked(lock):
        assert is_held(lock) is True
    assert is_held(lock) is False


def test_a_lock_file_that_is_deleted_while_it_is_waited_for_lets_nobody_in_beside_the_next(
    tmp_path: Path,
) -> None:
    """Who waited gets the lock of a file that nobody else will ever open, and must take the new one."""
    lock, entered = tmp_path / "batch.lock", threading.Event()

    def wait_for_it() -> None:
        with locked(lock):
            entered.set()

    first = locked(lock)
    first.__enter__()
    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    time.sleep(0.5)
    lock.unlink()
    with locked(lock):
        first.__exit__(None, None, None)
        assert not entered.wait(0.5), "two hold the lock"
    assert entered.wait(10)
    waiting.join()
