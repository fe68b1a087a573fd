"""Checkpoints of running trainings: a file a training, replaced atomically after every epoch, no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
from upath import UPath

from tcell_assets.science.model.trained_model import Weights
from tcell_assets.system.files import write_atomically

FORMAT = "tcell-checkpoint/1"
# Of so many trainings the last checkpoint is kept: those of an ensemble, and what was interrupted before it.
KEPT = 12


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a training needs to go on after an epoch as if never stopped.

    Dropout and the order of the wells are seeded by epoch, so there is no random state to keep.

    Attributes:
        identity: Data and settings of the training, plain JSON values.
        epoch: Last finished epoch.
        best_epoch: Best epoch so far.
        best_loss: Its loss.
        history: Rows so far.
        last: Weights after `epoch`.
        best: Weights after `best_epoch`.
        optimizer: Moments and step counts, `<parameter>/<entry>`.
    """

    identity: dict[str, Any]
    epoch: int
    best_epoch: int
    best_loss: float
    history: list[dict[str, Any]]
    last: Weights
    best: Weights
    optimizer: Weights


def checkpoint_path(folder: Path, identity: dict[str, Any]) -> Path:
    """Return the file of one training: two at once, of other data or settings, do not touch each other's."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / f"training-{digest[:16]}.safetensors"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace a training's checkpoint; a kill at any moment leaves the old one or the new one.

    A training's first checkpoint takes the place of the oldest of the folder's, where there are more than `KEPT`.
    """
    header = {
        "format": FORMAT,
        "identity": checkpoint.identity,
        "epoch": checkpoint.epoch,
        "best_epoch": checkpoint.best_epoch,
        "best_loss": checkpoint.best_loss,
        "history": checkpoint.history,
    }
    parts = {"last": checkpoint.last, "best": checkpoint.best, "optimizer": checkpoint.optimizer}
    tensors = {f"{part}:{name}": value for part, values in parts.items() for name, value in values.items()}
    content = safetensors.numpy.save(tensors, metadata={"training": json.dumps(header)})
    path = checkpoint_path(folder, checkpoint.identity)
    is_first = not path.exists()
    write_atomically(UPath(path), content)
    if is_first:
        newest_first = sorted(
            folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True
        )
        for old in newest_first[KEPT:]:
            old.unlink(missing_ok=True)


def read_checkpoint(folder: Path, identity: dict[str, Any]) -> Checkpoint | str | None:
    """The checkpoint to resume from.

    Returns:
        The checkpoint; None if there is none; or, where one is there that cannot be resumed, the reason.
    """
    path = checkpoint_path(folder, identity)
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        return f"{path}: the checkpoint is damaged ({error}); training starts afresh"
    if header.get("format") != FORMAT:
        return f"{path}: the checkpoint's format is not {FORMAT!r}; training starts afresh"
    # Through JSON, so that tuples and lists compare alike.
    if header["identity"] != json.loads(json.dumps(identity)):
        return f"{path}: the checkpoint is of another training; training starts afresh"
    parts: dict[str, Weights] = {"last": {}, "best": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, name = key.split(":", 1)
        parts[part][name] = value
    return Checkpoint(
        identity=header["identity"],
        epoch=header["epoch"],
        best_epoch=header["best_epoch"],
        best_loss=header["best_loss"],
        history=header["history"],
        **parts,
    )
