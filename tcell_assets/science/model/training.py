"""Training of the Transformer: one readable loop, resumable, that stops with names when something is wrong."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tcell_assets.science.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.linear_models import LinearHeads, fit_linear_heads
from tcell_assets.science.model.network import ExpressionTransformer, NetworkOutput
from tcell_assets.science.model.settings import (
    LABEL_TARGET,
    LEGACY_TARGET,
    PRESETS,
    TARGETS,
    NetworkSettings,
    TrainingSettings,
    settings_for_preset,
)
from tcell_assets.science.model.trained_model import TrainedModel, Weights, content_version, gene_list_hash

__all__ = [
    "PRESETS",
    "TARGETS",
    "NetworkSettings",
    "Progress",
    "TrainingData",
    "TrainingError",
    "TrainingSettings",
    "settings_for_preset",
    "split_wells",
    "train",
]

log = logging.getLogger(__name__)

# Columns of TARGETS whose losses make up each term of the loss.
_TARGETS_OF_TERM = {"mse": slice(0, 3), "bce": slice(3, 4), "reg": slice(4, 5)}


class TrainingError(RuntimeError):
    """Training cannot start or go on; the message names the epoch, batch, genes or wells."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Wells to train on, expression and targets in the same row order.

    Attributes:
        expression: float32 (wells, genes), as measured (VST), unscaled.
        genes: Column names of `expression`.
        wells: `well_id, batch, metabolite, is_dmso` and the targets `tscore, cytotrace, pseudotime,
            is_activated, activation_score`, NaN where unknown; a row a row of `expression`.
        batch_hashes: Content hash of every batch, by its name.
        genes_left_out: Genes that not all batches share, for the record.
    """

    expression: np.ndarray
    genes: tuple[str, ...]
    wells: pd.DataFrame
    batch_hashes: dict[str, str]
    genes_left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """A report from a running training.

    Attributes:
        kind: `step` inside an epoch, `epoch` at its end, `message` for something to know.
        text: The report as a line.
        epoch: Current epoch, from 1.
        epochs: Epochs asked for.
        fraction: Share of the whole run that is done, 0 to 1.
        wells_per_second: Training speed so far.
        seconds_left: Expected time to the last epoch.
        losses: At the end of an epoch: `total, mse, bce, reg` by split.
        is_best: At the end of an epoch: whether it is the best so far.
    """

    kind: Literal["step", "epoch", "message"]
    text: str
    epoch: int
    epochs: int
    fraction: float = 0.0
    wells_per_second: float = float("nan")
    seconds_left: float = float("nan")
    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    is_best: bool = False


def train(
    data: TrainingData,
    settings: TrainingSettings,
    compute: Compute,
    checkpoint_folder: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainedModel:
    """Train the network and return its best epoch's weights with their provenance.

    Genes are taken in the order of their names and wells in the order of their ids, so the order in `data`
    does not matter. Wells without any target are left out. The loss is
    `MSE + BCE + λ·MSE_activation`, each a mean over the known entries; a target known nowhere leaves its head
    untrained.

    Args:
        data: Wells and targets.
        settings: Presets and single settings.
        compute: Device and precision.
        checkpoint_folder: Where to keep a checkpoint after every epoch, in a file of this training's own, and to
            resume from if it holds one of the same data and settings. A resumed training on a CPU gives the very
            weights of an unbroken one.
        on_progress: Called on every report.

    Raises:
        TrainingError: The data are malformed or not finite, or a loss or gradient stops being finite.
        SettingsError: The settings do not fit the data (full attention over too many genes).
    """
    with compute.session() as device, torch.random.fork_rng():
        return _Training(data, settings, compute, device, on_progress).run(checkpoint_folder)


def split_wells(wells: pd.DataFrame, settings: TrainingSettings) -> pd.Series:
    """Assign wells to `train` and `val`, stratified by label; unknown labels form a stratum of their own.

    Args:
        wells: `well_id` and `is_activated`, one row a well.
        settings: Fraction and seed.

    Returns:
        `train` or `val`, indexed as `wells`. It depends on the well ids, not on the order of the rows.

    Raises:
        TrainingError: Too few wells for the fraction.
    """
    ordered = wells.sort_values("well_id")
    held_out = _stratified_choice(
        ordered[LABEL_TARGET].to_numpy(dtype=float), settings.validation_fraction, settings.seed
    )
    return pd.Series(np.where(held_out, "val", "train"), index=ordered.index, name="split").reindex(
        wells.index
    )


def _stratified_choice(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    strata = np.where(np.isnan(labels), -1, labels).astype(int)
    _, sizes = np.unique(strata, return_counts=True)
    try:
        _, chosen = train_test_split(
            rows, test_size=fraction, random_state=seed, stratify=strata if sizes.min() > 1 else None
        )
    except ValueError as error:
        raise TrainingError(
            f"{len(labels)} wells cannot be split by {fraction:g} with both labels in both parts ({error}); "
            "add wells or change the fraction"
        ) from error
    return np.isin(rows, chosen)


class _Training:
    """State of one run: data in canonical order, network, optimizer, history."""

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        compute: Compute,
        device: torch.device,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        check_data(data)
        self.settings, self.compute, self.device, self.on_progress = settings, compute, device, on_progress
        self.data = data
        has_a_target = data.wells[list(TARGETS)].notna().any(axis=1).to_numpy()
        by_id = np.argsort(data.wells["well_id"].to_numpy(dtype=str), kind="stable")
        self.rows = by_id[has_a_target[by_id]]
        if not len(self.rows):
            raise TrainingError(
                "no well has a target; at least one of " + ", ".join(TARGETS) + " must be known"
            )
        self.gene_order = np.argsort(np.asarray(data.genes, dtype=str), kind="stable")
        self.genes = tuple(data.genes[i] for i in self.gene_order)
        self.wells = data.wells.iloc[self.rows].reset_index(drop=True)
        self.split = split_wells(self.wells, settings).to_numpy()
        self.parts = self._parts()
        self.gene_mean: np.ndarray | None = None
        self.gene_standard_deviation: np.ndarray | None = None
        if settings.use_zscore:
            self.gene_mean, self.gene_standard_deviation = self._fit_scaler()
        targets = self.wells[list(TARGETS)].to_numpy(dtype=np.float64)
        self.activation_mean, self.activation_standard_deviation = self._standardise_legacy(targets)
        in_training = targets[self.split == "train"]
        self.trained_heads = tuple(
            name for name, known in zip(TARGETS, ~np.isnan(in_training).all(axis=0), strict=True) if known
        )
        for name in TARGETS:
            if name not in self.trained_heads:
                self._say(f"no training well has {name}: its loss term is off and its head stays untrained")

        self.wells_at_once = compute.wells_at_once(settings.batch_size, len(self.genes))
        expression = torch.from_numpy(data.expression)
        self.known = ~np.isnan(targets)
        self.targets = torch.from_numpy(targets.astype(np.float32))
        self.gene_index = torch.from_numpy(self.gene_order)
        self.row_index = torch.from_numpy(self.rows)
        if device.type == "cuda":
            expression, self.targets = expression.to(device), self.targets.to(device)
            self.gene_index, self.row_index = self.gene_index.to(device), self.row_index.to(device)
        self.expression = expression

        torch.manual_seed(settings.seed)
        network = ExpressionTransformer(settings.network, len(self.genes))
        if self.gene_mean is not None and self.gene_standard_deviation is not None:
            network.set_scaler(self.gene_mean, self.gene_standard_deviation)
        if settings.linear_start == "ridge":
            network.start_from(self._fit_linear_heads(network, targets))
        self.network = network.to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _parts(self) -> dict[str, np.ndarray]:
        """Rows of the fit, of the inner split that chooses the epoch, and of the held-out wells."""
        training = np.flatnonzero(self.split == "train")
        parts = {"train": training, "val": np.flatnonzero(self.split == "val")}
        if self.settings.inner_fraction:
            labels = self.wells[LABEL_TARGET].to_numpy(dtype=float)[training]
            inner = _stratified_choice(labels, self.settings.inner_fraction, self.settings.seed)
            parts["train"], parts["inner"] = training[~inner], training[inner]
        return parts

    def _fit_scaler(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and population sd of every gene over the training wells, in float64 without a float64 copy."""
        rows = self.rows[self.split == "train"]
        total = np.zeros(len(self.genes))
        for start in range(0, len(rows), 256):
            total += self.data.expression[rows[start : start + 256]].sum(axis=0, dtype=np.float64)
        mean = total / len(rows)
        squares = np.zeros(len(self.genes))
        for start in range(0, len(rows), 256):
            squares += np.square(self.data.expression[rows[start : start + 256]] - mean).sum(axis=0)
        return mean[self.gene_order], np.sqrt(squares / len(rows))[self.gene_order]

    def _fit_linear_heads(self, network: ExpressionTransformer, targets: np.ndarray) -> LinearHeads:
        rows = self.parts["train"]
        expression = torch.from_numpy(self.data.expression[self.rows[rows]][:, self.gene_order])
        return fit_linear_heads(network.scale(expression).numpy(), targets[rows], TARGETS.index(LABEL_TARGET))

    def _standardise_legacy(self, targets: np.ndarray) -> tuple[float, float]:
        """Scale the legacy column of `targets` in place by its training wells; its mean and sd."""
        column = TARGETS.index(LEGACY_TARGET)
        known = targets[self.split == "train", column]
        known = known[~np.isnan(known)]
        if not len(known):
            targets[:, column] = np.nan
            return float("nan"), float("nan")
        mean, standard_deviation = float(known.mean()), float(known.std())
        if standard_deviation == 0:
            raise TrainingError(
                f"activation_score is {mean:g} in every training well; "
                "leave the column out, nothing can be learnt from it"
            )
        targets[:, column] = (targets[:, column] - mean) / standard_deviation
        return mean, standard_deviation

    def _say(self, text: str, epoch: int = 0) -> None:
        log.info(text)
        self._report(Progress("message", text, epoch, self.settings.epochs))

    def _report(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)

    def _identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be resumed."""
        settings = self.settings.as_json()
        return {
            "settings": settings,
            "gene_hash": gene_list_hash(self.genes),
            "well_ids_and_targets": _table_hash(self.wells[["well_id", "batch", *TARGETS]]),
            "batch_hashes": self.data.batch_hashes,
            "device_and_precision": [self.compute.device, self.compute.precision],
        }

    def run(self, checkpoint_folder: Path | None) -> TrainedModel:
        """Every epoch, from the checkpoint's or from the first."""
        settings = self.settings
        history: list[dict[str, object]] = []
        best: Weights = {}
        best_loss, best_epoch, first_epoch = float("inf"), 0, 1
        identity = self._identity()
        if checkpoint_folder is not None:
            found = read_checkpoint(checkpoint_folder, identity)
            if isinstance(found, str):
                self._say(found)
            elif found is not None:
                self._restore(found)
                history, best = found.history, found.best
                best_loss, best_epoch, first_epoch = found.best_loss, found.best_epoch, found.epoch + 1
                self._say(f"resumed after epoch {found.epoch} of {settings.epochs}", found.epoch)
        chooser = "inner" if "inner" in self.parts else "val"
        started = time.perf_counter()
        for epoch in range(first_epoch, settings.epochs + 1):
            if settings.patience and best_epoch and epoch - 1 - best_epoch >= settings.patience:
                self._say(
                    f"stopped after epoch {epoch - 1}: no better {chooser} loss since epoch {best_epoch}",
                    epoch - 1,
                )
                break
            # Seeded by epoch, not carried on: a resumed epoch draws the dropout of an unbroken run.
            torch.manual_seed(_epoch_seed(settings.seed, epoch))
            clock = time.perf_counter()
            losses = {"train": self._train_epoch(epoch, first_epoch, started)}
            losses |= {part: self._evaluate(rows) for part, rows in self.parts.items() if part != "train"}
            seconds = time.perf_counter() - clock
            is_best = losses[chooser]["total"] < best_loss
            if is_best:
                best, best_loss, best_epoch = self._weights(), losses[chooser]["total"], epoch
            history += [
                {
                    "epoch": epoch,
                    "split": part,
                    **values,
                    "learning_rate": settings.learning_rate,
                    "seconds": seconds,
                    "is_best": False,
                }
                for part, values in losses.items()
            ]
            if checkpoint_folder is not None:
                last, optimizer = self._weights(), self._optimizer_state()
                write_checkpoint(
                    checkpoint_folder,
                    Checkpoint(identity, epoch, best_epoch, best_loss, history, last, best, optimizer),
                )
            self._report_epoch(epoch, first_epoch, started, losses, is_best)
        return self._finish(history, best, best_epoch)

    def _train_epoch(self, epoch: int, first_epoch: int, started: float) -> dict[str, float]:
        settings = self.settings
        self.network.train()
        rows = self.parts["train"]
        rows = rows[np.random.default_rng([settings.seed, epoch]).permutation(len(rows))]
        sums = _LossSums(settings.activation_weight)
        steps = -(-len(rows) // settings.batch_size)
        for step in range(steps):
            batch = rows[step * settings.batch_size : (step + 1) * settings.batch_size]
            self._step(batch, epoch, step + 1, sums)
            done = (epoch - first_epoch) * steps + step + 1
            whole = (settings.epochs - first_epoch + 1) * steps
            elapsed = time.perf_counter() - started
            fraction = ((epoch - 1) * steps + step + 1) / (settings.epochs * steps)
            speed = (done * len(rows) / steps) / elapsed
            self._report(
                Progress(
                    "step",
                    f"epoch {epoch}/{settings.epochs} step {step + 1}/{steps}",
                    epoch,
                    settings.epochs,
                    fraction,
                    speed,
                    elapsed / done * (whole - done),
                )
            )
        return sums.means()

    def _step(self, batch: np.ndarray, epoch: int, step: int, sums: _LossSums) -> None:
        """One optimizer step, in pieces if the device asks for it.

        A GPU is waited for once, after the backward pass: each question before would leave it idle.
        """
        known = self.known[batch]
        weights = torch.from_numpy(_loss_weights(known, self.settings.activation_weight)).to(self.device)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            pieces, losses = [], []
            try:
                for start in range(0, len(batch), self.wells_at_once):
                    terms, loss = self._add_gradients(batch[start : start + self.wells_at_once], weights)
                    pieces.append(terms)
                    losses.append(loss)
                break
            except torch.OutOfMemoryError as error:
                if self.wells_at_once == 1:
                    raise TrainingError(
                        f"epoch {epoch}, batch {step}: one well of {len(self.genes):,} genes does not fit into the "
                        f"{self.device.type} memory; take fewer genes, a smaller d_model or attention='induced'"
                    ) from error
            # After the handler: its error holds the frames, and with them the memory, of what did not fit.
            self.wells_at_once = max(1, self.wells_at_once // 2)
            torch.cuda.empty_cache()
            self._say(
                f"out of {self.device.type} memory: from now on {self.wells_at_once} wells at once, "
                f"the batch stays {self.settings.batch_size} by adding their gradients up",
                epoch,
            )
        gradients = {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(gradients.values())))
        finite = torch.stack([torch.stack(losses).isfinite().all(), norms.isfinite().all()]).tolist()
        terms_of_wells = torch.cat(pieces).cpu().numpy()
        if not finite[0]:
            raise self._loss_error(float(sum(losses)), terms_of_wells, epoch, step, batch)
        if not finite[1]:
            raise self._gradient_error(gradients, epoch, step, batch)
        self.optimizer.step()
        sums.add(terms_of_wells, known)

    def _add_gradients(self, rows: np.ndarray, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Add the gradients of some wells of a batch; their losses (wells, 5) and what they add to the batch's."""
        targets, output = self._forward(rows)
        terms = _loss_terms(output, targets)
        loss = (terms * weights).sum()
        loss.backward()
        return terms.detach(), loss.detach()

    def _forward(self, rows: np.ndarray) -> tuple[Tensor, NetworkOutput]:
        """Targets and network output of some rows (positions among the wells with targets)."""
        picked = torch.from_numpy(rows).to(self.row_index.device)
        expression = self.expression[self.row_index[picked]][:, self.gene_index].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.compute.precision == "bf16"):
            output = self.network(expression)
        return self.targets[picked].to(self.device), output

    @torch.no_grad()
    def _evaluate(self, rows: np.ndarray) -> dict[str, float]:
        self.network.eval()
        pieces = []
        for start in range(0, len(rows), self.wells_at_once):
            targets, output = self._forward(rows[start : start + self.wells_at_once])
            pieces.append(_loss_terms(output, targets))
        sums = _LossSums(self.settings.activation_weight)
        sums.add(torch.cat(pieces).cpu().numpy(), self.known[rows])
        return sums.means()

    def _loss_error(
        self, loss: float, terms: np.ndarray, epoch: int, step: int, batch: np.ndarray
    ) -> TrainingError:
        finite = np.isfinite(terms).all(axis=1)
        names = self.wells["well_id"].to_numpy()[batch if finite.all() else batch[~finite]]
        return TrainingError(
            f"epoch {epoch}, batch {step}: the loss is {loss} (wells {_first(names)}); "
            "look at these wells' values and targets, try use_zscore, or lower the learning rate"
        )

    def _gradient_error(
        self, gradients: dict[str, Tensor], epoch: int, step: int, batch: np.ndarray
    ) -> TrainingError:
        bad = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
        embedding = gradients["gene_embedding.weight"]
        bad_genes = np.flatnonzero(~torch.isfinite(embedding).all(dim=1).cpu().numpy())
        genes = f", genes {_first([self.genes[i] for i in bad_genes])}" if len(bad_genes) else ""
        return TrainingError(
            f"epoch {epoch}, batch {step}: the gradient of {_first(bad)} is not finite{genes}, wells "
            f"{_first(self.wells['well_id'].to_numpy()[batch])}; lower the learning rate or use fp32"
        )

    def _weights(self) -> Weights:
        """A copy of the live weights; the live ones go on changing."""
        return {
            name: value.detach().cpu().numpy().copy() for name, value in self.network.state_dict().items()
        }

    def _optimizer_state(self) -> Weights:
        names = [name for name, _ in self.network.named_parameters()]
        state = self.optimizer.state_dict()["state"]
        return {
            f"{names[position]}/{key}": value.detach().cpu().numpy().copy()
            for position, values in state.items()
            for key, value in values.items()
        }

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.network.load_state_dict(
            {name: torch.from_numpy(value) for name, value in checkpoint.last.items()}
        )
        state: dict[int, dict[str, Tensor]] = {}
        names = {name: position for position, (name, _) in enumerate(self.network.named_parameters())}
        for key, value in checkpoint.optimizer.items():
            name, entry = key.rsplit("/", 1)
            state.setdefault(names[name], {})[entry] = torch.from_numpy(value)
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )

    def _report_epoch(
        self, epoch: int, first_epoch: int, started: float, losses: dict[str, dict[str, float]], is_best: bool
    ) -> None:
        elapsed = time.perf_counter() - started
        done = epoch - first_epoch + 1
        speed = done * len(self.parts["train"]) / elapsed
        left = elapsed / done * (self.settings.epochs - epoch)
        shown = ", ".join(f"{part} {values['total']:.4f}" for part, values in losses.items())
        text = (
            f"epoch {epoch}/{self.settings.epochs}: loss {shown}{' (best)' if is_best else ''}; "
            f"{speed:.1f} wells/s, {left:.0f} s left"
        )
        log.info(text)
        self._report(
            Progress(
                "epoch",
                text,
                epoch,
                self.settings.epochs,
                epoch / self.settings.epochs,
                speed,
                left,
                losses,
                is_best,
            )
        )

    def _finish(self, history: list[dict[str, object]], best: Weights, best_epoch: int) -> TrainedModel:
        if not best:
            raise TrainingError("no epoch had a finite loss; look at the values, or lower the learning rate")
        last = self._weights()
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in best.items()})
        split = self.wells[["well_id", "batch"]].assign(split=self.split)
        table = pd.DataFrame(history)
        table["is_best"] = table["epoch"] == best_epoch
        return TrainedModel(
            version=content_version(
                best,
                self.settings,
                self.genes,
                self.gene_mean,
                self.gene_standard_deviation,
                split,
                self.data.batch_hashes,
            ),
            weights=best,
            last_weights=last,
            settings=self.settings,
            genes=self.genes,
            gene_mean=self.gene_mean,
            gene_standard_deviation=self.gene_standard_deviation,
            target_order=TARGETS,
            trained_heads=self.trained_heads,
            activation_mean=self.activation_mean,
            activation_standard_deviation=self.activation_standard_deviation,
            seed=self.settings.seed,
            split=split,
            history=table,
            best_epoch=best_epoch,
            training_latent_mean=self._training_latent_mean(),
            library_versions=library_versions(),
            batch_hashes=dict(self.data.batch_hashes),
            genes_left_out=self.data.genes_left_out,
            compute=self.compute,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )

    @torch.no_grad()
    def _training_latent_mean(self) -> np.ndarray:
        self.network.eval()
        rows = np.flatnonzero(self.split == "train")
        total = np.zeros(self.settings.network.latent)
        for start in range(0, len(rows), self.wells_at_once):
            _, output = self._forward(rows[start : start + self.wells_at_once])
            total += output.latent.cpu().double().sum(dim=0).numpy()
        return (total / len(rows)).astype(np.float32)


