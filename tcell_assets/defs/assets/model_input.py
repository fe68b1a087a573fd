"""What the network is given: stored expression, or counts turned into expression by the model's own frozen fit."""

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tcell_assets.defs.resources import Storage
from tcell_assets.lake.models import FIT_FILE
from tcell_assets.lake.staleness import STABILIZATION, VALUE_KIND
from tcell_assets.lake.store import Lake
from tcell_assets.system.files import write_atomically
from tcell_assets.targets import ACTIVATION_LABEL, Target

if TYPE_CHECKING:
    import pandas as pd
    from upath import UPath

    from tcell_assets.landing.counts import CountMatrix
    from tcell_assets.science.counts.variance_stabilization import VarianceStabilization
    from tcell_assets.science.evaluation.model_evaluation import EvaluationData
    from tcell_assets.science.model.settings import TrainingSettings
    from tcell_assets.science.model.trained_model import TrainedModel
    from tcell_assets.science.model.training_data import TrainingData

# The published screen modelled 2 541 genes; attention costs the square of their number.
MODELLED_GENES = 2541


def save_fit(fit: "VarianceStabilization", folder: "UPath") -> None:
    """Keep a fit beside the model that was trained on its values."""
    content = json.dumps({**fit.to_dict(), "fit_hash": fit.fit_hash()}, indent=1).encode()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FIT_FILE, content)


def load_fit(folder: "UPath") -> "VarianceStabilization | None":
    """Return the fit beside a model, or None for a model that was trained on landed VST.

    Raises:
        ValueError: The file was edited: its contents do not have the hash beside them.
    """
    from tcell_assets.science.counts.variance_stabilization import VarianceStabilization

    path = folder / FIT_FILE
    if not path.exists():
        return None
    stored = json.loads(path.read_bytes())
    expected = stored.pop("fit_hash")
    fit = VarianceStabilization.from_dict(stored)
    if fit.fit_hash() != expected:
        raise ValueError(
            f"{path}: its contents do not have the hash beside them; it was edited. Train again."
        )
    return fit


def expression_of_counts(
    storage: Storage, counts: "CountMatrix", empty: Collection[str] = ()
) -> "tuple[pd.DataFrame, str]":
    """Return the expression of a newly landed batch of counts, and the hash of the fit that made it.

    Args:
        storage: Where a current model's fit lies.
        counts: The batch.
        empty: Wells that hold nothing; they are transformed and enter no fit.
    """
    from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization, transform

    models = storage.models()
    current = models.current()
    fit = load_fit(models.folder(current)) if current is not None else None
    if fit is None:
        rows = [row for row, well in enumerate(counts.well_ids) if well not in empty]
        fit_wells = [counts.well_ids[row] for row in rows]
        values = counts.values if len(rows) == len(counts.well_ids) else counts.values[rows]
        fit = fit_variance_stabilization(values, counts.genes, fit_wells)
    return transform(counts.values, counts.genes, counts.well_ids, fit), fit.fit_hash()


def scoring_input(
    lake: Lake, batch: str, genes: Sequence[str], fit: "VarianceStabilization | None"
) -> "tuple[list[str], pd.DataFrame]":
    """Return the genes measured in a batch, and its expression of those `genes` that are among them.

    Counts that were stabilised by another model's fit are transformed again by this model's.

    Args:
        lake: The tables.
        batch: The batch.
        genes: Genes of the model.
        fit: The model's fit, or None where it was trained on landed VST.
    """
    details = lake.lineage("expression_matrix", batch).details
    if (
        fit is not None
        and details.get(VALUE_KIND) == "counts"
        and details.get(STABILIZATION) != fit.fit_hash()
    ):
        expression = _transformed(lake, batch, fit)
        return list(expression.columns), expression
    measured = lake.genes(batch)
    available = set(measured)
    return measured, lake.expression(batch, [gene for gene in genes if gene in available])


def training_input(
    lake: Lake,
    settings: "TrainingSettings",
    n_genes: int | None,
    targets: Sequence[Target] | None = None,
) -> "tuple[TrainingData, VarianceStabilization | None, list[str]]":
    """Return what to train on: usable wells with targets of every batch, and the fit where the batches are counts.

    What is learnt are the targets of the installation, or those that are given: of the model that is trained again.

    Returns:
        The training data; the variance stabilisation fitted on the training wells, or None for landed VST; the
        ingested batches that are not trained on, as no usable well of them has a target.

    Raises:
        TrainingDataError: Nothing to train on, too few shared genes, or batches of counts beside batches of VST.
    """
    from tcell_assets.science.model.training_data import (
        TrainingDataError,
        assemble_training_data,
        wells_to_train_on,
    )

    batches = lake.batches("expression_matrix")
    wells_of = wells_to_train_on(
        {batch: lake.read("well_metadata", batch) for batch in batches},
        {batch: lake.read("well_qc", batch, ["well_id", "qc_pass"]) for batch in batches},
        targets,
    )
    kinds = {
        batch: lake.lineage("expression_matrix", batch).details.get(VALUE_KIND, "vst") for batch in wells_of
    }
    if len(set(kinds.values())) > 1:
        raise TrainingDataError(
            f"batches of counts and of VST cannot be trained on together: {kinds}. Land all of them as counts."
        )
    fit = _fit_on_training_wells(lake, wells_of, settings, n_genes) if "counts" in kinds.values() else None

    def read(batch: str, genes: tuple[str, ...]) -> "pd.DataFrame":
        return lake.expression(batch, genes) if fit is None else _transformed(lake, batch, fit)[list(genes)]

    data = assemble_training_data(
        wells_of,
        {batch: lake.genes(batch) if fit is None else fit.modelled_genes for batch in wells_of},
        {batch: lake.batch_hash(batch) for batch in wells_of},
        read,
        targets,
    )
    return data, fit, sorted(set(batches) - set(wells_of))


