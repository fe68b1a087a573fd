"""What a training is given: one matrix of the wells that have targets, its checks, and who of them is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import is_empty
from tcell_assets.science.model.settings import TrainingSettings
from tcell_assets.science.model.trained_model import Scale
from tcell_assets.science.well_join import rows_for_wells, some_names
from tcell_assets.targets import ACTIVATION_LABEL, Target, known_targets, names_of

SMALLEST_SHARED_FRACTION = 0.9


class TrainingDataError(ValueError):
    """The batches cannot be trained on together, or none has targets."""


class TrainingError(RuntimeError):
    """Training cannot start or go on; the message names the epoch, batch, genes or wells."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Wells to train on, expression and targets in the same row order.

    Attributes:
        expression: float32 (wells, genes), as measured (VST), unscaled.
        genes: Column names of `expression`.
        wells: `well_id, batch, metabolite, is_dmso` and a column a target, NaN where unknown; a row a row of
            `expression`.
        batch_hashes: Content hash of every batch, by its name.
        genes_left_out: Genes that not all batches share, for the record.
        targets: What is learnt, by default every target of the installation.
    """

    expression: np.ndarray
    genes: tuple[str, ...]
    wells: pd.DataFrame
    batch_hashes: dict[str, str]
    genes_left_out: tuple[str, ...] = ()
    targets: tuple[Target, ...] = field(default_factory=known_targets)


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
    wells_of: Mapping[str, pd.DataFrame],
    quality_of: Mapping[str, pd.DataFrame],
    targets: Sequence[Target] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the wells of each batch that pass quality control and have a target; batches without any are left out.

    Args:
        wells_of: Well metadata a batch.
        quality_of: `well_id, qc_pass` a batch.
        targets: What is to be learnt, by default every target of the installation.

    Raises:
        TrainingDataError: No such well is left.
        ValueError: A well was not judged.
    """
    names = names_of(known_targets() if targets is None else targets)
    chosen = {}
    for batch, wells in wells_of.items():
        judged = rows_for_wells(quality_of[batch], wells["well_id"].tolist(), f"well_qc of batch {batch}")
        has_a_target = wells.reindex(columns=names).notna().any(axis=1).to_numpy()
        usable = has_a_target & judged["qc_pass"].to_numpy(dtype=bool) & ~is_empty(wells)
        if usable.any():
            chosen[batch] = wells.loc[usable]
    if not chosen:
        known = ", ".join(sorted(wells_of)) or "none"
        raise TrainingDataError(
            f"no well has a target and passes quality control (batches ingested: {known}). Training needs "
            f"a batch with {', '.join(names)}: add targets.csv, or scores_3_z.csv and labels_cls.csv, to its folder."
        )
    return chosen


def assemble_training_data(
    wells_of: Mapping[str, pd.DataFrame],
    genes_of: Mapping[str, Sequence[str]],
    batch_hashes: Mapping[str, str],
    read_expression: Callable[[str, tuple[str, ...]], pd.DataFrame],
    targets: Sequence[Target] | None = None,
) -> TrainingData:
    """Fill one matrix with the wells to train on, a batch at a time so that no second copy exists.

    Args:
        wells_of: What `wells_to_train_on` chose.
        genes_of: Gene names a batch, without reading its values.
        batch_hashes: Content hash a batch.
        read_expression: Returns the named genes of a batch, index `well_id`.
        targets: What is to be learnt, by default every target of the installation.

    Raises:
        TrainingDataError: The batches share too few genes.
        ValueError: A well with targets has no expression.
    """
    shared = shared_genes({batch: genes_of[batch] for batch in wells_of})
    learnt = known_targets() if targets is None else tuple(targets)
    # By name, one at a time: a batch from before a target was declared has no column of it.
    wells = pd.concat(list(wells_of.values()), ignore_index=True)
    for name in names_of(learnt):
        wells[name] = wells[name].astype("float64") if name in wells else np.nan
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
        targets=learnt,
    )


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Training data in the order they are learnt in: genes by name, wells by id, wells without any target left out.

    Attributes:
        given: The data as they came.
        rows: (wells,) row of `given.expression` of each well.
        gene_order: (genes,) its column of each gene.
        genes: Names in that order.
        wells: A row a well, in the order of `rows`.
        split: (wells,) `train` or `val`.
        parts: Wells of the fit (`train`), held out (`val`) and, where the epoch is chosen by training wells, those that
            choose it (`inner`), as positions. Of several members each well chooses by the member that held it out.
        scaler: Mean and standard deviation (genes,) over the training wells, where expression is z-scored.
        values: float64 (wells, targets), NaN where unknown, standardised where the target is.
        scales: What the standardised ones were scaled by, by name.
    """

    given: TrainingData
    rows: np.ndarray
    gene_order: np.ndarray
    genes: tuple[str, ...]
    wells: pd.DataFrame
    split: np.ndarray
    parts: dict[str, np.ndarray]
    scaler: tuple[np.ndarray, np.ndarray] | None
    values: np.ndarray
    scales: dict[str, Scale]

    def expression_of(self, wells: np.ndarray) -> np.ndarray:
        """Unscaled expression (wells, genes) of the wells at these positions."""
        return np.asarray(self.given.expression[self.rows[wells]][:, self.gene_order])


def prepare(data: TrainingData, settings: TrainingSettings) -> PreparedData:
    """Order, split and scale training data; no well outside the training wells has a say in a scale.

    Raises:
        TrainingError: The data cannot be trained on, see `check_data`, or hold too few wells or no target.
        SettingsError: The settings leave no room for so many targets.
    """
    check_data(data)
    settings.require_room_for(len(data.targets))
    names = names_of(data.targets)
    has_a_target = data.wells[names].notna().any(axis=1).to_numpy()
    by_id = np.argsort(data.wells["well_id"].to_numpy(dtype=str), kind="stable")
    rows = by_id[has_a_target[by_id]]
    if not len(rows):
        raise TrainingError("no well has a target; at least one of " + ", ".join(names) + " must be known")
    gene_order = np.argsort(np.asarray(data.genes, dtype=str), kind="stable")
    wells = data.wells.iloc[rows].reset_index(drop=True)
    split = split_wells(wells, settings).to_numpy()
    training = split == "train"
    values = wells[names].to_numpy(dtype=np.float64)
    scales = _scale_targets(values, data.targets, training)
    return PreparedData(
        given=data,
        rows=rows,
        gene_order=gene_order,
        genes=tuple(data.genes[i] for i in gene_order),
        wells=wells,
        split=split,
        parts=_parts(wells, split, settings),
        scaler=_fit_scaler(data.expression, rows[training], gene_order) if settings.use_zscore else None,
        values=values,
        scales=scales,
    )


def _parts(wells: pd.DataFrame, split: np.ndarray, settings: TrainingSettings) -> dict[str, np.ndarray]:
    training = np.flatnonzero(split == "train")
    parts = {"train": training, "val": np.flatnonzero(split == "val")}
    if settings.inner_fraction:
        labels = wells[ACTIVATION_LABEL].to_numpy(dtype=float)[training]
        inner = stratified_choice(labels, settings.inner_fraction, settings.seed)
        parts["train"], parts["inner"] = training[~inner], training[inner]
    elif settings.network.members > 1:
        parts["inner"] = training
    return parts


def _fit_scaler(
    expression: np.ndarray, rows: np.ndarray, gene_order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population sd of every gene over some rows, in float64 without a float64 copy."""
    total = np.zeros(expression.shape[1])
    for start in range(0, len(rows), 256):
        total += expression[rows[start : start + 256]].sum(axis=0, dtype=np.float64)
    mean = total / len(rows)
    squares = np.zeros(expression.shape[1])
    for start in range(0, len(rows), 256):
        squares += np.square(expression[rows[start : start + 256]] - mean).sum(axis=0)
    return mean[gene_order], np.sqrt(squares / len(rows))[gene_order]


