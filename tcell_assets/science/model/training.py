"""Training of the Transformer: one readable loop, resumable, that stops with names when something is wrong."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tcell_assets.science.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.loss import Loss, LossSums
from tcell_assets.science.model.member_training import fold_members
from tcell_assets.science.model.network import NetworkOutput
from tcell_assets.science.model.networks import untrained_network
from tcell_assets.science.model.programme_network import ProgrammeNetwork
from tcell_assets.science.model.schedule import learning_rate_share
from tcell_assets.science.model.settings import (
    PRESETS,
    NetworkSettings,
    TrainingSettings,
    settings_for_preset,
)
from tcell_assets.science.model.trained_model import (
    TrainedModel,
    Weights,
    content_version,
    gene_list_hash,
    targets_beyond_published,
)
from tcell_assets.science.model.training_data import (
    TrainingData,
    TrainingError,
    first_names,
    prepare,
    split_wells,
)
from tcell_assets.science.model.training_progress import Progress
from tcell_assets.targets import names_of

__all__ = [
    "PRESETS",
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


def train(
    data: TrainingData,
    settings: TrainingSettings,
    compute: Compute,
    checkpoint_folder: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainedModel:
    """Train the network and return its best epoch's weights with their provenance.

    Genes are taken in the order of their names and wells in the order of their ids, so the order in `data`
    does not matter. Wells without any target are left out. The loss is that of `loss.Loss`: each term a mean over the
    known entries of its targets. A target that no training well has, or whose weight is 0, leaves its head untrained.

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
    compute = compute.for_network(settings.network)
    with compute.session() as device, torch.random.fork_rng():
        return _Training(data, settings, compute, device, on_progress).run(checkpoint_folder)


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
        self.settings, self.compute, self.device, self.on_progress = settings, compute, device, on_progress
        self.data = prepared = prepare(data, settings)
        self.genes, self.wells, self.targets = prepared.genes, prepared.wells, data.targets
        self.loss = Loss(self.targets, settings)
        self.trained_heads = self._trainable_heads()

        tokens = settings.network.tokens_in_memory(len(self.genes))
        self.wells_at_once = compute.wells_at_once(settings.batch_size, tokens)
        expression = torch.from_numpy(data.expression)
        self.known = ~np.isnan(prepared.values)
        self.target_values = torch.from_numpy(prepared.values.astype(np.float32))
        self.gene_index = torch.from_numpy(prepared.gene_order)
        self.row_index = torch.from_numpy(prepared.rows)
        if device.type == "cuda":
            expression, self.target_values = expression.to(device), self.target_values.to(device)
            self.gene_index, self.row_index = self.gene_index.to(device), self.row_index.to(device)
        self.expression = expression

        torch.manual_seed(settings.seed)
        self.folds = fold_members(
            prepared.wells, prepared.parts["train"], settings.network.members, settings.seed
        )
        network, said = untrained_network(prepared, self.targets, settings, self.folds)
        if said:
            self._say(said)
        self.network = network.to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _trainable_heads(self) -> tuple[str, ...]:
        """Targets that a training well has and that weigh something; the others are said."""
        trainable = []
        for target, column in zip(self.targets, self.data.values.T, strict=True):
            if np.isnan(column[self.data.split == "train"]).all():
                self._say(
                    f"no training well has {target.name}: its loss term is off and its head stays untrained"
                )
            elif not self.loss.weight_of_term[target.term]:
                self._say(f"the weight of {target.name} in the loss is 0: its head stays untrained")
            else:
                trainable.append(target.name)
        return tuple(trainable)

    def _say(self, text: str, epoch: int = 0) -> None:
        log.info(text)
        self._report(Progress("message", text, epoch, self.settings.epochs))

    def _report(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)

    def _identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be resumed."""
        return {
            "settings": self.settings.as_json(),
            "gene_hash": gene_list_hash(self.genes),
            "well_ids_and_targets": _table_hash(self.wells[["well_id", "batch", *names_of(self.targets)]]),
            "batch_hashes": self.data.given.batch_hashes,
            "device_and_precision": [self.compute.device, self.compute.precision],
            **({"targets": beyond} if (beyond := targets_beyond_published(self.targets)) else {}),
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
        chooser = "inner" if "inner" in self.data.parts else "val"
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
            losses |= {part: self._evaluate(part) for part in self.data.parts if part != "train"}
            seconds = time.perf_counter() - clock
            is_best = losses[chooser]["total"] < best_loss
            if is_best:
                best, best_loss, best_epoch = self._weights(), losses[chooser]["total"], epoch
            history += [
                {
                    "epoch": epoch,
                    "split": part,
                    **values,
                    "learning_rate": self.optimizer.param_groups[0]["lr"],
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
        rows = self.data.parts["train"]
        rows = rows[np.random.default_rng([settings.seed, epoch]).permutation(len(rows))]
        sums = LossSums(self.loss)
        steps = -(-len(rows) // settings.batch_size)
        for step in range(steps):
            batch = rows[step * settings.batch_size : (step + 1) * settings.batch_size]
            share = learning_rate_share(settings, (epoch - 1) * steps + step + 1, settings.epochs * steps)
            self.optimizer.param_groups[0]["lr"] = settings.learning_rate * share
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

    def _step(self, batch: np.ndarray, epoch: int, step: int, sums: LossSums) -> None:
        """One optimizer step, in pieces if the device asks for it.

        A GPU is waited for once, after the backward pass: each question before would leave it idle.
        """
        known = self.known[batch]
        has_members = isinstance(self.network, ProgrammeNetwork)
        if has_members:
            weights = self.folds.loss_weights(self.loss, known, batch).to(self.device)
        else:
            weights = torch.from_numpy(self.loss.weights(known)).to(self.device)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            pieces, losses = [], []
            try:
                for start in range(0, len(batch), self.wells_at_once):
                    piece = slice(start, start + self.wells_at_once)
                    of_piece = weights[:, piece] if has_members else weights
                    terms, loss = self._add_gradients(batch[piece], of_piece)
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
        """Add the gradients of some wells of a batch; their losses (wells, targets) and their part of its loss."""
        targets, output = self._forward(rows, by_member=True)
        if isinstance(self.network, ProgrammeNetwork):
            terms = self.folds.of_members(output, targets, self.loss)
        else:
            terms = self.loss.of_wells(output, targets)
        loss = (terms * weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        said = self.folds.learnt(terms, rows) if isinstance(self.network, ProgrammeNetwork) else terms
        return said.detach(), loss.detach()

    def _forward(self, rows: np.ndarray, by_member: bool = False) -> tuple[Tensor, NetworkOutput]:
        """Targets and network output of some rows (positions among the wells with targets)."""
        picked = torch.from_numpy(rows).to(self.row_index.device)
        expression = self.expression[self.row_index[picked]][:, self.gene_index].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.compute.precision == "bf16"):
            if by_member and isinstance(self.network, ProgrammeNetwork):
                output = self.network.members(self.network.scale(expression))
            else:
                output = self.network(expression)
        return self.target_values[picked].to(self.device), output

    @torch.no_grad()
    def _evaluate(self, part: str) -> dict[str, float]:
        """Losses of a part: of the mean over members, or by the member that did not learn from a well of the fit."""
        self.network.eval()
        rows = self.data.parts[part]
        by_member = part == "inner" and len(self.folds.held_out) > 1
        pieces = []
        for start in range(0, len(rows), self.wells_at_once):
            piece = rows[start : start + self.wells_at_once]
            targets, output = self._forward(piece, by_member)
            if by_member:
                terms = self.folds.held(self.folds.of_members(output, targets, self.loss), piece)
            else:
                terms = self.loss.of_wells(output, targets)
            pieces.append(terms)
        sums = LossSums(self.loss)
        sums.add(torch.cat(pieces).cpu().numpy(), self.known[rows])
        return sums.means()

    def _loss_error(
        self, loss: float, terms: np.ndarray, epoch: int, step: int, batch: np.ndarray
    ) -> TrainingError:
        finite = np.isfinite(terms).all(axis=1)
        names = self.wells["well_id"].to_numpy()[batch if finite.all() else batch[~finite]]
        return TrainingError(
            f"epoch {epoch}, batch {step}: the loss is {loss} (wells {first_names(names)}); "
            "look at these wells' values and targets, try use_zscore, or lower the learning rate"
        )

    def _gradient_error(
        self, gradients: dict[str, Tensor], epoch: int, step: int, batch: np.ndarray
    ) -> TrainingError:
        bad = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
        # The programme network has no weights a gene.
        embedding = gradients.get("gene_embedding.weight", torch.zeros(0, 1))
        bad_genes = np.flatnonzero(~torch.isfinite(embedding).all(dim=1).cpu().numpy())
        genes = f", genes {first_names([self.genes[i] for i in bad_genes])}" if len(bad_genes) else ""
        return TrainingError(
            f"epoch {epoch}, batch {step}: the gradient of {first_names(bad)} is not finite{genes}, wells "
            f"{first_names(self.wells['well_id'].to_numpy()[batch])}; lower the learning rate or use fp32"
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
        speed = done * len(self.data.parts["train"]) / elapsed
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
        gene_mean, gene_standard_deviation = self.data.scaler or (None, None)
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in best.items()})
        split = self.wells[["well_id", "batch"]].assign(split=self.data.split)
        table = pd.DataFrame(history)
        table["is_best"] = table["epoch"] == best_epoch
        return TrainedModel(
            version=content_version(
                best,
                self.settings,
                self.genes,
                gene_mean,
                gene_standard_deviation,
                split,
                self.data.given.batch_hashes,
                self.targets,
            ),
            weights=best,
            last_weights=last,
            settings=self.settings,
            genes=self.genes,
            gene_mean=gene_mean,
            gene_standard_deviation=gene_standard_deviation,
            targets=self.targets,
            trained_heads=self.trained_heads,
            scales=self.data.scales,
            seed=self.settings.seed,
            split=split,
            history=table,
            best_epoch=best_epoch,
            training_latent_mean=self._training_latent_mean(),
            library_versions=library_versions(),
            batch_hashes=dict(self.data.given.batch_hashes),
            genes_left_out=self.data.given.genes_left_out,
            compute=self.compute,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @torch.no_grad()
    def _training_latent_mean(self) -> np.ndarray:
        self.network.eval()
        rows = np.flatnonzero(self.data.split == "train")
        total = np.zeros(self.settings.network.latent)
        for start in range(0, len(rows), self.wells_at_once):
            _, output = self._forward(rows[start : start + self.wells_at_once])
            total += output.latent.cpu().double().sum(dim=0).numpy()
        return (total / len(rows)).astype(np.float32)


def library_versions() -> dict[str, str]:
    """Versions of what computes the weights."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "torch": str(torch.__version__),
        "scikit-learn": version("scikit-learn"),
    }


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _table_hash(table: pd.DataFrame) -> str:
    import hashlib

    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