def check_data(data: TrainingData) -> None:
    """Refuse data that cannot be trained on.

    Raises:
        TrainingError: Shapes, names, values or labels are wrong; the message names the first genes and wells.
    """
    wells, genes = data.expression.shape if data.expression.ndim == 2 else (-1, -1)
    if (wells, genes) != (len(data.wells), len(data.genes)):
        raise TrainingError(
            f"expression has shape {data.expression.shape}, but there are {len(data.wells)} wells and "
            f"{len(data.genes)} genes; give one row a well and one column a gene"
        )
    if data.expression.dtype != np.float32:
        raise TrainingError(f"expression is {data.expression.dtype}; give float32")
    missing = [name for name in ("well_id", "batch", *TARGETS) if name not in data.wells]
    if missing:
        raise TrainingError(f"wells has no column {', '.join(missing)}; an unknown target is a column of NaN")
    well_ids = data.wells["well_id"]
    if well_ids.duplicated().any():
        raise TrainingError(f"well ids occur twice: {_first(well_ids[well_ids.duplicated()].unique())}")
    duplicate_genes = pd.Index(data.genes)[pd.Index(data.genes).duplicated()].unique()
    if len(duplicate_genes):
        raise TrainingError(f"genes occur twice: {_first(duplicate_genes)}")
    # Row by row sums in float64 find any non-finite value without a second matrix; 20 000 wells take 0.1 s.
    bad_rows = np.flatnonzero(~np.isfinite(data.expression.sum(axis=1, dtype=np.float64)))
    if len(bad_rows):
        bad_genes = np.flatnonzero(~np.isfinite(data.expression[bad_rows[:100]]).all(axis=0))
        raise TrainingError(
            f"expression is not finite in wells {_first(well_ids.to_numpy()[bad_rows])}, genes "
            f"{_first([data.genes[i] for i in bad_genes])}; mend or leave out these wells"
        )
    for name in TARGETS:
        values = data.wells[name].to_numpy(dtype=np.float64)
        allowed = np.isnan(values) | (
            np.isin(values, (0.0, 1.0)) if name == LABEL_TARGET else np.isfinite(values)
        )
        if not allowed.all():
            raise TrainingError(
                f"{name} is {values[~allowed][0]} in wells {_first(well_ids.to_numpy()[~allowed])}; "
                + ("labels are 0 or 1" if name == LABEL_TARGET else "it must be finite, or NaN where unknown")
            )


