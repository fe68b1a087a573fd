"""Integrated Gradients of a head from the DMSO mean, with the error of its completeness."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.scoring import build_network, head_output, resolve_head
from tcell_assets.science.model.trained_model import TrainedModel, align_genes
from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells

INTEGRATED_GRADIENTS = "integrated_gradients"


@dataclass(frozen=True, eq=False)
class Attribution:
    """Integrated Gradients of a set of wells.

    Attributes:
        importance: `gene, importance, signed_importance, n_wells, head, method, model_version`, as Gradient×Input
            gives it: means over wells of |IG| and of IG, so `gene_importance.rank_genes` takes it.
        wells: `well_id, output, baseline_output, completeness_error` with the error
            |Σ_g IG_g − (f(x) − f(baseline))| in the head's unit; 0 were the integral exact.
        by_gene: IG of the wells asked for, index `well_id`, a column a gene.
    """

    importance: pd.DataFrame
    wells: pd.DataFrame
    by_gene: pd.DataFrame


def dmso_baseline(
    expression: pd.DataFrame, wells: pd.DataFrame, model: TrainedModel, usable: pd.Series | None = None
) -> pd.Series:
    """Mean expression of the usable DMSO wells the model was trained on, a value a gene of the model.

    Args:
        expression: Index `well_id`, a column a gene.
        wells: `well_id, is_dmso` of the same wells.
        model: Tells the training wells from the others.
        usable: Booleans indexed by `well_id`.

    Raises:
        ValueError: None of these wells is a usable DMSO training well.
    """
    metadata = rows_for_wells(wells, expression.index.tolist(), "well metadata")
    training = set(model.split.loc[model.split["split"] == "train", "well_id"])
    chosen = (
        metadata["is_dmso"].astype(bool)
        & metadata.index.isin(training)
        & usable_wells(usable, metadata.index.tolist())
    )
    if not chosen.any():
        raise ValueError(
            f"model {model.version}: none of the {len(metadata)} wells given is a usable DMSO well of its "
            "training set; give the expression of the batches it was trained on"
        )
    return align_genes(expression[chosen.to_numpy()], model).astype(np.float64).mean(axis=0)


def integrated_gradients(
    model: TrainedModel,
    expression: pd.DataFrame,
    baseline: pd.Series,
    compute: Compute,
    *,
    head: str = "auto",
    steps: int = 50,
    keep: Collection[str] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Attribution:
    """Integrated Gradients (Sundararajan et al. 2017), by Captum with Gauss–Legendre quadrature.

    IG_g = (x_g − b_g) ∫₀¹ ∂f/∂x_g (b + t (x − b)) dt. Always in fp32: in bf16 the completeness error would measure
    the rounding. A well costs `steps` times what Gradient×Input does, so ask for the wells that matter.

    Args:
        model: The model.
        expression: Index `well_id`, a column a gene; matched by name.
        baseline: b by gene name, see `dmso_baseline`.
        compute: Device; its precision is not used.
        head: A trained head, or `auto`, see `scoring.resolve_head`.
        steps: Points of the quadrature.
        keep: Wells whose attribution of every gene is returned.
        on_progress: Called with the number of wells done.

    Raises:
        ScoringError: The head is not trained.
        ValueError: No wells, a gene without baseline, or a well to keep that is not there.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ImportError(
            "Integrated Gradients need captum: pip install 'tcell-assets[attribution]'"
        ) from error
    resolved = resolve_head(model, head)
    if expression.empty or set(keep) - set(expression.index):
        raise ValueError(
            f"integrated gradients: no expression of {some_names(set(keep) - set(expression.index)) or 'any well'}"
        )
    missing = set(model.genes) - set(baseline.index)
    if missing:
        raise ValueError(
            f"integrated gradients: no baseline for {len(missing)} gene(s): {some_names(missing)}"
        )
    values = align_genes(expression, model).to_numpy(dtype=np.float32)
    kept = set(keep)
    absolute, signed = np.zeros(len(model.genes)), np.zeros(len(model.genes))
    outputs = np.empty((len(values), 2))
    errors = np.empty(len(values))
    rows: dict[str, np.ndarray] = {}
    with compute.session() as device:
        network = build_network(model).to(device)

        def forward(scaled: torch.Tensor) -> torch.Tensor:
            return head_output(network.forward_scaled(scaled), resolved, model)

        start = network.scale(
            torch.from_numpy(baseline.loc[list(model.genes)].to_numpy(dtype=np.float32)[None]).to(device)
        )
        explainer = IntegratedGradients(forward)
        points_at_once = compute.wells_at_once(
            steps, model.settings.network.tokens_in_memory(len(model.genes))
        )
        for index, well_id in enumerate(expression.index):
            scaled = network.scale(torch.from_numpy(values[index : index + 1]).to(device))
            attribution = explainer.attribute(
                scaled, start, n_steps=steps, method="gausslegendre", internal_batch_size=points_at_once
            )
            by_gene = attribution.squeeze(0).cpu().double().numpy()
            with torch.no_grad():
                outputs[index] = [forward(scaled).item(), forward(start).item()]
            errors[index] = abs(by_gene.sum() - (outputs[index, 0] - outputs[index, 1]))
            absolute += np.abs(by_gene)
            signed += by_gene
            if well_id in kept:
                rows[str(well_id)] = by_gene
            if on_progress is not None:
                on_progress(index + 1)
    importance = pd.DataFrame(
        {
            "gene": model.genes,
            "importance": absolute / len(values),
            "signed_importance": signed / len(values),
            "n_wells": len(values),
            "head": resolved,
            "method": INTEGRATED_GRADIENTS,
            "model_version": model.version,
        }
    )
    per_well = pd.DataFrame(
        {
            "well_id": expression.index.astype(str),
            "output": outputs[:, 0],
            "baseline_output": outputs[:, 1],
            "completeness_error": errors,
        }
    )
    kept_rows = pd.DataFrame.from_dict(rows, orient="index", columns=list(model.genes))
    return Attribution(importance, per_well, kept_rows.rename_axis("well_id"))