def _scale_targets(values: np.ndarray, targets: Sequence[Target], training: np.ndarray) -> dict[str, Scale]:
    """Standardise the columns of `values` whose target says so, in place, by their training wells."""
    scales = {}
    for target, column in zip(targets, values.T, strict=True):
        if not target.is_scaled:
            continue
        known = column[training & ~np.isnan(column)]
        if not len(known):
            column[:] = np.nan
            continue
        mean, standard_deviation = float(known.mean()), float(known.std())
        if standard_deviation == 0:
            raise TrainingError(
                f"{target.name} is {mean:g} in every training well; "
                "leave the column out, nothing can be learnt from it"
            )
        column[:] = (column - mean) / standard_deviation
        scales[target.name] = Scale(mean, standard_deviation)
    return scales


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
    missing = [name for name in ("well_id", "batch", *names_of(data.targets)) if name not in data.wells]
    if missing:
        raise TrainingError(f"wells has no column {', '.join(missing)}; an unknown target is a column of NaN")
    well_ids = data.wells["well_id"]
    if well_ids.duplicated().any():
        raise TrainingError(f"well ids occur twice: {first_names(well_ids[well_ids.duplicated()].unique())}")
    duplicate_genes = pd.Index(data.genes)[pd.Index(data.genes).duplicated()].unique()
    if len(duplicate_genes):
        raise TrainingError(f"genes occur twice: {first_names(duplicate_genes)}")
    # Row by row sums in float64 find any non-finite value without a second matrix; 20 000 wells take 0.1 s.
    bad_rows = np.flatnonzero(~np.isfinite(data.expression.sum(axis=1, dtype=np.float64)))
    if len(bad_rows):
        bad_genes = np.flatnonzero(~np.isfinite(data.expression[bad_rows[:100]]).all(axis=0))
        raise TrainingError(
            f"expression is not finite in wells {first_names(well_ids.to_numpy()[bad_rows])}, genes "
            f"{first_names([data.genes[i] for i in bad_genes])}; mend or leave out these wells"
        )
    for target in data.targets:
        values = data.wells[target.name].to_numpy(dtype=np.float64)
        known = np.isin(values, (0.0, 1.0)) if target.is_binary else np.isfinite(values)
        allowed = np.isnan(values) | known
        if not allowed.all():
            raise TrainingError(
                f"{target.name} is {values[~allowed][0]} in wells {first_names(well_ids.to_numpy()[~allowed])}; "
                + ("labels are 0 or 1" if target.is_binary else "it must be finite, or NaN where unknown")
            )


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
    held_out = stratified_choice(
        ordered[ACTIVATION_LABEL].to_numpy(dtype=float), settings.validation_fraction, settings.seed
    )
    return pd.Series(np.where(held_out, "val", "train"), index=ordered.index, name="split").reindex(
        wells.index
    )


def stratified_choice(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Booleans (wells,): a share of the wells, the same of both labels; NaN is an unknown label.

    Raises:
        TrainingError: Too few wells for the fraction.
    """
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


def first_names(names: Iterable[object]) -> str:
    """The first five names, and how many more there are."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
