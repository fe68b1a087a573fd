"""The published pipeline's output files, with their names and columns, from the tables of the lake.

New columns follow the published ones; none comes between or replaces them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from upath import UPath

from tcell_assets.exports.currentness import is_of_model
from tcell_assets.exports.spreadsheet import without_formulas
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.figures import loss_curve
from tcell_assets.science.model.trained_model import LAST_WEIGHTS, WEIGHTS, TrainedModel
from tcell_assets.system.files import write_atomically
from tcell_assets.targets import Target, by_term, known_targets, labels, published_targets

# The published file's name is misspelt; its users' scripts open it by that name.
WELL_SCORES = ("well_activation_socres.csv", "well_activation_scores.csv")


def write_published_outputs(
    lake: Lake,
    model: TrainedModel,
    model_folder: UPath,
    batches: Sequence[str],
    well_order: Sequence[str],
    out_folder: Path,
    trained: bool,
    behind: Sequence[str] = (),
) -> list[Path]:
    """Write every published output file.

    Args:
        lake: Holds the scored batches.
        model: The model they were scored with.
        model_folder: Where that model is saved.
        batches: Batches of this run.
        well_order: Wells in the order of the input files, which the published tables keep.
        out_folder: Where the files go.
        trained: Whether this run trained the model; only then are there loss curves and a scaler to write.
        behind: What of the tables is not current; every CSV file then says so in a first column.

    Returns:
        The files written.
    """
    predictions = _wells(lake, "well_predictions", batches, well_order)
    latents = _wells(lake, "latent_embeddings", batches, well_order)
    distances = _wells(lake, "dmso_distances", batches, well_order)
    well_scores = _well_scores(predictions, latents)
    tables = {
        **dict.fromkeys(WELL_SCORES, well_scores),
        "metabolite_activation_scores.csv": _metabolite_scores(well_scores),
        "well_predictions_results.csv": _prediction_results(predictions, latents),
        "latent_scores.csv": _latent_scores(distances),
    }
    if is_of_model(lake, "gene_importance_ranking", model.version):
        tables["gene_importance_gradinput.csv"] = _gene_importance(lake.read("gene_importance_ranking"))
    if trained:
        tables["history_loss_detailed.csv"] = _history(model.history)
        tables["gene_scaler.csv"] = _gene_scaler(lake, model)
    out_folder.mkdir(parents=True, exist_ok=True)
    if behind:
        for table in {id(table): table for table in tables.values()}.values():
            table.insert(0, "behind", "; ".join(behind))
    written = [_write_csv(out_folder / name, table) for name, table in tables.items()]
    if trained:
        written.append(_write_bytes(out_folder / "loss_curve.png", loss_curve(model.history).full))
        best, last = (model_folder / WEIGHTS).read_bytes(), (model_folder / LAST_WEIGHTS).read_bytes()
        for stem, weights in (("model", best), ("model_best", best), ("model_last", last)):
            written.append(_write_bytes(out_folder / f"{stem}.safetensors", weights))
    return written


def _wells(lake: Lake, asset: str, batches: Sequence[str], well_order: Sequence[str]) -> pd.DataFrame:
    tables = [lake.read_arrow(asset, batch) for batch in batches]
    # Batches may hold columns of targets that are declared no more.
    rows = pa.concat_tables(tables, promote_options="default").to_pandas()
    wells: pd.DataFrame = rows.set_index("well_id").loc[list(well_order)].reset_index()
    return wells


def _well_scores(predictions: pd.DataFrame, latents: pd.DataFrame) -> pd.DataFrame:
    scores = pd.DataFrame({"Well": latents["well_id"], "Metabolite": predictions["metabolite"]})
    for index, name in enumerate(LATENT_COLUMNS):
        scores[f"Latent_{index}"] = latents[name]
    scores["LatentScore"] = latents["latent_norm"]
    return scores


def _metabolite_scores(well_scores: pd.DataFrame) -> pd.DataFrame:
    grouped = well_scores.astype({"LatentScore": float}).groupby("Metabolite")["LatentScore"]
    scores = grouped.agg(["mean", "std", "size"]).rename(columns={"size": "N"})
    return scores.sort_values("mean", ascending=False, kind="stable").reset_index()


def _prediction_results(predictions: pd.DataFrame, latents: pd.DataFrame) -> pd.DataFrame:
    vectors = latents[list(LATENT_COLUMNS)].to_numpy(dtype=np.float64)
    published, beyond = published_targets(), [t for t in known_targets() if not t.is_published]
    labelled = labels(published)
    numbers = [target for target in published if not target.is_binary]
    columns = {"well_id": predictions["well_id"], "metabolite": predictions["metabolite"]}
    columns |= _known(predictions, [*labelled, *numbers])
    columns |= {target.published_prediction: predictions[target.prediction] for target in numbers}
    columns["latent_vector"] = pd.Series(
        [str([float(f"{value:.7g}") for value in vector]) for vector in vectors], index=predictions.index
    )
    for target in labelled:
        columns |= {target.logit: predictions[target.logit]}
        columns |= {target.published_prediction: predictions[target.prediction]}
    columns |= {name: predictions[name] for name in ("split", "model_version")}
    columns |= _known(predictions, beyond)
    columns |= {name: predictions[name] for target in beyond for name in target.predictions}
    return pd.DataFrame(columns)


def _known(predictions: pd.DataFrame, targets: Sequence[Target]) -> dict[str, pd.Series]:
    return {
        target.published_column: predictions[target.name].astype("Int64")
        if target.is_binary
        else predictions[target.name]
        for target in targets
        if target.published_column
    }


def _gene_importance(ranking: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Gene": ranking["gene"],
            "GradInputImportance": ranking["importance"],
            "SignedGradInput": ranking["signed_importance"],
            "Head": ranking["head"],
        }
    )


def _latent_scores(distances: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Well": distances["well_id"],
            "Meta": distances["metabolite"],
            "Latent_Euclid": distances["euclidean"],
            "Latent_Cosine": distances["cosine"],
            "Latent_Cosine_Centered": distances["cosine_centered"],
        }
    )


def _history(history: pd.DataFrame) -> pd.DataFrame:
    terms = list(by_term(published_targets()))
    beyond = [term for term in by_term(known_targets()) if term not in terms and term in history]
    losses = history.pivot_table(
        index="epoch", columns="split", values=["total", *terms, *beyond], dropna=False
    )
    order = [("train", "total"), ("val", "total")]
    order += [(split, loss) for split in ("train", "val") for loss in (*terms, *beyond)]
    columns = {f"{split}_{loss}": losses[loss, split] for split, loss in order}
    best = history.loc[history["is_best"], "epoch"].unique()
    return pd.DataFrame(columns).assign(is_best=lambda table: table.index.isin(best)).reset_index()


def _gene_scaler(lake: Lake, model: TrainedModel) -> pd.DataFrame:
    """Mean and population standard deviation of each gene over the training wells.

    The published script writes them whether or not they are applied; where the model has a scaler, these are its own.
    """
    if model.gene_mean is not None and model.gene_standard_deviation is not None:
        mean, deviation = model.gene_mean, model.gene_standard_deviation
    else:
        training = model.split[model.split["split"] == "train"]
        values = np.concatenate(
            [
                lake.expression(str(batch), model.genes).loc[wells["well_id"]].to_numpy(dtype=np.float64)
                for batch, wells in training.groupby("batch")
            ]
        )
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    applied = model.gene_mean is not None
    return pd.DataFrame({"gene": model.genes, "mean": mean, "std": deviation, "applied": applied})


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    return _write_bytes(path, without_formulas(table).to_csv(index=False).encode())


def _write_bytes(path: Path, content: bytes) -> Path:
    write_atomically(UPath(path), content)
    return path
