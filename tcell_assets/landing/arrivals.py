"""Which batch folders have arrived whole, and whether they hold anything new; found without opening a file.

A tick over 500 quiet batches must stay under a second, so a folder is told by its names, sizes, times and inodes, and
only the content of what changed is hashed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tcell_assets.landing.files import READY_MARKER, SHARED_FILES, UNFINISHED_SUFFIXES, is_ignored
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets.landing.problems import LandingError


@dataclass(frozen=True)
class FolderScan:
    """What a look at a batch folder tells.

    Attributes:
        stamp: 16 hex digits over names, sizes, modification and change times and inodes of the files that count;
            equal stamps mean an untouched folder, other ones that its content has to be hashed.
        n_files: Files that count.
        last_change: Unix time, in seconds, of the latest change of anything in the folder. It is the time the system
            itself notes (ctime): a copy that keeps the files' own times cannot look old.
        ready_since: Unix time at which `_READY` was put there, or None.
        unfinished: Names that end as copies and downloads do while they run.
    """

    stamp: str
    n_files: int
    last_change: float
    ready_since: float | None
    unfinished: tuple[str, ...]

    def waits_for(self, now: float, settle_seconds: float) -> str | None:
        """Return why the folder does not count as complete yet, or None where it does.

        `_READY` vouches for what was there when it was put there: a plate added long after it must settle, or be
        vouched for by a new `_READY`.
        """
        if not self.n_files:
            return "is empty"
        if self.ready_since is not None and self.last_change - self.ready_since <= settle_seconds:
            return None
        if self.unfinished:
            return f"holds an unfinished copy ({self.unfinished[0]})"
        quiet = now - self.last_change
        return None if quiet >= settle_seconds else f"changed {max(quiet, 0):.0f} s ago"


def scan_folder(folder: Path) -> FolderScan:
    """Look at every entry of a batch folder once; files that vanish meanwhile count as a change."""
    seen = _Seen()
    seen.look_at(str(folder), "", counts=True)
    own = {name for name, *_ in seen.files}
    for shared in SHARED_FILES:
        if shared not in own:
            seen.look_at_file(str(folder.parent / shared), f"../{shared}")
    digest = hashlib.sha256(repr(sorted(seen.files)).encode()).hexdigest()
    own_files = sum(not name.startswith("../") for name, *_ in seen.files)
    return FolderScan(
        digest[:16], own_files, seen.last_change, seen.ready_since, tuple(sorted(seen.unfinished))
    )


def content_key(folder: Path, stamp: str) -> str:
    """The content hash of a batch folder, or one of its stamp where its files cannot all be read.

    An unreadable folder must be ingested too, so that its problems are told; it is tried again when it changes.
    """
    try:
        return content_hash(folder)
    except LandingError:
        return f"unreadable-{stamp}"


class _Seen:
    """What a walk through one folder has met. It uses plain strings: a `Path` a file would take half of the walk."""

    def __init__(self) -> None:
        self.files: list[tuple[str, int, int, int, int]] = []
        self.last_change = 0.0
        self.ready_since: float | None = None
        self.unfinished: list[str] = []

    def look_at(self, folder: str, prefix: str, counts: bool) -> None:
        """Walk a folder; what does not count is walked too, for a running copy often hides behind a dot."""
        try:
            self.last_change = max(self.last_change, os.stat(folder).st_ctime)  # noqa: PTH116
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            name = prefix + entry.name
            entry_counts = counts and not is_ignored(entry.name)
            try:
                if entry.is_dir(follow_symlinks=False):
                    self.look_at(entry.path, f"{name}/", entry_counts)
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if name == READY_MARKER:
                self.ready_since = status.st_ctime
                continue
            self.last_change = max(self.last_change, status.st_ctime)
            if entry.name.lower().endswith(UNFINISHED_SUFFIXES):
                self.unfinished.append(name)
            if entry_counts:
                self.look_at_file(entry.path, name)

    def look_at_file(self, path: str, name: str) -> None:
        """Note a file that counts; a link counts by what it leads to."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return
        self.files.append((name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        self.last_change = max(self.last_change, status.st_ctime)
