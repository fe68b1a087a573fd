"""What the report's figures are drawn from: wells, maps, losses, as JSON-ready values."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.exports.report_fields import well_fields
from tcell_assets.exports.report_tables import column_values, json_values
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.conditions import conditions, is_treated
from tcell_assets.science.plates.plate_geometry import row_number
from tcell_assets.science.screen.latent_map import fit_latent_map, project
from tcell_assets.targets import known_targets

HIT_CLASS = "hit_class"
# More points make a page of vector graphics sluggish; a chance sample of the wells still shows the shape.
MOST_WELLS_DRAWN = 8000
# Bytes of expression to colour the map by; in base64 a third more, beside 4.5 MB of drawing library.
LARGEST_EXPRESSION = 4_000_000
PREDICTION = " prediction"


def drawn_wells(wells: pd.DataFrame) -> pd.DataFrame:
    """The wells, or a chance sample of 8 000 where there are more."""
    return (
        wells.sample(MOST_WELLS_DRAWN, random_state=614).sort_index()
        if len(wells) > MOST_WELLS_DRAWN
        else wells
    )


def well_data(wells: pd.DataFrame) -> dict[str, Any]:
    """Where each well lies, what was done to it, and every field it can be coloured by."""
    shown = well_fields()
    described = {column.name: column.description for asset in shown for column in TABLES[asset].columns}
    described[HIT_CLASS] = "class of the metabolite"
    fields = {}
    for name in (*chain.from_iterable(shown.values()), HIT_CLASS):
        if name in wells and wells[name].notna().any():
            is_number = pd.api.types.is_numeric_dtype(wells[name]) and not pd.api.types.is_bool_dtype(
                wells[name]
            )
            values = wells[name] if is_number else wells[name].map(str, na_action="ignore")
            kind = "number" if is_number else "category"
            fields[name] = {
                "label": f"{name}: {described[name].split(';')[0]}",
                "kind": kind,
                "values": json_values(values),
            }
    return {
        **column_values(wells, ["well_id", "batch", "plate", "qc_pass", "column"]),
        "metabolite": conditions(wells).tolist(),
        "is_treated": is_treated(wells).tolist(),
        "row": [row_number(row) for row in wells["row"]],
        "fields": fields,
    }


def maps(
    wells: pd.DataFrame, latents: pd.DataFrame | None, table: pd.DataFrame | None
) -> dict[str, dict[str, Any]]:
    """Coordinates of the wells by kind of map, in the order of `wells`: the lake's, or principal components."""
    labels = {"pca": "principal components of the latent", "umap": "UMAP of the latent"}
    if table is not None and {"well_id", "pca_1", "pca_2"} <= set(table.columns):
        coordinates = table.set_index("well_id")
    elif latents is not None and len(latents) >= 3:
        # One model's latents only: those of two models are different coordinates.
        newest = latents["model_version"].iloc[-1]
        columns = ["well_id", *LATENT_COLUMNS]
        same = latents.loc[latents["model_version"] == newest, columns]
        coordinates = project(fit_latent_map(same, with_umap=False), same).set_index("well_id")
    else:
        return {}
    coordinates = coordinates.reindex(wells["well_id"])
    return {
        kind: {
            "label": label,
            "x_label": f"{kind.upper()} 1",
            "y_label": f"{kind.upper()} 2",
            "x": json_values(coordinates[f"{kind}_1"]),
            "y": json_values(coordinates[f"{kind}_2"]),
        }
        for kind, label in labels.items()
        if f"{kind}_1" in coordinates and coordinates[f"{kind}_1"].notna().any()
    }


def expression_map(wells: pd.DataFrame, table: pd.DataFrame | None) -> dict[str, dict[str, Any]]:
    """The map that needs no model, in the order of `wells`; empty before it was made."""
    if table is None:
        return {}
    coordinates = table.set_index("well_id").reindex(wells["well_id"])
    first, second = (f"{table[f'explained_pca_{number}'].iloc[0]:.0%} of the variance" for number in (1, 2))
    return {
        "expression": {
            "label": "principal components of expression",
            "x_label": f"expression PC 1 ({first})",
            "y_label": f"expression PC 2 ({second})",
            "x": json_values(coordinates["pca_1"]),
            "y": json_values(coordinates["pca_2"]),
        }
    }


