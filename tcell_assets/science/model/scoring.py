"""Scoring of wells: predictions, latents and Gradient×Input importance from one forward and one backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.network import NetworkOutput
from tcell_assets.science.model.networks import Network, new_network
from tcell_assets.science.model.trained_model import ModelError, TrainedModel, gene_positions
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import ACTIVATION_LABEL, LEGACY_SCORE, known_targets, names_of

GRADIENT_X_INPUT = "gradient_x_input"


class ScoringError(ValueError):
    """Wells cannot be scored, or a head cannot be explained; the message says which and why."""


@dataclass(frozen=True, eq=False)
class WellScores:
    """What the model says of a set of wells.

    Attributes:
        predictions: `well_id`, the prediction of every target of the model (`Target.predictions`), `split,
            model_version`; an untrained head's columns are NaN.
        latents: `well_id, z_00 …, latent_norm, model_version`.
        importance: `gene, importance, signed_importance, n_wells, head, method, model_version`, in the
            model's gene order; None where no head was asked for.
    """

    predictions: pd.DataFrame
    latents: pd.DataFrame
    importance: pd.DataFrame | None


def resolve_head(model: TrainedModel, head: str) -> str:
    """The head to explain.

    Args:
        model: The model.
        head: A target's name, or `auto`: the legacy activation score if trained, else the activation label, else the
            first trained one that the installation declared.

    Raises:
        ScoringError: No such head, or it is untrained.
    """
    if head == "auto":
        declared = [target.name for target in model.targets if not target.is_published]
        for candidate in (LEGACY_SCORE, ACTIVATION_LABEL, *declared):
            if candidate in model.trained_heads:
                return candidate
    if head in model.trained_heads:
        return head
    if head == "auto":
        problem = f"finds neither {LEGACY_SCORE} nor {ACTIVATION_LABEL} trained"
    elif head in names_of(model.targets):
        problem = "is untrained (no training well had its target)"
    elif head in names_of(known_targets()):
        problem = "was declared after this model was trained (train again to have it)"
    else:
        problem = "does not exist"
    raise ScoringError(
        f"head {head!r} {problem} in model {model.version}; trained are {', '.join(model.trained_heads)}"
    )


def build_network(model: TrainedModel) -> Network:
    """The model's network with its best weights and its scaler, frozen and in evaluation mode."""
    axes = model.weights.get("programme_axes")
    programmes = None if axes is None else len(axes)
    network = new_network(model.settings.network, len(model.genes), model.targets, programmes)
    try:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in model.weights.items()})
    except RuntimeError as error:
        raise ModelError(f"model {model.version}: its weights do not fit its settings ({error})") from error
    if model.gene_mean is not None and model.gene_standard_deviation is not None:
        network.set_scaler(model.gene_mean, model.gene_standard_deviation)
    return network.requires_grad_(False).eval()