def evaluation_input(
    lake: Lake,
    settings: "TrainingSettings",
    n_genes: int | None,
    targets: Sequence[Target] | None = None,
) -> "tuple[EvaluationData, dict[str, str]]":
    """Return what every model is evaluated on, the wells a training takes, and the content hash of their batches.

    Of batches that landed as counts the variance stabilisation is fitted anew on the training wells of every fold.
    """
    import pandas as pd

    from tcell_assets.science.evaluation.model_evaluation import EvaluationData

    data, fit, _ = training_input(lake, settings, n_genes, targets)
    well_ids = data.wells["well_id"]
    landed = pd.DataFrame(data.expression, index=pd.Index(well_ids), columns=list(data.genes))

    def expression_fitted_on(training_wells: Sequence[str]) -> "pd.DataFrame":
        if fit is None:
            return landed
        own = _fit_on(lake, list(data.batch_hashes), set(training_wells), n_genes)
        return pd.concat([_transformed(lake, batch, own) for batch in data.batch_hashes]).loc[well_ids]

    depth = pd.concat([lake.read("well_qc", batch, ["well_id", "total_umi"]) for batch in data.batch_hashes])
    umi = depth.set_index("well_id")["total_umi"].loc[well_ids]
    known = EvaluationData(data.wells, expression_fitted_on, None if umi.isna().any() else umi, data.targets)
    return known, data.batch_hashes


def training_reference(data: "TrainingData", model: "TrainedModel") -> "pd.DataFrame":
    """Return what the training wells look like gene by gene, which is kept beside a model for later batches."""
    from tcell_assets.science.model.gene_summary import summarize_genes

    trained_on = set(model.split.loc[model.split["split"] == "train", "well_id"])
    return summarize_genes(
        data.expression,
        data.genes,
        data.wells["is_dmso"].to_numpy(),
        data.wells["well_id"].isin(trained_on).to_numpy().nonzero()[0],
    )


def _fit_on_training_wells(
    lake: Lake, wells_of: "dict[str, pd.DataFrame]", settings: "TrainingSettings", n_genes: int | None
) -> "VarianceStabilization":
    import pandas as pd

    from tcell_assets.science.model.training_data import split_wells

    wells = pd.concat(wells_of.values(), ignore_index=True)
    split = split_wells(wells.astype({ACTIVATION_LABEL: "float64"}), settings)
    return _fit_on(lake, list(wells_of), set(wells.loc[split == "train", "well_id"]), n_genes)


def _fit_on(
    lake: Lake, batches: Sequence[str], training_wells: set[str], n_genes: int | None
) -> "VarianceStabilization":
    import numpy as np
    from scipy import sparse

    from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization
    from tcell_assets.science.model.training_data import shared_genes

    counts = {batch: _counts(lake, batch) for batch in batches}
    shared = shared_genes({batch: genes for batch, (_, _, genes) in counts.items()}).genes
    pieces: list[Any] = []
    fit_wells: list[str] = []
    for matrix, well_ids, genes in counts.values():
        column_of = {gene: column for column, gene in enumerate(genes)}
        rows = np.array([row for row, well_id in enumerate(well_ids) if well_id in training_wells], dtype=int)
        pieces.append(matrix[rows][:, [column_of[gene] for gene in shared]])
        fit_wells += [well_ids[row] for row in rows]
    stacked = sparse.vstack(pieces, format="csr")
    wanted = n_genes or MODELLED_GENES
    fit = fit_variance_stabilization(stacked, shared, fit_wells)
    if wanted >= len(fit.genes):
        return fit
    return fit_variance_stabilization(stacked, shared, fit_wells, n_genes=wanted)


def _transformed(lake: Lake, batch: str, fit: "VarianceStabilization") -> "pd.DataFrame":
    from tcell_assets.science.counts.variance_stabilization import transform

    matrix, well_ids, genes = _counts(lake, batch)
    return transform(matrix, genes, well_ids, fit)


def _counts(lake: Lake, batch: str) -> tuple[Any, list[str], list[str]]:
    from tcell_assets.science.counts.count_table import counts_from_table

    well_ids = lake.read("well_metadata", batch, ["well_id"])["well_id"].tolist()
    matrix, genes = counts_from_table(lake.read("count_matrix", batch), well_ids)
    return matrix, well_ids, genes
