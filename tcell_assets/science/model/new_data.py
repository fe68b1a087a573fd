"""Whether a batch may be scored by a model: the guards that stand before the network runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from tcell_assets.science.model.gene_summary import drift_from, looks_like, summarize_genes
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.well_join import some_names

GENES = "model_genes_present"
VALUES = "value_kind_as_trained"
DMSO = "dmso_wells_present"
DRIFT = "no_drift_from_training"


@dataclass(frozen=True)
class Finding:
    """What one guard found.

    Attributes:
        guard: `GENES`, `VALUES`, `DMSO` or `DRIFT`.
        passed: Whether the batch may pass.
        blocks: Whether a batch that does not pass must not be scored.
        text: What was found and, where it does not pass, what to do.
        numbers: The numbers behind it.
    """

    guard: str
    passed: bool
    blocks: bool
    text: str
    numbers: Mapping[str, float]


def examine_new_data(
    model: TrainedModel,
    reference: pd.DataFrame | None,
    measured_genes: Sequence[str],
    expression: pd.DataFrame,
    is_dmso: pd.Series,
    drift_threshold: float,
    drift_blocks: bool = False,
) -> list[Finding]:
    """Examine a batch before it is scored.

    Args:
        model: The model that is to score it.
        reference: `summarize_genes` of the model's training wells, or None where it was not kept.
        measured_genes: All genes of the batch in their order.
        expression: The batch's wells × those genes of the model that it has, index well_id.
        is_dmso: Whether a well is a DMSO well, index well_id.
        drift_threshold: Largest drift that passes, in standard deviations of the training wells.
        drift_blocks: Whether a drifted batch must not be scored.
    """
    findings = [_genes(model, measured_genes), _dmso(is_dmso)]
    if reference is None:
        text = (
            f"model {model.version} was saved without a summary of its training wells; train again to compare"
        )
        return [*findings, Finding(DRIFT, False, False, text, {})]
    if not len(expression.columns):
        return findings
    known = reference[reference["gene"].isin(expression.columns)].reset_index(drop=True)
    dmso = is_dmso.reindex(expression.index, fill_value=False).to_numpy()
    summary = summarize_genes(expression.to_numpy(), list(expression.columns), dmso)
    return [
        *findings,
        _values(known, summary),
        _drift(known, summary, drift_threshold, drift_blocks),
    ]


def _genes(model: TrainedModel, measured: Sequence[str]) -> Finding:
    available, wanted = set(measured), set(model.genes)
    missing = [gene for gene in model.genes if gene not in available]
    numbers = {"model_genes": len(model.genes), "missing_genes": len(missing)}
    if missing:
        text = (
            f"{len(missing)} of the {len(model.genes)} genes of model {model.version} are not measured: "
            f"{some_names(missing, 20)}. Give a matrix with all of them, or train on the shared genes."
        )
        return Finding(GENES, False, True, text, numbers)
    in_order = [gene for gene in measured if gene in wanted] == list(model.genes)
    order = "in its order" if in_order else "in another order; they are matched by name"
    return Finding(
        GENES, True, True, f"all {len(model.genes)} genes of the model are there, {order}", numbers
    )


def _dmso(is_dmso: pd.Series) -> Finding:
    number = int(is_dmso.sum())
    text = f"{number} usable DMSO wells"
    if not number:
        text = "no usable DMSO well, so no distance can be measured; check the plate map's metabolite names"
    return Finding(DMSO, number > 0, True, text, {"dmso_wells": number})


def _values(reference: pd.DataFrame, summary: pd.DataFrame) -> Finding:
    trained_on, found = looks_like(reference), looks_like(summary)
    low, high = float(summary["minimum"].min()), float(summary["maximum"].max())
    text = f"values from {low:.3g} to {high:.3g} look like {found}"
    if found != trained_on:
        text += (
            f", the model was trained on {trained_on} ({reference['minimum'].min():.3g} to "
            f"{reference['maximum'].max():.3g}); land the batch as {trained_on}"
        )
    return Finding(VALUES, found == trained_on, True, text, {"minimum": low, "maximum": high})


def _drift(reference: pd.DataFrame, summary: pd.DataFrame, threshold: float, blocks: bool) -> Finding:
    drift = drift_from(reference, summary)
    text = (
        f"the median gene's mean lies {drift.gene_means:.2f} training standard deviations from the training wells', "
        f"{drift.dmso_means:.2f} among DMSO wells (threshold {threshold:g}); furthest is {drift.furthest_gene} "
        f"with {drift.furthest:.1f}"
    )
    numbers = {
        "drift": drift.largest,
        "threshold": threshold,
        "gene_means": drift.gene_means,
        "dmso_means": drift.dmso_means,
    }
    return Finding(DRIFT, drift.largest <= threshold, blocks, text, numbers)