def score_wells(
    model: TrainedModel,
    expression: pd.DataFrame,
    compute: Compute,
    head: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> WellScores:
    """Score wells in one pass.

    Args:
        model: The model.
        expression: Index well_id, a column a gene; genes are matched by name, others ignored.
        compute: Device and precision.
        head: Head to explain (see `resolve_head`), or None for predictions and latents alone.
        on_progress: Called with the number of wells done so far.

    Raises:
        ModelError: Genes are missing or duplicated.
        ScoringError: No wells, a value is not finite, or the head is not trained.
    """
    return next(score_chunks(model, [expression], compute, head, on_progress))


def with_unexplained_wells(scores: WellScores, others: WellScores, well_ids: Sequence[str]) -> WellScores:
    """Scores of all wells in the order of `well_ids`, the importance being that of the first alone.

    Wells that hold nothing are predicted like the others, and no gene's importance is averaged over them.
    """

    def joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
        both = pd.concat([first, second], ignore_index=True)
        return rows_for_wells(both, well_ids, "scores").reset_index()[list(first.columns)]

    return WellScores(
        joined(scores.predictions, others.predictions),
        joined(scores.latents, others.latents),
        scores.importance,
    )


def score_chunks(
    model: TrainedModel,
    chunks: Iterable[pd.DataFrame],
    compute: Compute,
    head: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[WellScores]:
    """Score any number of wells in the memory of one chunk; see `score_wells`.

    Each result's importance is that of its chunk; their mean weighted with `n_wells` is the importance of all
    wells (`gene_importance.rank_genes`).
    """
    compute = compute.for_network(model.settings.network)
    resolved = None if head is None else resolve_head(model, head)
    split_of_well = model.split.set_index("well_id")["split"]
    done = 0
    with compute.session() as device:
        network = build_network(model).to(device)
    for chunk in chunks:
        with compute.session() as device:
            scores = _score_chunk(
                model, network, chunk, compute, device, resolved, split_of_well, on_progress, done
            )
        done += len(chunk)
        yield scores


def _score_chunk(
    model: TrainedModel,
    network: Network,
    expression: pd.DataFrame,
    compute: Compute,
    device: torch.device,
    head: str | None,
    split_of_well: pd.Series,
    on_progress: Callable[[int], None] | None,
    done_before: int,
) -> WellScores:
    if expression.empty:
        raise ScoringError("no wells to score; give at least one row and the model's genes")
    positions = gene_positions(expression.columns, model)
    outputs = np.empty(
        (len(expression), len(model.targets) + model.settings.network.latent), dtype=np.float32
    )
    absolute = np.zeros(len(model.genes))
    signed = np.zeros(len(model.genes))
    wells_at_once = compute.wells_at_once(
        compute.batch_size, model.settings.network.tokens_in_memory(len(model.genes))
    )
    for start in range(0, len(expression), wells_at_once):
        rows = expression.iloc[start : start + wells_at_once, positions]
        values = finite_values(rows)
        scaled = network.scale(torch.from_numpy(values).to(device)).requires_grad_(head is not None)
        with (
            torch.set_grad_enabled(head is not None),
            torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16"),
        ):
            output = network.forward_scaled(scaled)
        if head is not None:
            # A well's output depends on its own row alone: the gradient of the sum is every well's gradient.
            (gradient,) = torch.autograd.grad(head_output(output, head, model).sum(), scaled)
            attribution = (gradient * scaled.detach()).cpu().double()
            absolute += attribution.abs().sum(dim=0).numpy()
            signed += attribution.sum(dim=0).numpy()
        stop = start + len(rows)
        # One copy from the device, not one a head.
        outputs[start:stop] = torch.cat([output.stacked(), output.latent], dim=1).detach().cpu().numpy()
        if on_progress is not None:
            on_progress(done_before + stop)
    importance = None
    if head is not None:
        importance = pd.DataFrame(
            {
                "gene": model.genes,
                "importance": absolute / len(expression),
                "signed_importance": signed / len(expression),
                "n_wells": len(expression),
                "head": head,
                "method": GRADIENT_X_INPUT,
                "model_version": model.version,
            }
        )
    return WellScores(
        prediction_table(model, expression.index, outputs, split_of_well),
        _latent_table(model, expression.index, outputs[:, len(model.targets) :]),
        importance,
    )


def head_output(output: NetworkOutput, head: str, model: TrainedModel) -> torch.Tensor:
    """A head's (wells,) output as exported: a label's logit, a number in its own unit."""
    exported: torch.Tensor = model.in_own_unit(head, output.heads[head])
    return exported


def finite_values(rows: pd.DataFrame) -> np.ndarray:
    """The values as float32.

    Raises:
        ScoringError: A value is not finite; its well and gene are named.
    """
    values = np.ascontiguousarray(rows.to_numpy(dtype=np.float32))
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ScoringError(
            f"expression of well {rows.index[row]}, gene {rows.columns[column]} is {values[row, column]}; "
            "only finite values can be scored"
        )
    return values


def prediction_table(
    model: TrainedModel, well_ids: pd.Index, outputs: np.ndarray, split_of_well: pd.Series
) -> pd.DataFrame:
    """Predictions of wells from the heads' outputs (wells, targets and whatever stands behind them)."""
    table = pd.DataFrame({"well_id": well_ids.astype(str)})
    # The latents stand behind the heads.
    for target, said in zip(model.targets, outputs.T, strict=False):
        values = model.in_own_unit(target.name, said)
        columns = {target.output: values}
        if target.is_binary:
            columns[target.prediction] = torch.from_numpy(values).sigmoid().numpy()
        for name in target.predictions:
            known = columns[name] if target.name in model.trained_heads else np.full(len(table), np.nan)
            table[name] = known.astype(np.float32)
    table["split"] = split_of_well.reindex(well_ids).fillna("unseen").to_numpy()
    table["model_version"] = model.version
    return table


def _latent_table(model: TrainedModel, well_ids: pd.Index, latents: np.ndarray) -> pd.DataFrame:
    columns = {f"z_{i:02d}": latents[:, i] for i in range(latents.shape[1])}
    norm = np.linalg.norm(latents.astype(np.float64), axis=1).astype(np.float32)
    return pd.DataFrame(
        {"well_id": well_ids.astype(str), **columns, "latent_norm": norm, "model_version": model.version}
    )
