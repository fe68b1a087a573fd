"""Which batches lie in the data folder, and whether the files of a batch have changed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tcell_assets.landing.files import (
    SHARED_FILES,
    LandingFile,
    is_ignored,
    leads_out,
    list_files,
    note_unreadable,
    shared_file,
)
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits
from tcell_assets.landing.wells import batch_name_fault


@dataclass(frozen=True)
class FileStamp:
    """A file of a batch without its content.

    Attributes:
        name: Path inside the batch folder.
        bytes: Size.
        mtime_ns: Time of the last change.
        ctime_ns: Time the system notes for it, which no copy can set.
        inode: Another one where the file was replaced.
    """

    name: str
    bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True)
class Fingerprint:
    """What lies in a batch folder, found without opening a file; equal fingerprints mean an untouched folder."""

    files: tuple[FileStamp, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class BatchFolders:
    """The folders of the data folder.

    Attributes:
        batches: Names that may be a batch, sorted.
        refused: Other folders' names and why each is no batch ("the name …").
    """

    batches: tuple[str, ...]
    refused: dict[str, str]


def list_batches(data_folder: Path) -> BatchFolders:
    """The batches of a data folder by name; nothing inside them is looked at.

    A missing data folder holds no batch. Plain files beside the batch folders do not count, nor do folders that
    start with ``.`` or ``_``.
    """
    if not data_folder.is_dir():
        return BatchFolders((), {})
    batches: list[str] = []
    refused: dict[str, str] = {}
    for path in sorted(data_folder.iterdir()):
        if path.name.startswith("_") or is_ignored(path.name) or not path.is_dir():
            continue
        fault = batch_name_fault(path.name)
        if fault is None and leads_out(path, data_folder.resolve()):
            fault = "is a link out of the data folder"
        if fault is None:
            batches.append(path.name)
        else:
            refused[path.name] = fault
    return BatchFolders(tuple(batches), refused)


def batch_fingerprint(folder: Path, limits: LandingLimits | None = None) -> Fingerprint:
    """Name, size, times and inode of every file of a batch folder that counts (see `files.is_ignored`).

    Files that must not be followed are left out here; `batch.read_batch` refuses them by name.
    """
    files = counted_files(folder, limits or LandingLimits(), ProblemCollector(folder.name))
    return Fingerprint(
        tuple(FileStamp(file.name, file.bytes, file.mtime_ns, file.ctime_ns, file.inode) for file in files)
    )


def content_hash(folder: Path, limits: LandingLimits | None = None) -> str:
    """SHA-256 over the sorted names and contents of a batch's files; times play no part.

    The data folder's ``screen.yaml`` and ``compounds.csv`` count where the batch has none of its own, because they
    change what is read.

    Raises:
        LandingError: A file cannot be read or must not be followed.
    """
    problems = ProblemCollector(folder.name)
    hashed = hash_files(counted_files(folder, limits or LandingLimits(), problems), problems)
    problems.raise_if_any()
    return hashed


def hash_files(files: Sequence[LandingFile], problems: ProblemCollector) -> str:
    """SHA-256 over names and contents of files in their order; files that cannot be read are problems.

    Of a file that was parsed the hash of the parsed bytes is taken.
    """
    total = hashlib.sha256()
    for file in files:
        try:
            digest = file.digest()
        except OSError as error:
            note_unreadable(file, error, problems)
            continue
        total.update(f"{len(file.name)}:{file.name}\n{digest}\n".encode())
    return total.hexdigest()


def counted_files(folder: Path, limits: LandingLimits, problems: ProblemCollector) -> list[LandingFile]:
    """The files whose content makes a batch: its own, after those of the data folder that hold for it."""
    files = list_files(folder, folder.parent, limits, problems)
    own = {file.name for file in files}
    shared = [shared_file(folder, name, problems) for name in SHARED_FILES]
    return [*(file for file in shared if file is not None and file.name not in own), *files]
