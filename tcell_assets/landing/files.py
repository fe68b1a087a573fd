"""Files of a landing folder: which count, which are refused, and how their bytes are read once and within limits."""

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingLimits

READY_MARKER = "_READY"
SETTINGS_FILE = "screen.yaml"
COMPOUNDS_FILE = "compounds.csv"
# Files of a screen that lie beside its batches and hold for each that has none of its own.
SHARED_FILES = (SETTINGS_FILE, COMPOUNDS_FILE)
LEFTOVER_NAMES = frozenset({READY_MARKER, "Thumbs.db", "desktop.ini", "__MACOSX", "Icon\r"})
UNFINISHED_SUFFIXES = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp")
EDITOR_SUFFIXES = ("~", ".bak", ".swp", ".swo")
# What a Zarr store hides behind a dot belongs to its content.
STORE_METADATA = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})
PIECE_BYTES = 2**20
# Small files may well shrink a thousandfold (a column of zeros) and cost nothing.
HARMLESS_BYTES = 64 * PIECE_BYTES
LONGEST_NAME = 512
# The type, where a field of that name hides it.
Bytes = bytes


class MovedFileError(OSError):
    """A file is no longer what it was when its folder was listed, or changed while it was read."""


@dataclass
class ParsedBytes:
    """What was read of a file.

    Attributes:
        sha256: Of the bytes that were parsed, as they lie on the disk; None before anything was read.
    """

    sha256: str | None = None


@dataclass(frozen=True)
class LandingFile:
    """One file of a landing folder.

    Attributes:
        name: Path inside the folder, with forward slashes.
        path: Where it lies.
        bytes: Size on the disk.
        mtime_ns: Time of the last change.
        ctime_ns: Time the system itself notes for the last change of content or of what is said about it.
        inode: Number of the file, another one where a file is replaced by one of equal size and time.
        root: Folder that it is opened from, part by part and without following links; None for that of ``path``.
        parts: Folders and name below ``root``.
        parsed: The hash of what was read, so that what is hashed is what was parsed.
    """

    name: str
    path: Path
    bytes: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    root: Path | None = None
    parts: tuple[str, ...] = ()
    parsed: ParsedBytes = field(default_factory=ParsedBytes, compare=False, repr=False)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file as it was listed; no link is followed, whatever was put in its place meanwhile.

        Raises:
            MovedFileError: It is another file, or it changed while it was read.
            OSError: It cannot be read, or a link stands where a file or a folder did.
        """
        parts = self.parts or (self.path.name,)
        with os.fdopen(_open_beneath(self.root or self.path.parent, parts), "rb") as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode) or (before.st_size, before.st_mtime_ns) != (
                self.bytes,
                self.mtime_ns,
            ):
                raise MovedFileError("it changed while the folder was read")
            yield stream
            if _stamp(os.fstat(stream.fileno())) != _stamp(before):
                raise MovedFileError("it changed while it was read")

    def read(self) -> Bytes:
        """Return all bytes and keep their hash; see `opened` for what is raised."""
        with self.opened() as stream:
            raw = stream.read()
        self.parsed.sha256 = hashlib.sha256(raw).hexdigest()
        return raw

    def digest(self) -> str:
        """Return the SHA-256 of what was parsed, or of what lies there where nothing was; see `opened`."""
        if self.parsed.sha256 is None:
            with self.opened() as stream:
                self.parsed.sha256 = hash_stream(stream)
        return self.parsed.sha256


def hash_stream(stream: BinaryIO) -> str:
    """Return the SHA-256 of an open file from where it stands, and go back there."""
    start = stream.tell()
    digest = hashlib.sha256()
    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
    stream.seek(start)
    return digest.hexdigest()


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _open_beneath(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor of a file; each folder is opened from the one above, so that none can be swapped for a link."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = below
        # A pipe that nobody writes into would be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(parts[-1], flags, dir_fd=folder)
    finally:
        os.close(folder)


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is no part of a batch.

    Ignored are hidden files (a leading ``.``, but for the four of a Zarr store), the marker ``_READY``, what operating
    systems leave (``Thumbs.db``, ``desktop.ini``, ``__MACOSX``, ``Icon``), what editors and Office leave (``~$…``,
    ``#…#``, a trailing ``~``, ``.bak``, ``.swp``, ``.swo``) and unfinished copies and downloads (``.part``,
    ``.partial``, ``.crdownload``, ``.download``, ``.filepart``, ``.tmp``).
    """
    return (
        (name.startswith((".", "~$")) and name not in STORE_METADATA)
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
    below_root = _target_parts(folder, inside)
    if below_root is None:
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
        parts: tuple[str, ...] | None = (*below_root, *path.relative_to(folder).parts)
        if path.is_symlink():
            parts = _target_parts(path, inside)
        if parts is None:
            problems.add(
                "links", name, "", "is a link that leads out of the data folder", "Copy the file here"
            )
            continue
        try:
            # Of the link's target or of the file itself, never of what a file has become since.
            status = inside.joinpath(*parts).lstat()
        except OSError as error:
            problems.add("unreadable files", name, "", _reason(error), "Make the file readable or remove it")
            continue
        if not stat.S_ISREG(status.st_mode):
            found = "is a link to a folder" if stat.S_ISDIR(status.st_mode) else "is a pipe, socket or device"
            problems.add("links", name, "", found, "Put a plain file here")
            continue
        files.append(_listed(name, path, status, inside, parts))
    return sorted(files, key=lambda file: file.name)


def leads_out(path: Path, inside: Path) -> bool:
    """Whether a path, its links followed, lies outside a resolved folder or leads nowhere."""
    try:
        return not path.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):
        # A link to itself: a RuntimeError before Python 3.13.
        return True


