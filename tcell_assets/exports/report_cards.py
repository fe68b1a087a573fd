"""The metabolite card: everything that is known of one condition, as the report's page asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tcell_assets.exports.report_tables import column_values
from tcell_assets.lake.tables.columns import IDENTIFIER_COLUMNS
from tcell_assets.landing.identifiers import addresses
from tcell_assets.science.conditions import compounds, conditions

SIGNATURES = "signatures"
PROFILE_TABLES = ("compounds", "metabolite_similarity", "pathway_activity", "dose_response")
# Genes shown up and down: a card is one screen high.
GENES_EACH_WAY = 10
PATHWAYS = 8
# Genes of so many conditions fit 15 MB; beyond, only active ones carry theirs.
MOST_CONDITIONS_WITH_GENES = 2000
# 100 conditions of 10 000 genes are 0.1 GiB.
CONDITIONS_AT_ONCE = 100


def cards(
    hits: pd.DataFrame,
    wells: pd.DataFrame | None,
    profiles: Mapping[str, pd.DataFrame | None],
    genes_of: Callable[[Sequence[str]], pd.DataFrame] | None,
) -> dict[str, Any]:
    """Return the cards of all conditions that hits were called on.

    Args:
        hits: The calls that are shown, a row a condition.
        wells: All wells, for the compound and dose of each condition.
        profiles: The tables of `PROFILE_TABLES` that are there, by name.
        genes_of: Gives the signatures of some conditions, None where there are none.

    Returns:
        By condition: `hit_class, reason, n_replicates, fdr, direction, strength, rank`, and where they are known
        `compound, dose, identifiers, links, genes, neighbours, pathways, curve`.
    """
    found: dict[str, Any] = {}
    for call in hits.to_dict("records"):
        found[str(call["metabolite"])] = {
            "hit_class": call["hit_class"],
            "reason": call["reason"],
            **{
                name: _number(call.get(column))
                for name, column in (
                    ("rank", "rank"),
                    ("n_replicates", "n_replicates"),
                    ("fdr", "q_replicate"),
                    ("direction", "direction"),
                    ("direction_fdr", "q_direction"),
                    ("strength", "strength"),
                )
            },
        }
    if wells is not None:
        _add_treatment(found, wells)
    identified = profiles.get("compounds")
    if identified is not None:
        _add_identifiers(found, identified)
    if genes_of is not None:
        is_active = [
            name for name, card in found.items() if card["hit_class"] not in ("inactive", "inconclusive")
        ]
        # In the order in which they lie in the table.
        shown = sorted(found if len(found) <= MOST_CONDITIONS_WITH_GENES else is_active)
        for start in range(0, len(shown), CONDITIONS_AT_ONCE):
            _add_genes(found, genes_of(shown[start : start + CONDITIONS_AT_ONCE]))
    neighbours = profiles.get("metabolite_similarity")
    if neighbours is not None:
        for name, rows in neighbours.groupby("condition"):
            if name in found:
                found[str(name)]["neighbours"] = column_values(rows.head(8), ["neighbour", "cosine", "q"])
                found[str(name)]["cluster_size"] = int(rows["cluster_size"].iloc[0])
    pathways = profiles.get("pathway_activity")
    if pathways is not None:
        for name, rows in pathways.groupby("condition"):
            if name in found:
                strongest = rows.reindex(rows["activity"].abs().sort_values(ascending=False).index)
                found[str(name)]["pathways"] = column_values(
                    strongest.head(PATHWAYS), ["gene_set", "activity", "q"]
                )
    curves = profiles.get("dose_response")
    if curves is not None:
        of_compound = {
            str(row["compound"]): {str(name): _plain(value) for name, value in row.items()}
            for row in curves[curves["measure"] == "activity"].to_dict("records")
        }
        for card in found.values():
            curve = of_compound.get(card.get("compound", ""))
            if curve is not None:
                card["curve"] = {**curve, "dose_means": json.loads(str(curve.get("dose_means") or "[]"))}
    return found


def _add_treatment(found: dict[str, Any], wells: pd.DataFrame) -> None:
    named = wells.assign(condition=conditions(wells), compound=compounds(wells))
    for row in named.drop_duplicates("condition").to_dict("records"):
        card = found.get(str(row["condition"]))
        if card is not None:
            card["compound"] = str(row["compound"])
            dose = row.get("dose_written")
            if isinstance(dose, str) and dose:
                card["dose"] = dose


def _add_identifiers(found: dict[str, Any], compounds: pd.DataFrame) -> None:
    kinds = [column.name for column in IDENTIFIER_COLUMNS]
    of_compound = {
        str(row["compound"]): {kind: str(row[kind]) for kind in kinds if isinstance(row[kind], str)}
        for row in compounds.to_dict("records")
    }
    for card in found.values():
        known = of_compound.get(card.get("compound", ""))
        if known:
            card["identifiers"] = known
            card["links"] = addresses(known)


def _add_genes(found: dict[str, Any], signatures: pd.DataFrame) -> None:
    known = signatures[signatures["t"].notna()]
    for name, rows in known.groupby("condition"):
        if name not in found:
            continue
        ordered = rows.sort_values(["t", "gene"])
        moved = {"up": ordered[::-1].head(GENES_EACH_WAY), "down": ordered.head(GENES_EACH_WAY)}
        found[str(name)]["genes"] = {
            way: column_values(
                part[part["t"] > 0] if way == "up" else part[part["t"] < 0], ["gene", "effect", "t", "q"]
            )
            for way, part in moved.items()
        }


def _number(value: Any) -> float | int | None:
    return None if value is None or pd.isna(value) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{float(value):.5g}")