def loss(history: pd.DataFrame) -> dict[str, Any]:
    """The loss of every split by epoch, which epoch was kept, and which split chose it."""
    names = {"train": "training wells", "val": "held-out wells", "inner": "wells that choose the epoch"}
    splits = set(history["split"])
    # Without wells set aside for it, the held-out ones choose the epoch, as published.
    chooses = "inner" if "inner" in splits else "val"
    if chooses == "val":
        names["val"] = "held-out wells, which choose the epoch"
    best = history.loc[history["is_best"], "epoch"]
    return {
        "best": int(best.iloc[0]) if len(best) else None,
        "chosen_by": names[chooses],
        "curves": [
            {"name": names.get(str(split), str(split)), **column_values(rows, ["epoch", "total"])}
            for split, rows in history.groupby("split")
        ],
    }


def coloured_genes(lake: Lake, wells: pd.DataFrame) -> dict[str, Any] | None:
    """Expression to colour the map by: a byte a well and gene between each gene's smallest and largest value.

    Of more genes than fit 4 MB those that vary most are kept. A well whose batch does not measure a gene is 0, known
    values are 1 to 255.
    """
    batches = [batch for batch in wells["batch"].unique() if lake.exists("expression_matrix", batch)]
    if not batches:
        return None
    tables = [lake.expression(batch) for batch in batches]
    expression = pd.concat(tables).reindex(wells["well_id"])
    values = expression.to_numpy(dtype=np.float32)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # A gene that no drawn well measures has no mean; it is left out just below.
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.nanstd(values, axis=0)
    most = max(1, LARGEST_EXPRESSION // max(len(wells), 1))
    kept = np.sort(np.argsort(-np.nan_to_num(spread), kind="stable")[:most])
    kept = kept[np.nan_to_num(spread[kept]) > 0]
    if not len(kept):
        return None
    chosen = values[:, kept]
    low, high = np.nanmin(chosen, axis=0), np.nanmax(chosen, axis=0)
    levels = 1 + np.rint(254 * (chosen - low) / (high - low))
    levels = np.where(np.isnan(chosen), 0, levels).astype(np.uint8)
    return {
        "genes": [str(name) for name in expression.columns[kept]],
        "low": [float(f"{value:.4g}") for value in low],
        "high": [float(f"{value:.4g}") for value in high],
        "levels": base64.b64encode(levels.T.tobytes()).decode(),
        "left_out": int(expression.shape[1] - len(kept)),
    }


def gene_directions(
    lake: Lake, judge: Judge, batches: Sequence[str], genes: pd.DataFrame
) -> list[float | None]:
    """Correlation of each gene with the head's prediction over the wells; None where there is nothing to correlate.

    The sign of mean Gradient × Input says nothing of direction once genes are z-scored: in a demo it agreed with the
    correlation for 57 % of the top 30 genes.
    """
    head = str(genes["head"].iloc[0])
    column = next((target.prediction for target in known_targets() if target.name == head), None)
    parts = []
    for batch in batches:
        if not (lake.exists("well_predictions", batch) and lake.exists("expression_matrix", batch)):
            continue
        lineage = judge.lineage("well_predictions", batch)
        if judge.model is None or lineage is None or lineage.model_version != judge.model:
            continue
        predicted = lake.read("well_predictions", batch).set_index("well_id")
        if column is None or column not in predicted:
            continue
        measured = [gene for gene in genes["gene"] if gene in set(lake.genes(batch))]
        parts.append(lake.expression(batch, measured).assign(**{PREDICTION: predicted[column]}))
    if not parts:
        return [None] * len(genes)
    together = pd.concat(parts)
    correlation = together.corrwith(together[PREDICTION].astype(float))
    return [
        None if not np.isfinite(value := float(correlation.get(gene, np.nan))) else round(value, 3)
        for gene in genes["gene"]
    ]
