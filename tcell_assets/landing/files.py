"""Files of a landing folder: which count, which are refused, and how their bytes are read within limits."""

import gzip
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingLimits

READY_MARKER = "_READY"
SETTINGS_FILE = "screen.yaml"
LEFTOVER_NAMES = frozenset({READY_MARKER, "Thumbs.db", "desktop.ini", "__MACOSX", "Icon\r"})
UNFINISHED_SUFFIXES = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp")
EDITOR_SUFFIXES = ("~", ".bak", ".swp", ".swo")
PIECE_BYTES = 2**20
# Small files may well shrink a thousandfold (a column of zeros) and cost nothing.
HARMLESS_BYTES = 64 * PIECE_BYTES
LONGEST_NAME = 512


@dataclass(frozen=True)
class LandingFile:
    """One file of a landing folder.

    Attributes:
        name: Path inside the folder, with forward slashes.
        path: Where it lies.
        bytes: Size on the disk.
        mtime_ns: Time of the last change.
    """

    name: str
    path: Path
    bytes: int
    mtime_ns: int


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is no part of a batch.

    Ignored are hidden files (a leading ``.``), the marker ``_READY``, what operating systems leave
    (``Thumbs.db``, ``desktop.ini``, ``__MACOSX``, ``Icon``), what editors and Office leave (``~$…``, ``#…#``, a
    trailing ``~``, ``.bak``, ``.swp``, ``.swo``) and unfinished copies and downloads (``.part``, ``.partial``,
    ``.crdownload``, ``.download``, ``.filepart``, ``.tmp``).
    """
    return (
        name.startswith((".", "~$"))
        or name in LEFTOVER_NAMES
        or (name.startswith("#") and name.endswith("#"))
        or name.lower().endswith(UNFINISHED_SUFFIXES + EDITOR_SUFFIXES)
    )


def list_files(
    folder: Path, root: Path, limits: LandingLimits, problems: ProblemCollector
) -> list[LandingFile]:
    """The files of a landing folder, sorted by name; what must not be followed is a problem.

    Args:
        folder: The landing folder.
        root: Links must stay inside it: the data folder.
        limits: The number of files is limited.
        problems: Receives links that lead out of ``root`` or to folders, files that are none (pipes, devices),
            unreadable folders and too many files.
    """
    inside = root.resolve()
    if leads_out(folder, inside):
        problems.add(
            "links", ".", "", f"the folder is a link out of {quoted(str(root))}", "Copy the files here"
        )
        return []
    files: list[LandingFile] = []
    for path in _walk(folder, folder, problems):
        name = path.relative_to(folder).as_posix()
        if len(files) >= limits.max_files:
            found = f"the folder holds more than {limits.max_files} files"
            problems.add("files too many", ".", "", found, "Keep only this batch's files here")
            return files
        if not name.isprintable() or len(name) > LONGEST_NAME:
            mend = "Rename it"
            problems.add("file names", quoted(name), "", "has control characters or too long a name", mend)
            continue
        if path.is_symlink() and leads_out(path, inside):
            problems.add(
                "links", name, "", "is a link that leads out of the data folder", "Copy the file here"
            )
            continue
        try:
            status = path.stat()
        except OSError as error:
            problems.add("unreadable files", name, "", _reason(error), "Make the file readable or remove it")
            continue
        if not stat.S_ISREG(status.st_mode):
            found = "is a link to a folder" if stat.S_ISDIR(status.st_mode) else "is a pipe, socket or device"
            problems.add("links", name, "", found, "Put a plain file here")
            continue
        files.append(LandingFile(name, path, status.st_size, status.st_mtime_ns))
    return sorted(files, key=lambda file: file.name)


def leads_out(path: Path, inside: Path) -> bool:
    """Whether a path, its links followed, lies outside a resolved folder or leads nowhere."""
    try:
        return not path.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):
        # A link to itself: a RuntimeError before Python 3.13.
        return True


def settings_file(folder: Path, problems: ProblemCollector) -> LandingFile | None:
    """The `screen.yaml` that holds for a batch: its own, else the data folder's, else None.

    Args:
        folder: The batch folder.
        problems: Receives a `screen.yaml` that is no plain file.
    """
    for path, name in (
        (folder / SETTINGS_FILE, SETTINGS_FILE),
        (folder.parent / SETTINGS_FILE, f"../{SETTINGS_FILE}"),
    ):
        if not os.path.lexists(path):
            continue
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            return LandingFile(name, path, status.st_size, status.st_mtime_ns)
        problems.add("links", name, "", "is a link, pipe or folder", "Put a plain file here")
        return None
    return None


def unfinished_copies(folder: Path) -> list[str]:
    """Names directly in the folder that look like copies or downloads that have not ended."""
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if name.lower().endswith(UNFINISHED_SUFFIXES))


def read_file_bytes(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> bytes | None:
    """The bytes of a file, decompressed where its name ends with ``.gz``; None where a problem was noted.

    Decompression stops as soon as a limit is passed, so a bomb costs no more than the limit.
    """
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        return None
    if file.bytes > limits.max_file_bytes:
        found = f"has {file.bytes:,} bytes, more than the limit of {limits.max_file_bytes:,}"
        problems.add(
            "files too large", file.name, "", found, "Split the batch or raise limits.max_file_bytes"
        )
        return None
    try:
        return _unpack(file, limits, problems) if file.name.endswith(".gz") else file.path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = f"is not a whole gzip file ({error})"
        problems.add("damaged files", file.name, "", found, "The copy was probably cut short: copy it again")
    except OSError as error:
        problems.add("unreadable files", file.name, "", _reason(error), "Make the file readable")
    return None


def _unpack(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> bytes | None:
    pieces: list[bytes] = []
    unpacked = 0
    with file.path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
        while piece := stream.read(PIECE_BYTES):
            pieces.append(piece)
            unpacked += len(piece)
            # Judged while reading, by what was consumed so far: a bomb is stopped at its first 64 MiB.
            ratio_limit = max(HARMLESS_BYTES, packed.tell() * limits.max_compression_ratio)
            if unpacked > min(limits.max_unpacked_bytes, ratio_limit):
                found = f"unpacks from {packed.tell():,} to more than {unpacked:,} bytes"
                mend = "If the file is meant, raise limits.max_unpacked_bytes or limits.max_compression_ratio"
                problems.add("files too large", file.name, "", found, mend)
                return None
    return b"".join(pieces)


def _walk(folder: Path, top: Path, problems: ProblemCollector) -> list[Path]:
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        name = Path(str(error.filename)).relative_to(top).as_posix()
        problems.add("unreadable folders", name, "", _reason(error), "Make the folder readable")

    for parent, folder_names, file_names in os.walk(folder, onerror=unreadable):
        links = [name for name in folder_names if Path(parent, name).is_symlink()]
        folder_names[:] = sorted(name for name in folder_names if not is_ignored(name) and name not in links)
        found += [Path(parent, name) for name in file_names + links if not is_ignored(name)]
    return found


def _reason(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
