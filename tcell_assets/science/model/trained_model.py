"""A trained model: all that is needed to use, check and trace it; no pickle, importable without torch."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
from upath import UPath

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.settings import TrainingSettings
from tcell_assets.system.files import write_atomically
from tcell_assets.targets import LEGACY_SCORE, Target, names_of, published_targets

FORMAT = "tcell-model/1"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
LAST_WEIGHTS = "last.safetensors"
HISTORY = "history.parquet"
SPLIT = "split.parquet"
SCALER = "scaler.parquet"

Weights = dict[str, np.ndarray]


class ModelError(ValueError):
    """A model folder is damaged or incomplete, or a model does not fit the data it is given."""


class Scale(NamedTuple):
    """What a target is standardised by: mean and standard deviation over the training wells."""

    mean: float
    standard_deviation: float


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network with its provenance.

    Attributes:
        version: `model-` and 12 hex digits of the hash over weights, settings, genes, scaler, split and batch
            hashes: the same training gives the same version.
        weights: The best epoch's weights (copies), by parameter name.
        last_weights: The last epoch's.
        settings: Settings it was trained with.
        genes: Input genes, in the network's order.
        gene_mean: (genes,) mean over the training wells, or None where the model was trained unscaled.
        gene_standard_deviation: (genes,), likewise.
        targets: What it was trained to predict, in the order of its outputs, whatever the installation declares now.
        trained_heads: Targets that were known; the heads of the others are never exported nor explained.
        scales: Scale of every target that was standardised, by name.
        seed: Of split, initial weights, order of wells and dropout.
        split: `well_id, batch, split`, split `train` or `val`.
        history: `epoch, split, total`, every term of the loss, `learning_rate, seconds, is_best`.
        best_epoch: Epoch of `weights`, counted from 1.
        training_latent_mean: (latent,) mean latent of the training wells.
        library_versions: Versions of Python and the libraries that computed it.
        batch_hashes: Content hash of every batch it was trained on.
        genes_left_out: Genes not shared by all those batches.
        compute: Device and precision of the training.
        created_at: UTC time, ISO 8601.
    """

    version: str
    weights: Weights
    last_weights: Weights
    settings: TrainingSettings
    genes: tuple[str, ...]
    gene_mean: np.ndarray | None
    gene_standard_deviation: np.ndarray | None
    targets: tuple[Target, ...]
    trained_heads: tuple[str, ...]
    scales: dict[str, Scale]
    seed: int
    split: pd.DataFrame
    history: pd.DataFrame
    best_epoch: int
    training_latent_mean: np.ndarray
    library_versions: dict[str, str]
    batch_hashes: dict[str, str]
    genes_left_out: tuple[str, ...]
    compute: Compute
    created_at: str

    @property
    def gene_hash(self) -> str:
        """Hash of the gene list in its order."""
        return gene_list_hash(self.genes)

    def target(self, name: str) -> Target:
        """One of its targets by name.

        Raises:
            KeyError: It has no such target.
        """
        return {target.name: target for target in self.targets}[name]

    def in_own_unit(self, name: str, standardised: Any) -> Any:
        """What the head of a target says, an array or a tensor, in the target's own unit."""
        scale = self.scales.get(name)
        return standardised if scale is None else standardised * scale.standard_deviation + scale.mean


def gene_list_hash(genes: Sequence[str]) -> str:
    """SHA-256 of the names, one a line, in their order."""
    return hashlib.sha256("\n".join(genes).encode()).hexdigest()