def settings_file(folder: Path, problems: ProblemCollector) -> LandingFile | None:
    """The `screen.yaml` that holds for a batch; see `shared_file`."""
    return shared_file(folder, SETTINGS_FILE, problems)


def shared_file(folder: Path, name: str, problems: ProblemCollector) -> LandingFile | None:
    """The file of this name that holds for a batch: its own, else the data folder's, else None.

    Args:
        folder: The batch folder.
        name: One of `SHARED_FILES`.
        problems: Receives one that is no plain file.
    """
    own = folder / name
    return _plain_file(own, name, problems) if os.path.lexists(own) else _above(folder, name, problems)


def screen_settings_file(folder: Path, problems: ProblemCollector) -> LandingFile | None:
    """The `screen.yaml` of the data folder that a batch lies in, or None."""
    return _above(folder, SETTINGS_FILE, problems)


def _above(folder: Path, name: str, problems: ProblemCollector) -> LandingFile | None:
    path = folder.parent / name
    return _plain_file(path, f"../{name}", problems) if os.path.lexists(path) else None


def _plain_file(path: Path, name: str, problems: ProblemCollector) -> LandingFile | None:
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        return _listed(name, path, status, path.parent, (path.name,))
    problems.add("links", name, "", "is a link, pipe or folder", "Put a plain file here")
    return None


def _listed(name: str, path: Path, status: os.stat_result, root: Path, parts: tuple[str, ...]) -> LandingFile:
    size, mtime, ctime, inode = _stamp(status)
    return LandingFile(name, path, size, mtime, ctime, inode, root, parts)


def _target_parts(link: Path, inside: Path) -> tuple[str, ...] | None:
    """What a link leads to as parts below a resolved folder, or None where it leads out of it or nowhere."""
    try:
        return link.resolve().relative_to(inside).parts
    except (OSError, RuntimeError, ValueError):
        # A link to itself: a RuntimeError before Python 3.13.
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
        return _unpack(file, limits, problems) if file.name.endswith(".gz") else file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = f"is not a whole gzip file ({error})"
        problems.add("damaged files", file.name, "", found, "The copy was probably cut short: copy it again")
    except OSError as error:
        note_unreadable(file, error, problems)
    return None


def note_unreadable(file: LandingFile, error: OSError, problems: ProblemCollector) -> None:
    """Note that a file could not be read, or that it moved while it was."""
    if isinstance(error, MovedFileError):
        mend = "Wait until the copy has ended and read the batch again"
        problems.add("moving files", file.name, "", str(error), mend)
    else:
        problems.add("unreadable files", file.name, "", _reason(error), "Make the file readable")


class _HashedStream(io.RawIOBase):
    """A packed file whose bytes are hashed as they are unpacked."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.sha256 = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.sha256.update(piece)
        return piece

    def readable(self) -> bool:
        return True


def _unpack(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> bytes | None:
    pieces: list[bytes] = []
    unpacked = 0
    with file.opened() as packed:
        hashed = _HashedStream(packed)
        with gzip.GzipFile(fileobj=hashed) as stream:
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
        hashed.read()
    file.parsed.sha256 = hashed.sha256.hexdigest()
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
