"""The model registry: every version in a folder of its own, and a pointer to the current one.

The pointer file records who moved it, when and why; it is replaced atomically, so a reader sees the old model or
the new one. What a version's folder holds is `science.trained_model`'s affair.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tcell_assets.system.files import (
    StorageError,
    is_local,
    locked,
    storage_errors,
    synchronise_folder,
    temporary_beside,
    write_atomically,
)

if TYPE_CHECKING:
    from upath import UPath

MANIFEST = "manifest.json"
FIT_FILE = "variance_stabilization.json"
_POINTER = "current.json"
# What is read of a manifest without opening the model.
_ALWAYS_SAID = ("batch_hashes", "settings")


class UnknownModelError(LookupError):
    """A model version was asked for that the registry does not hold."""


@dataclass(frozen=True)
class Promotion:
    """One move of the pointer; `is_rollback` tells a step back from a promotion."""

    version: str
    previous: str | None
    who: str
    when: str
    why: str
    is_rollback: bool = False


@dataclass(frozen=True)
class ModelRegistry:
    """Model versions below `root`, the folder `models/` of the storage."""

    root: UPath

    def versions(self) -> list[str]:
        """Return the complete versions whose manifest can be read, oldest first; `damaged` names the others."""
        made = {
            version: found for version in self._complete() if isinstance(found := self._read(version), dict)
        }
        return sorted(made, key=lambda version: (str(made[version].get("created_at", "")), version))

    def damaged(self) -> dict[str, str]:
        """Return the versions whose manifest is empty, cut off or something else's, each with a sentence."""
        found = {version: self._read(version) for version in self._complete()}
        return {version: fault for version, fault in found.items() if isinstance(fault, str)}

    def _complete(self) -> list[str]:
        if not self.root.exists():
            return []
        return sorted(
            folder.name
            for folder in self.root.iterdir()
            if folder.name[0] != "." and (folder / MANIFEST).exists()
        )

    def _read(self, version: str) -> dict[str, Any] | str:
        """Return the manifest of a version, or what is wrong with it."""
        path = self.root / version / MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
            fault = "" if isinstance(manifest, dict) else "is no list of a model's properties"
            named = manifest.get("version", version) if not fault else version
            missing = [name for name in _ALWAYS_SAID if not fault and name not in manifest]
        except (ValueError, RecursionError, OSError) as error:
            fault = f"cannot be read ({' '.join(str(error).split())})"
        else:
            if not fault and missing:
                fault = f"names no {' and no '.join(missing)}"
            elif not fault and named != version:
                fault = f"is that of {named}"
        if not fault:
            return dict(manifest)
        return (
            f"{path}: {fault}; restore the folder from a backup, or delete it and train again: the same data and "
            "settings give the same version"
        )

    def folder(self, version: str) -> UPath:
        """Return the folder of a version.

        Raises:
            UnknownModelError: There is no such version.
        """
        # A version names a folder: one that is not listed is never joined to a path.
        if version not in {folder.name for folder in (self.root.iterdir() if self.root.exists() else ())}:
            known = ", ".join(self.versions()) or "none"
            raise UnknownModelError(f"{self.root}: no model {version!r}; versions here: {known}")
        return self.root / version

    def manifest(self, version: str) -> dict[str, Any]:
        """Return the manifest of a version.

        Raises:
            UnknownModelError: There is no such version.
            StorageError: Its manifest is empty, cut off or something else's.
        """
        manifest = self._read(self.folder(version).name)
        if isinstance(manifest, str):
            raise StorageError(manifest)
        return manifest

    def fit_hash(self, version: str) -> str | None:
        """Return the hash of the fit by which a version's counts became expression; None for one of landed VST."""
        path = self.root / version / FIT_FILE
        try:
            return str(json.loads(path.read_bytes())["fit_hash"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{path}: damaged ({error}); restore the folder from a backup, or delete it and train again"
            ) from error

    def add(self, version: str, save: Callable[[UPath], object]) -> UPath:
        """Write a version through `save(folder)`; an already complete one is kept, as versions name their content.

        A kill leaves no version or the whole of it: locally the folder is renamed into place, on an object store the
        manifest is written last.
        """
        target = self.root / version
        if (target / MANIFEST).exists():
            return target
        if not is_local(self.root):
            save(target)
            return target
        local = Path(self.root.path) / version
        temporary = temporary_beside(local)
        with storage_errors(local, "the model could not be saved"):
            try:
                local.parent.mkdir(parents=True, exist_ok=True)
                from upath import UPath

                save(UPath(temporary))
                synchronise_folder(temporary)
                _take_name(temporary, local)
                synchronise_folder(local.parent)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        return target

    def promotions(self) -> list[Promotion]:
        """Return every move of the pointer, oldest first.

        Raises:
            StorageError: The pointer file is damaged.
        """
        pointer = self.root / _POINTER
        if not pointer.exists():
            return []
        try:
            return [Promotion(**entry) for entry in json.loads(pointer.read_text())["promotions"]]
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{pointer}: damaged, it names no current model ({error}); restore it from a backup, or delete it and "
                f"promote one of {', '.join(self.versions()) or 'no versions'}"
            ) from error

    def current(self) -> str | None:
        """Return the current version, or None before the first promotion."""
        promotions = self.promotions()
        return promotions[-1].version if promotions else None

    def resolve(self, version: str | None) -> str:
        """Return `version`, or the current one where none is named.

        Raises:
            UnknownModelError: The version is not there, or none is current.
        """
        if version:
            return self.folder(version).name
        current = self.current()
        if current is None:
            raise UnknownModelError(f"{self.root}: no model is current; materialize trained_model first")
        if current not in self._complete():
            raise UnknownModelError(self.gone(current))
        return current

    def gone(self, version: str) -> str:
        """Return the sentence for a current version whose folder is not there."""
        known = ", ".join(self.versions()) or "none"
        return (
            f"{self.root}: the current model {version} is not there; restore its folder from a backup, make another "
            f"one current (`tcell models promote`, `tcell models rollback`) or train. Versions here: {known}"
        )

    def promote(self, version: str, who: str, why: str) -> Promotion:
        """Make `version` the current model.

        Raises:
            UnknownModelError: There is no such version.
        """
        self.folder(version)
        with self._pointer_lock():
            return self._move_pointer(version, who, why, is_rollback=False)

    def rollback(self, who: str, why: str) -> Promotion:
        """Take back the latest promotion that still stands; rolling back twice takes back two.

        Raises:
            UnknownModelError: There is no earlier model.
        """
        with self._pointer_lock():
            standing: list[str] = []
            for move in self.promotions():
                if move.is_rollback:
                    standing.pop()
                else:
                    standing.append(move.version)
            if len(standing) < 2:
                raise UnknownModelError(f"{self.root}: no earlier model to roll back to")
            return self._move_pointer(self.folder(standing[-2]).name, who, why, is_rollback=True)

    def _move_pointer(self, version: str, who: str, why: str, is_rollback: bool) -> Promotion:
        moves = self.promotions()
        promotion = Promotion(
            version=version,
            previous=moves[-1].version if moves else None,
            who=who,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why,
            is_rollback=is_rollback,
        )
        entries = [asdict(entry) for entry in (*moves, promotion)]
        body = json.dumps({"version": version, "promotions": entries}, indent=2).encode()
        write_atomically(self.root / _POINTER, lambda file: file.write(body))
        return promotion

    @contextmanager
    def _pointer_lock(self) -> Iterator[None]:
        """Keep two local processes from losing one of two simultaneous promotions."""
        if not is_local(self.root):
            yield
            return
        with locked(Path(self.root.path) / ".current.lock"):
            yield


def _take_name(temporary: Path, local: Path) -> None:
    try:
        temporary.rename(local)
    except OSError:
        # A version names its content: another run that saved it first has saved the same.
        if not (local / MANIFEST).exists():
            raise
        shutil.rmtree(temporary, ignore_errors=True)
