"""Batches that were forgotten: their tables lie in an archive beside the lake, from which they can be brought back.

A batch in the archive is in no table of the lake, so no model, hit or report rests on it. Its landing folder may still
be there; whoever looks for new plates leaves out what is named here (`installation.operations.landed_batches`).

The note of a batch is written first and deleted last, and says in which direction its tables move, so that an
interrupted move is ended by whoever comes next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import StorageError, is_local, storage_errors, write_atomically

if TYPE_CHECKING:
    from upath import UPath

ARCHIVE = "archive"
_NOTE = "forgotten.json"


class ForgottenBatchError(RuntimeError):
    """A batch is asked for that was forgotten; the message says by whom and how to bring it back."""


@dataclass(frozen=True)
class Forgotten:
    """Who took a batch out of the screen, when and why; `state` says where its tables move while they do."""

    batch: str
    who: str
    when: str
    why: str
    state: Literal["forgotten", "restoring"] = "forgotten"

    def sentence(self) -> str:
        """Say it in words, with the way back."""
        why = f": {self.why}" if self.why else ""
        return f"{self.batch} was forgotten by {self.who} on {self.when[:10]}{why}; {self.command} brings it back"

    @property
    def command(self) -> str:
        """The command that brings the batch back."""
        return f"tcell forget --restore {self.batch}"


def forgotten_batches(lake: Lake) -> dict[str, Forgotten]:
    """Return the batches that are in the archive, by name.

    Raises:
        StorageError: A note cannot be read.
    """
    folder = _archive(lake)
    if not folder.exists():
        return {}
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        note = entry / _NOTE
        if entry.name[0] != "." and note.exists():
            try:
                found[entry.name] = Forgotten(**json.loads(note.read_bytes()))
            except (ValueError, TypeError) as error:
                raise StorageError(
                    f"{note}: damaged ({error}); delete it to have the batch in the screen again, where its "
                    "landing folder makes its tables anew"
                ) from error
    return found


def require_present(lake: Lake, batch: str) -> None:
    """Refuse a batch that was forgotten.

    Raises:
        ForgottenBatchError: It was.
    """
    if (_archive(lake) / batch / _NOTE).exists():
        raise ForgottenBatchError(forgotten_batches(lake)[batch].sentence())


def forget(lake: Lake, batch: str, who: str, why: str) -> list[str]:
    """Move every table of a batch into the archive and return which; the caller holds the batch's lock.

    Raises:
        StorageError: The storage refuses; called again, it goes on.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    _write_note(lake, Forgotten(batch, who, when, why))
    return _move_out(lake, batch)


def restore(lake: Lake, batch: str) -> list[str]:
    """Move the tables of a batch back into the lake and return which; the caller holds the batch's lock.

    Raises:
        LookupError: The batch is not in the archive.
        StorageError: The storage refuses; called again, it goes on.
    """
    note = forgotten_batches(lake).get(batch)
    if note is None:
        known = ", ".join(forgotten_batches(lake)) or "none"
        raise LookupError(f"{_archive(lake)}: {batch} was not forgotten; forgotten batches: {known}")
    _write_note(lake, Forgotten(**{**asdict(note), "state": "restoring"}))
    return _move_back(lake, batch)


def is_move_unfinished(lake: Lake, note: Forgotten) -> bool:
    """Return whether tables of a batch lie where its note says they do not."""
    return note.state == "restoring" or any(here.exists() for _, here, _ in _places(lake, note.batch))


def end_interrupted_move(lake: Lake, batch: str) -> None:
    """Go on with a move whose process ended; the caller holds the batch's lock."""
    note = forgotten_batches(lake).get(batch)
    if note is not None and note.state == "restoring":
        _move_back(lake, batch)
    elif note is not None:
        _move_out(lake, batch)


def _archive(lake: Lake) -> UPath:
    return lake.root.parent / ARCHIVE


def _write_note(lake: Lake, note: Forgotten) -> None:
    content = json.dumps(asdict(note), indent=1).encode()
    write_atomically(_archive(lake) / note.batch / _NOTE, content)


def _places(lake: Lake, batch: str) -> Iterator[tuple[str, UPath, UPath]]:
    """Each table with its place in the lake and its place in the archive."""
    for asset, table in TABLES.items():
        if table.partitioned:
            yield asset, lake.path(asset, batch), _archive(lake) / batch / f"{asset}.parquet"


def _move_out(lake: Lake, batch: str) -> list[str]:
    moved = []
    for asset, here, there in _places(lake, batch):
        if here.exists():
            _move(here, there)
            moved.append(asset)
    return moved


def _move_back(lake: Lake, batch: str) -> list[str]:
    moved = []
    for asset, here, there in _places(lake, batch):
        if there.exists():
            _move(there, here)
            moved.append(asset)
    with storage_errors(_archive(lake) / batch, "could not be cleared"):
        (_archive(lake) / batch / _NOTE).unlink()
    return moved


def _move(source: UPath, target: UPath) -> None:
    with storage_errors(target, "could not be moved there"):
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_local(source):
            source.replace(target)
        else:
            source.fs.mv(source.path, target.path)