def content_version(
    weights: Weights,
    settings: TrainingSettings,
    genes: Sequence[str],
    gene_mean: np.ndarray | None,
    gene_standard_deviation: np.ndarray | None,
    split: pd.DataFrame,
    batch_hashes: Mapping[str, str],
    targets: Sequence[Target] = (),
) -> str:
    """The version that these contents have, whatever computed them and whenever."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    for scaler in (gene_mean, gene_standard_deviation):
        digest.update(b"none" if scaler is None else np.ascontiguousarray(scaler, dtype=np.float64).tobytes())
    rows = split.sort_values("well_id")[["well_id", "batch", "split"]].astype(str).to_numpy().tolist()
    rest: list[Any] = [settings.as_json(), list(genes), rows, dict(batch_hashes)]
    if beyond := targets_beyond_published(targets):
        rest.append(beyond)
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return f"model-{digest.hexdigest()[:12]}"


def targets_beyond_published(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """What decides a training of each target that is not the published pipeline's own.

    Versions and checkpoints from before targets could be declared say nothing of theirs, so those add nothing.
    """
    return [target.trained_as() for target in targets if not target.is_published]


def save_model(model: TrainedModel, folder: Path | UPath) -> None:
    """Write a model into a folder, the manifest last: a folder without it holds no model.

    Args:
        model: What to save.
        folder: A local path or any universal-pathlib path; made if absent. Files that lie there are replaced.
    """
    files = {
        WEIGHTS: safetensors.numpy.save(model.weights),
        LAST_WEIGHTS: safetensors.numpy.save(model.last_weights),
        HISTORY: _parquet_bytes(model.history),
        SPLIT: _parquet_bytes(model.split),
    }
    if model.gene_mean is not None:
        scaler = pd.DataFrame(
            {"gene": model.genes, "mean": model.gene_mean, "sd": model.gene_standard_deviation}
        )
        files[SCALER] = _parquet_bytes(scaler)
    manifest = {
        "format": FORMAT,
        "version": model.version,
        "created_at": model.created_at,
        "best_epoch": model.best_epoch,
        "seed": model.seed,
        "settings": model.settings.as_json(),
        "target_order": names_of(model.targets),
        "targets": [target.to_dict() for target in model.targets],
        "trained_heads": list(model.trained_heads),
        "scales": {name: list(scale) for name, scale in model.scales.items()},
        "training_latent_mean": [float(value) for value in model.training_latent_mean],
        "compute": dataclasses.asdict(model.compute),
        "library_versions": model.library_versions,
        "batch_hashes": model.batch_hashes,
        "gene_hash": model.gene_hash,
        "genes": list(model.genes),
        "genes_left_out": list(model.genes_left_out),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    folder = UPath(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(folder / name, content)
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2, allow_nan=False).encode())


def load_model(folder: Path | UPath) -> TrainedModel:
    """Read a model and check every file against the manifest's hashes.

    Raises:
        ModelError: A file is missing, damaged or does not belong to the manifest; the message names it.
    """
    folder = UPath(folder)
    manifest = _read_manifest(folder / MANIFEST)
    contents = {name: _read_checked(folder / name, expected) for name, expected in manifest["files"].items()}
    try:
        genes = tuple(manifest["genes"])
        settings = TrainingSettings.from_json(manifest["settings"])
        scaler = pd.read_parquet(io.BytesIO(contents[SCALER])) if SCALER in contents else None
        model = TrainedModel(
            version=manifest["version"],
            weights=safetensors.numpy.load(contents[WEIGHTS]),
            last_weights=safetensors.numpy.load(contents[LAST_WEIGHTS]),
            settings=settings,
            genes=genes,
            gene_mean=None if scaler is None else scaler["mean"].to_numpy(),
            gene_standard_deviation=None if scaler is None else scaler["sd"].to_numpy(),
            targets=targets_of_manifest(manifest),
            trained_heads=tuple(manifest["trained_heads"]),
            scales=_scales(manifest),
            seed=manifest["seed"],
            split=pd.read_parquet(io.BytesIO(contents[SPLIT])),
            history=pd.read_parquet(io.BytesIO(contents[HISTORY])),
            best_epoch=manifest["best_epoch"],
            training_latent_mean=np.asarray(manifest["training_latent_mean"], dtype=np.float32),
            library_versions=manifest["library_versions"],
            batch_hashes=manifest["batch_hashes"],
            genes_left_out=tuple(manifest["genes_left_out"]),
            compute=Compute(**manifest["compute"]),
            created_at=manifest["created_at"],
        )
        hash_in_manifest = manifest["gene_hash"]
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"{folder / MANIFEST}: not a complete model manifest ({error!r}); train again"
        ) from error
    if model.gene_hash != hash_in_manifest:
        raise ModelError(
            f"{folder / MANIFEST}: the gene list does not have the hash beside it; it was edited"
        )
    version = content_version(
        model.weights,
        model.settings,
        model.genes,
        model.gene_mean,
        model.gene_standard_deviation,
        model.split,
        model.batch_hashes,
        model.targets,
    )
    if version != model.version:
        raise ModelError(
            f"{folder / MANIFEST}: says version {model.version}, but its contents are {version}; "
            "it was edited"
        )
    return model


def targets_of_manifest(manifest: Mapping[str, Any]) -> tuple[Target, ...]:
    """The targets a model was trained with; a manifest that does not say means the published ones."""
    if "targets" in manifest:
        return tuple(Target.from_dict(values) for values in manifest["targets"])
    return published_targets()


def align_genes(expression: pd.DataFrame, model: TrainedModel) -> pd.DataFrame:
    """The model's genes of an expression frame, matched by name, in the model's order; others are dropped.

    Args:
        expression: Index well_id, a column a gene.
        model: The model whose genes are wanted.

    Raises:
        ModelError: A gene of the model is missing, or two columns bear its name; the message names them.
    """
    if tuple(expression.columns) == model.genes:
        return expression
    return expression.iloc[:, gene_positions(expression.columns, model)]


def gene_positions(columns: pd.Index, model: TrainedModel) -> np.ndarray:
    """Position in `columns` of each of the model's genes.

    Raises:
        ModelError: A gene of the model is missing, or two columns bear its name; the message names them.
    """
    wanted = pd.Index(model.genes)
    duplicate = columns[columns.duplicated()].unique().intersection(wanted, sort=False)
    if len(duplicate):
        raise ModelError(
            f"{_named(duplicate, 'gene')} of model {model.version} appear in more than one column"
        )
    first_of_its_name = np.flatnonzero(~columns.duplicated())
    positions = columns[first_of_its_name].get_indexer(wanted)
    missing = wanted[positions < 0]
    if len(missing):
        raise ModelError(
            f"{_named(missing, 'gene')} of model {model.version} are missing from the expression matrix "
            f"({len(columns):,} columns); score a matrix that holds all {len(wanted):,} genes, "
            "or train on the shared ones"
        )
    return first_of_its_name[positions]


def _read_manifest(path: UPath) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: there is no model here (no manifest); name a folder that a training wrote"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: damaged, it is no JSON ({error}); restore it or train again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path}: its format is not {FORMAT!r}; it was not written by this version")
    if not isinstance(manifest.get("files"), dict) or not {WEIGHTS, LAST_WEIGHTS, HISTORY, SPLIT} <= set(
        manifest["files"]
    ):
        raise ModelError(f"{path}: does not list the files of a model; restore it or train again")
    return manifest


def _read_checked(path: UPath, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: missing, though the manifest lists it; restore it or train again"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelError(
            f"{path}: damaged or of another model, its SHA-256 is not the manifest's; restore it"
        )
    return content


def _parquet_bytes(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _scales(manifest: Mapping[str, Any]) -> dict[str, Scale]:
    """Scale of every standardised target; before targets could be declared that was the legacy score alone."""
    if "scales" in manifest:
        return {name: Scale(*values) for name, values in manifest["scales"].items()}
    mean, standard_deviation = manifest["activation_mean"], manifest["activation_standard_deviation"]
    return {} if mean is None else {LEGACY_SCORE: Scale(float(mean), float(standard_deviation))}


def _named(names: Sequence[str] | pd.Index, noun: str) -> str:
    shown = ", ".join(str(name) for name in names[:5])
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{len(names):,} {noun}{'s' if len(names) > 1 else ''} ({shown}{more})"
