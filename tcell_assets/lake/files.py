"""Atomic file writes: a killed process leaves the previous file or the new one, never half of one."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

from upath import UPath

_TEMPORARY = re.compile(r"^\.(?P<name>.+)\.(?P<process>\d+)-[0-9a-f]{8}\.writing$")


class StorageError(OSError):
    """The storage refused a read or a write; the previous file, if any, is intact."""


def is_local(path: UPath) -> bool:
    """Return whether `path` lies on a local file system, where a rename is atomic."""
    return path.protocol in ("", "file", "local")


def write_atomically(path: UPath, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, flush it to disk and put it in place of `path`.

    On an object store the upload itself is atomic: the object appears when the stream is closed.

    Raises:
        StorageError: The folder cannot be written to or the disk is full. `path` is as it was before.
    """
    try:
        if is_local(path):
            _write_local(Path(path.path), write)
        else:
            with path.open("wb") as file:
                write(file)
    except OSError as error:
        raise StorageError(
            f"{path}: could not be written ({error.strerror or error}); the previous file is intact. "
            "Check free space and permissions of the storage folder, then run again."
        ) from error


def _write_local(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.writing")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synchronise_folder(path.parent)


def synchronise_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporary_files(folder: UPath) -> list[str]:
    """Delete what killed writers left below `folder` and return the names of what was deleted.

    The temporary file of a process that still lives is another writer's and stays.
    """
    if not is_local(folder) or not folder.exists():
        return []
    swept = []
    for temporary in Path(folder.path).rglob(".*.writing"):
        match = _TEMPORARY.match(temporary.name)
        if match and not Path(f"/proc/{match['process']}").exists():
            temporary.unlink(missing_ok=True)
            swept.append(str(temporary))
    return swept