def library_versions() -> dict[str, str]:
    """Versions of what computes the weights."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "torch": str(torch.__version__),
        "scikit-learn": version("scikit-learn"),
    }


def _loss_terms(output: NetworkOutput, targets: Tensor) -> Tensor:
    """Loss of every well and target (wells, 5) in the order of `TARGETS`, 0 where the target is unknown; in fp32."""
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.0)
    label, legacy = TARGETS.index(LABEL_TARGET), TARGETS.index(LEGACY_TARGET)
    squared_errors = (output.scores - targets[:, :label]).square()
    cross_entropy = binary_cross_entropy_with_logits(output.is_activated, targets[:, label], reduction="none")
    legacy_error = (output.activation_score - targets[:, legacy]).square()
    terms = torch.cat([squared_errors, cross_entropy[:, None], legacy_error[:, None]], dim=1)
    return torch.where(known, terms, 0.0)


class _LossSums:
    """Sums of the losses over wells, so that an epoch's loss is a mean over wells, not over batches."""

    def __init__(self, activation_weight: float) -> None:
        self.activation_weight = activation_weight
        self.sums = np.zeros(len(TARGETS))
        self.counts = np.zeros(len(TARGETS), dtype=np.int64)

    def add(self, terms: np.ndarray, known: np.ndarray) -> None:
        """Add the losses (wells, 5) of some wells, and which of them are of known targets."""
        self.sums += terms.sum(axis=0, dtype=np.float64)
        self.counts += known.sum(axis=0)

    def means(self) -> dict[str, float]:
        """`total, mse, bce, reg`; a term without any known target is NaN and not in the total."""
        means = {
            name: self.sums[targets].sum() / count if (count := self.counts[targets].sum()) else float("nan")
            for name, targets in _TARGETS_OF_TERM.items()
        }
        total = sum(
            _term_weight(name, self.activation_weight) * value
            for name, value in means.items()
            if not np.isnan(value)
        )
        return {"total": float(total), **{name: float(value) for name, value in means.items()}}


def _term_weight(name: str, activation_weight: float) -> float:
    return activation_weight if name == "reg" else 1.0


def _loss_weights(known: np.ndarray, activation_weight: float) -> np.ndarray:
    """What each target's loss counts in a batch's, so that `MSE + BCE + λ·MSE_activation` are means over the known."""
    weights = np.zeros(len(TARGETS), dtype=np.float32)
    for name, targets in _TARGETS_OF_TERM.items():
        weights[targets] = _term_weight(name, activation_weight) / max(known[:, targets].sum(), 1)
    return weights


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _table_hash(table: pd.DataFrame) -> str:
    import hashlib

    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()


def _first(names: object) -> str:
    listed = [str(name) for name in names]  # type: ignore[attr-defined]
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
