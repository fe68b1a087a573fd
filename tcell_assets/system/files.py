"""Files that survive any interruption: atomic writes, locks that die with their process, and the sweep of leftovers.

Imports neither science nor lake nor Dagster, so that every package writes its files in this one way.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tcell_assets.system.processes import is_alive

if TYPE_CHECKING:
    from upath import UPath

_TEMPORARY = re.compile(r"^\..+\.(?P<process>\d+)-[0-9a-f]{8}\.writing$")
# A folder cannot be flushed on some network and FUSE file systems; their rename is as durable as they make it.
_CANNOT_FLUSH_FOLDERS = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES})


class StorageError(OSError):
    """The storage refused a read or a write; the previous file, if any, is intact."""


def is_local(path: UPath) -> bool:
    """Return whether `path` lies on a local file system, where a rename is atomic."""
    return path.protocol in ("", "file", "local")


def write_atomically(path: UPath, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file beside `path`, flush it to disk and put it in place of `path`.

    On an object store the upload itself is atomic: the object appears when the stream is closed.

    Args:
        path: Where the file shall lie; missing folders are made.
        content: The bytes, or a function that writes them into the file it is given.

    Raises:
        StorageError: The folder cannot be written to or the disk is full. `path` is as it was before.
    """
    write = content if callable(content) else lambda file: file.write(content)
    with storage_errors(path, "could not be written"):
        if is_local(path):
            _write_local(Path(path.path), write)
        else:
            with path.open("wb") as file:
                write(file)


@contextmanager
def storage_errors(path: UPath | Path, what: str) -> Iterator[None]:
    """Tell the operating system's refusal of a write to `path` in the user's words.

    Raises:
        StorageError: In place of any OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: {what} ({error.strerror or error}); the previous file is intact. "
            "Check free space and permissions of the storage folder and that its disk is mounted, then run again."
        ) from error


def temporary_beside(path: Path) -> Path:
    """Return a name beside `path` that nothing else uses and that `sweep_temporary` knows for a leftover."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.writing")


def _write_local(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synchronise_folder(path.parent)


def synchronise_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH_FOLDERS:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """Hold these lock files; whoever else asks for one of them waits.

    The kernel frees a lock when its process ends in whatever way, so a killed run blocks nobody. Locks are taken in
    the order of their names, so two holders of several cannot wait for each other.
    """
    import fcntl

    with ExitStack() as stack:
        for path in sorted(paths):
            with storage_errors(path, "could not be locked"):
                path.parent.mkdir(parents=True, exist_ok=True)
                while True:
                    lock = path.open("w")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    # A file deleted while it was waited for locks out nobody: the next one makes another.
                    if _is_at(path, lock):
                        break
                    lock.close()
                stack.enter_context(lock)
        yield


def is_held(lock: Path) -> bool | None:
    """Return whether a living process holds a lock file, None where there is no such file."""
    import fcntl

    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True
    return False


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def leftovers(folder: UPath) -> list[Path]:
    """Return the temporary files and folders below `folder` whose writers are dead.

    That of a process that still lives is another writer's and is not listed.
    """
    if not is_local(folder) or not folder.exists():
        return []
    return sorted(path for path in Path(folder.path).rglob(".*.writing") if is_leftover(path))


def is_leftover(path: Path) -> bool:
    """Return whether `path` is a temporary of a writer that is dead."""
    match = _TEMPORARY.match(path.name)
    return match is not None and not is_alive(int(match["process"]))


def sweep_temporary_files(folder: UPath) -> list[str]:
    """Delete what killed writers left below `folder` and return the names of what was deleted."""
    swept = leftovers(folder)
    for temporary in swept:
        if temporary.is_dir() and not temporary.is_symlink():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    return [str(temporary) for temporary in swept]
