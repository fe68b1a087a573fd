"""Puts the batches that have targets together into one training matrix, gene by name and well by well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import is_empty
from tcell_assets.science.model.settings import TARGETS
from tcell_assets.science.model.training import TrainingData
from tcell_assets.science.well_join import rows_for_wells, some_names

SMALLEST_SHARED_FRACTION = 0.9


class TrainingDataError(ValueError):
    """The batches cannot be trained on together, or none has targets."""


@dataclass(frozen=True)
class SharedGenes:
    """Genes every batch has, in the first batch's order, and what each batch has beyond them."""

    genes: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]


def shared_genes(genes_of: Mapping[str, Sequence[str]]) -> SharedGenes:
    """Return the genes all batches share.

    Raises:
        TrainingDataError: Less than 90 % of all genes seen are shared; the batch that lacks most is named.
    """
    every = set().union(*genes_of.values())
    common = set.intersection(*(set(genes) for genes in genes_of.values()))
    if len(common) < SMALLEST_SHARED_FRACTION * len(every):
        lacking = {batch: every - set(genes) for batch, genes in genes_of.items()}
        worst = max(lacking, key=lambda batch: len(lacking[batch]))
        raise TrainingDataError(
            f"the batches share {len(common)} of {len(every)} genes ({len(common) / len(every):.0%}, at least "
            f"{SMALLEST_SHARED_FRACTION:.0%} is needed); {worst} lacks {len(lacking[worst])}, for instance "
            f"{some_names(lacking[worst])}. Check that its genes are named as in the other batches, or leave it out."
        )
    first = next(iter(genes_of.values()))
    return SharedGenes(
        genes=tuple(gene for gene in first if gene in common),
        left_out={
            batch: tuple(gene for gene in genes if gene not in common) for batch, genes in genes_of.items()
        },
    )


def wells_to_train_on(
    wells_of: Mapping[str, pd.DataFrame], quality_of: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the wells of each batch that pass quality control and have a target; batches without any are left out.

    Args:
        wells_of: Well metadata a batch.
        quality_of: `well_id, qc_pass` a batch.

    Raises:
        TrainingDataError: No such well is left.
        ValueError: A well was not judged.
    """
    chosen = {}
    for batch, wells in wells_of.items():
        judged = rows_for_wells(quality_of[batch], wells["well_id"].tolist(), f"well_qc of batch {batch}")
        usable = wells[list(TARGETS)].notna().any(axis=1).to_numpy() & judged["qc_pass"].to_numpy(dtype=bool)
        usable &= ~is_empty(wells)
        if usable.any():
            chosen[batch] = wells.loc[usable]
    if not chosen:
        known = ", ".join(sorted(wells_of)) or "none"
        raise TrainingDataError(
            f"no well has a target and passes quality control (batches ingested: {known}). Training needs "
            f"a batch with {', '.join(TARGETS)}: add targets.csv, or scores_3_z.csv and labels_cls.csv, to its folder."
        )
    return chosen


def assemble_training_data(
    wells_of: Mapping[str, pd.DataFrame],
    genes_of: Mapping[str, Sequence[str]],
    batch_hashes: Mapping[str, str],
    read_expression: Callable[[str, tuple[str, ...]], pd.DataFrame],
) -> TrainingData:
    """Fill one matrix with the wells to train on, a batch at a time so that no second copy exists.

    Args:
        wells_of: What `wells_to_train_on` chose.
        genes_of: Gene names a batch, without reading its values.
        batch_hashes: Content hash a batch.
        read_expression: Returns the named genes of a batch, index `well_id`.

    Raises:
        TrainingDataError: The batches share too few genes.
        ValueError: A well with targets has no expression.
    """
    shared = shared_genes({batch: genes_of[batch] for batch in wells_of})
    wells = pd.concat(list(wells_of.values()), ignore_index=True)
    wells[list(TARGETS)] = wells[list(TARGETS)].astype("float64")
    expression = np.empty((len(wells), len(shared.genes)), dtype=np.float32)
    start = 0
    for batch, rows in wells_of.items():
        values = read_expression(batch, shared.genes).reset_index(names="well_id")
        aligned = rows_for_wells(values, rows["well_id"].tolist(), f"expression of batch {batch}")
        expression[start : start + len(rows)] = aligned[list(shared.genes)].to_numpy(dtype=np.float32)
        start += len(rows)
    return TrainingData(
        expression=expression,
        genes=shared.genes,
        wells=wells,
        batch_hashes={batch: batch_hashes[batch] for batch in wells_of},
        genes_left_out=tuple(sorted(set().union(*shared.left_out.values()))),
    )
