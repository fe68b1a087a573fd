"""What a materialized table says first in the Dagster UI: its result in one line of words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tcell_assets.lake.tables.columns import IDENTIFIER_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

TOP_HITS = 10
MOVED_FDR = 0.05
HIT_CLASSES = ("activator", "suppressor", "active_other")


def headline(asset: str, frame: pd.DataFrame) -> str:
    """Return the result that a table holds, in one line; of `signatures` by `condition, genes_moved`."""
    return _HEADLINES[asset](frame) if len(frame) else "empty: there was nothing to say"


def top_hits(calls: pd.DataFrame) -> str:
    """Return the first ten hits, one a line; in the UI text is shown without a click, a table is not."""
    hits = calls[calls["hit_class"].isin(HIT_CLASSES)].nsmallest(TOP_HITS, "rank")
    lines = [
        f"{number}. {hit.metabolite}: {hit.hit_class}, FDR {hit.q_replicate:.2g}"
        for number, hit in enumerate(hits.itertuples(), 1)
    ]
    return "\n".join(lines) or "no hit"


def _count(number: int, what: str, plural: str | None = None) -> str:
    return f"{number} {what if number == 1 else plural or what + 's'}"


def _named(names: Sequence[object], most: int = 5) -> str:
    shown = ", ".join(map(str, list(names)[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _well_metadata(wells: pd.DataFrame) -> str:
    treated = wells.loc[~wells["is_dmso"], "metabolite"].nunique()
    return (
        f"{_count(len(wells), 'well')} on {_count(wells['plate'].nunique(), 'plate')}: {int(wells['is_dmso'].sum())} "
        f"DMSO, {_count(treated, 'other name')}"
    )


def _counts(counts: pd.DataFrame) -> str:
    genes, wells = counts["gene"].nunique(), counts["well_id"].nunique()
    return f"{int(counts['count'].sum())} UMI of {genes} genes in {wells} wells"


def _wells_by_columns(what: str) -> Callable[[pd.DataFrame], str]:
    return lambda frame: f"{_count(len(frame), 'well')}, {what.format(frame.shape[1] - 1)}"


def _quality(wells: pd.DataFrame) -> str:
    failed = int((~wells["qc_pass"]).sum())
    return f"{failed} of {_count(len(wells), 'well')} fail and count nowhere"


def _plate_quality(plates: pd.DataFrame) -> str:
    flagged = plates.loc[plates["flag"] != "ok", "plate"].tolist()
    return f"{_count(len(flagged), 'plate')} of {len(plates)} flagged" + (
        f": {_named(flagged)}" if flagged else ""
    )


def _position(audit: pd.DataFrame) -> str:
    doubtful = audit.loc[audit["verdict"] != "ok", "variable"].tolist()
    return (
        f"position alone predicts {_named(doubtful)}: {', '.join(sorted(set(audit['verdict']) - {'ok'}))}"
        if doubtful
        else f"position predicts none of the {len(audit)} variables"
    )


def _design(audit: pd.DataFrame) -> str:
    verdict = audit.set_index("quantity")["value"]["verdict"]
    return f"verdict on the layout: {json.loads(verdict)}"


def _similarity_of_plates(pairs: pd.DataFrame) -> str:
    suspected = int(pairs["is_suspected_swap"].sum())
    return f"{_count(len(pairs), 'pair')} of plates compared, {suspected or 'none'} suspected of a swap"


def _training(history: pd.DataFrame) -> str:
    best = history[history["is_best"]]
    chosen = "; ".join(f"{row.split} {row.total:.3g}" for row in best.itertuples())
    return (
        f"epoch {int(best['epoch'].iloc[0])} of {int(history['epoch'].max())} is kept; loss there: {chosen}"
    )


def _evaluation(table: pd.DataFrame) -> str:
    whole = table[~table["calibrated"] & table["metric"].isin(["r2", "auroc"])]
    best = whole.groupby("model")["value"].mean().sort_values(ascending=False)
    others = _named(best.index[1:4].tolist())
    return f"best on held-out wells: {best.index[0]} (mean of R² and AUROC {best.iloc[0]:.3f}), then {others}"


def _comparison(table: pd.DataFrame) -> str:
    verdicts = table["verdict"].value_counts()
    return "the model against plainer ones: " + ", ".join(
        f"{count} × {name}" for name, count in verdicts.items()
    )


def _intervals(table: pd.DataFrame) -> str:
    low, high = table["coverage"].min(), table["coverage"].max()
    return f"{table['level'].iloc[0]:.0%} intervals cover {low:.0%} to {high:.0%}"


def _predictions(wells: pd.DataFrame) -> str:
    return f"{_count(len(wells), 'well')} predicted, {int((wells['split'] == 'train').sum())} of them seen in training"


def _distances(wells: pd.DataFrame) -> str:
    treated, dmso = (
        wells.loc[wells["is_dmso"] == is_dmso, "euclidean"].median() for is_dmso in (False, True)
    )
    return f"median distance to DMSO {treated:.3g}; of DMSO wells themselves {dmso:.3g}"


def _importance(genes: pd.DataFrame) -> str:
    return f"{genes['head'].iloc[0]} rests most on {_named(genes.nlargest(5, 'importance')['gene'].tolist())}"


def _scores(scores: pd.DataFrame) -> str:
    first = scores.nsmallest(5, "rank")["metabolite"].tolist()
    return (
        f"{_count(len(scores), 'metabolite')} ranked by {scores['ranked_by'].iloc[0]}; first {_named(first)}"
    )


def _hits(calls: pd.DataFrame) -> str:
    classes = calls.loc[calls["hit_class"].isin(HIT_CLASSES), "hit_class"].value_counts()
    found = ", ".join(f"{count} {name}" for name, count in classes.items())
    return f"{_count(int(classes.sum()), 'hit')} among {_count(len(calls), 'metabolite')}" + (
        f": {found}" if found else ""
    )


def _hits_shown(calls: pd.DataFrame) -> str:
    from tcell_assets.exports.hits import calls_shown

    return _hits(calls_shown(calls))


def _explained(table: pd.DataFrame) -> str:
    shares = " and ".join(f"{table[f'explained_pca_{number}'].iloc[0]:.0%}" for number in (1, 2))
    return f"the two axes hold {shares} of the variance"


def _latents(wells: pd.DataFrame) -> str:
    return f"{_count(len(wells), 'well')} in the model's latent"


def _map(wells: pd.DataFrame) -> str:
    return f"{_count(len(wells), 'well')} on the map"


def _correlation(table: pd.DataFrame) -> str:
    known = table[table["pearson"].notna()].sort_values("pearson", key=abs, ascending=False)
    if known.empty:
        return "no correlation is defined"
    quantity, target, pearson = known[["quantity", "target", "pearson"]].to_numpy()[0]
    return f"strongest: {quantity} with {target}, r = {pearson:.2f}"


def _identifiers(table: pd.DataFrame) -> str:
    return f"identifiers of {_count(len(table), 'compound')}"


def _compounds(table: pd.DataFrame) -> str:
    # A mechanism says what a compound does, not which one it is.
    identifiers = [column.name for column in IDENTIFIER_COLUMNS if column.name != "mechanism"]
    identified = table[identifiers].notna().any(axis=1).sum()
    return f"{_count(len(table), 'compound')}, {identified} of them with an identifier"


def _signatures(conditions: pd.DataFrame) -> str:
    moved = conditions["genes_moved"]
    return (
        f"{_count(int((moved > 0).sum()), 'condition')} of {len(moved)} move genes at FDR {100 * MOVED_FDR:.0f} %, "
        f"{int(moved.sum())} gene effects in all"
    )


def _neighbours(table: pd.DataFrame) -> str:
    alike = table.loc[table["q"] < 0.05, "condition"].nunique()
    conditions, clusters = table["condition"].nunique(), table["cluster"].nunique()
    active = f"{_count(conditions, 'active condition')} in {_count(clusters, 'cluster')}"
    return f"{active}; {alike} with a neighbour at FDR 5 %"


def _pathways(table: pd.DataFrame) -> str:
    moved = table[table["q"] < 0.05]
    movers = _count(moved["condition"].nunique(), "condition")
    sets = _count(table["gene_set"].nunique(), "gene set")
    return f"{movers} of {table['condition'].nunique()} move one of {sets} at FDR 5 %"


def _doses(table: pd.DataFrame) -> str:
    activity = table[table["measure"] == "activity"]
    answers = ", ".join(f"{count} {name}" for name, count in activity["response"].value_counts().items())
    return f"{_count(table['compound'].nunique(), 'compound')} with a dose series: {answers or 'no activity'}"


def _attributed(wells: pd.DataFrame) -> str:
    return f"{wells['head'].iloc[0]} of {_count(len(wells), 'well')} explained"


def _drivers(table: pd.DataFrame) -> str:
    return f"the genes that drive {_count(table['metabolite'].nunique(), 'hit')}"


def _enrichment(table: pd.DataFrame) -> str:
    enriched = table.loc[table["q_value"] < 0.05, "gene_set"].unique().tolist()
    return f"enriched at FDR 5 %: {_named(enriched) or 'no gene set'}"


def _stability(table: pd.DataFrame) -> str:
    always = int((table["share_in_top"] == 1).sum())
    return f"{_count(always, 'gene')} among the top of every one of {int(table['n_members'].iloc[0])} members"


def _members(table: pd.DataFrame) -> str:
    low, high = table["validation_loss"].min(), table["validation_loss"].max()
    return f"{_count(len(table), 'member')}, validation loss {low:.3g} to {high:.3g}"


_HEADLINES: dict[str, Callable[[pd.DataFrame], str]] = {
    "well_metadata": _well_metadata,
    "count_matrix": _counts,
    "expression_matrix": _wells_by_columns("{} genes"),
    "well_qc": _quality,
    "plate_qc": _plate_quality,
    "position_audit": _position,
    "screen_position_audit": _position,
    "design_audit": _design,
    "plate_similarity": _similarity_of_plates,
    "adjusted_expression": _wells_by_columns("{} genes"),
    "training_history": _training,
    "evaluation_predictions": lambda frame: (
        f"{frame['well_id'].nunique()} held-out wells by {frame['model'].nunique()} models"
    ),
    "model_evaluation": _evaluation,
    "model_comparison": _comparison,
    "prediction_intervals": _intervals,
    "ensemble_members": _members,
    "well_predictions": _predictions,
    "latent_embeddings": _latents,
    "adjusted_embeddings": _latents,
    "dmso_distances": _distances,
    "gene_importance": _importance,
    "metabolite_scores": _scores,
    "gene_importance_ranking": _importance,
    "hit_calls": _hits_shown,
    "expression_map": _explained,
    "latent_map_axes": _explained,
    "latent_map_reference": _map,
    "latent_map": _map,
    "phenotype_correlation": _correlation,
    "compound_identifiers": _identifiers,
    "compounds": _compounds,
    "signatures": _signatures,
    "metabolite_similarity": _neighbours,
    "pathway_activity": _pathways,
    "dose_response": _doses,
    "integrated_gradients": _importance,
    "attributed_wells": _attributed,
    "gene_attributions": _wells_by_columns("{} genes attributed"),
    "integrated_gradients_ranking": _importance,
    "hit_drivers": _drivers,
    "gene_set_enrichment": _enrichment,
    "importance_stability": _stability,
}
