"""What each condition does: its genes, what it resembles, its pathways, and its curve where there are doses."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from tcell_assets.defs.assets.screen import OWNERS, batches_to_sum_up, stacked
from tcell_assets.defs.checks import selected
from tcell_assets.defs.headlines import MOVED_FDR
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import TableResult, bullet_list, preview, table_asset, table_out, table_result
from tcell_assets.defs.profile_checks import (
    PROFILE_CHECKS,
    dose_check,
    gene_sets_check,
    neighbours_check,
    signature_check,
)
from tcell_assets.defs.resources import Storage
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import IDENTIFIER_COLUMNS
from tcell_assets.science.screen.settings import ProfileSettings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from tcell_assets.science.screen.signatures import Signatures

TABLES_OF_PROFILE = ("signatures", "metabolite_similarity", "pathway_activity", "dose_response")


IDENTIFIED_ALIKE = "identified_alike"


@table_asset(
    "compounds",
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            IDENTIFIED_ALIKE,
            asset="compounds",
            description="No two batches say different things of one compound. A warning: what they disagree about is "
            "left out.",
        )
    ],
)
def compounds(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    compound_identifiers: Mapping[str, Frame],
) -> TableResult:
    """Sum up the wells of each compound, and join what the batches say identifies it."""
    from tcell_assets.science import conditions
    from tcell_assets.science.screen.compounds import described_compounds

    lineage, batches = batches_to_sum_up(context, storage, "adjusted_embeddings", "well_metadata")
    wells = stacked(well_metadata, batches)
    wells = wells.assign(condition=conditions.conditions(wells), compound=conditions.compounds(wells))
    identifiers = {batch: table for batch, table in compound_identifiers.items() if batch in batches}
    kinds = [column.name for column in IDENTIFIER_COLUMNS]
    table = described_compounds(wells[conditions.is_treated(wells)], identifiers, kinds)
    doubtful = table[table["contradictory"].notna()]
    check = dg.AssetCheckResult(
        asset_key="compounds",
        check_name=IDENTIFIED_ALIKE,
        passed=doubtful.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contradictory": bullet_list(
                f"{compound}: {words}"
                for compound, words in zip(doubtful["compound"], doubtful["contradictory"], strict=True)
            )
        },
    )
    return table_result(
        "compounds",
        table,
        {"batches": ", ".join(batches), "preview": preview(table, 20)},
        model_version=None if lineage is None else lineage.model_version,
        training_batches=None if lineage is None else lineage.training_batches,
        check_results=list(selected(context, check)),
    )


@dg.multi_asset(
    name="profile_conditions",
    outs={asset: table_out(asset, __name__, OWNERS) for asset in TABLES_OF_PROFILE},
    check_specs=PROFILE_CHECKS,
)
def profile_conditions(
    context: dg.AssetExecutionContext,
    config: Launchpad[ProfileSettings],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_qc: Mapping[str, Frame],
    adjusted_expression: Mapping[str, Frame],
    hit_calls: Frame,
) -> Iterator[TableResult]:
    """Fit signatures on position-adjusted expression, then ask of them what resembles what and which sets move."""
    from tcell_assets.science.conditions import compounds, conditions, contexts, is_empty, is_treated
    from tcell_assets.science.screen.dose_response import DoseResponseRule, fit_compounds
    from tcell_assets.science.screen.signatures import fit_signatures

    settings = config.settings()
    lineage, batches = batches_to_sum_up(context, storage, "adjusted_embeddings", "adjusted_expression")
    wells = stacked(well_metadata, batches)
    wells = wells.assign(
        condition=conditions(wells),
        compound=compounds(wells),
        context=contexts(wells),
        is_treated=is_treated(wells),
    )
    passed = (
        stacked(well_qc, batches).set_index("well_id")["qc_pass"].reindex(wells["well_id"], fill_value=False)
    )
    holds_something = (wells["is_treated"] | wells["is_dmso"]).to_numpy(dtype=bool) & ~is_empty(wells)
    counted = passed & holds_something
    expression = stacked(adjusted_expression, batches, join="inner").set_index("well_id")
    shown = {"batches": ", ".join(batches)}
    version = None if lineage is None else lineage.model_version
    trained_on = None if lineage is None else lineage.training_batches

    def result(
        asset: str,
        frame: "pd.DataFrame",
        check: dg.AssetCheckResult,
        more: Mapping[str, Any],
        table: "pa.Table | None" = None,
    ) -> TableResult:
        return table_result(
            asset,
            frame,
            {**shown, **more},
            model_version=version,
            training_batches=trained_on,
            check_results=list(selected(context, check)),
            table=table,
        )

    signatures = fit_signatures(expression, wells, condition="condition", context="context", usable=counted)
    without = signatures.conditions.loc[signatures.conditions["standard_error_factor"].isna(), "condition"]
    long, moved = _long_signatures(signatures, storage)
    yield result(
        "signatures",
        moved,
        signature_check(without.tolist()),
        {"conditions": len(signatures.conditions), "without_signature": len(without)},
        long,
    )
    yield result(
        "metabolite_similarity", *_similarity(signatures, wells[counted.to_numpy()], hit_calls, settings)
    )
    yield result("pathway_activity", *_pathways(signatures, expression, wells, counted, settings))
    series, left_out = _dose_series(expression, wells, counted)
    fitted = fit_compounds(series, DoseResponseRule(level=settings.dose_level))
    yield result(
        "dose_response",
        fitted,
        dose_check(left_out),
        {
            "compounds": fitted["compound"].nunique(),
            "responses": int((fitted["response"] == "response").sum()),
        },
    )


def _long_signatures(signatures: "Signatures", storage: Storage) -> tuple["pa.Table", "pd.DataFrame"]:
    """The table, which 10 000 conditions of 10 000 genes make 100 million rows long, and how many genes each moved."""
    import tempfile
    from pathlib import Path

    import pandas as pd

    from tcell_assets.lake.spilled import spilled
    from tcell_assets.system.files import is_local

    moved: list[pd.DataFrame] = []

    def pieces() -> Iterator["pa.Table"]:
        for piece in signatures.tables():
            is_moved = piece["q"] < MOVED_FDR
            moved.append(is_moved.groupby(piece["condition"]).sum().rename("genes_moved").reset_index())
            yield TABLES["signatures"].to_arrow(piece)

    root = storage.lake().root
    # Where the lake is not on a disk of this machine, the system's own place for temporary files must do.
    table = spilled(pieces(), Path(root.path) if is_local(root) else Path(tempfile.gettempdir()))
    return table, pd.concat(moved, ignore_index=True)


def _similarity(
    signatures: "Signatures", wells: "pd.DataFrame", hits: "pd.DataFrame", settings: ProfileSettings
) -> tuple["pd.DataFrame", dg.AssetCheckResult, dict[str, Any]]:
    import numpy as np

    from tcell_assets.exports.hits import calls_shown
    from tcell_assets.science.screen.hit_calling import HIT_CLASSES
    from tcell_assets.science.screen.similarity import similar_conditions

    calls = calls_shown(hits)
    active = set(calls.loc[calls["hit_class"].isin(HIT_CLASSES), "metabolite"])
    known = np.isfinite(signatures.moderated_t).all(axis=1)
    described = signatures.conditions[known].reset_index(drop=True)
    of_condition = wells.groupby("condition")
    compound = of_condition["compound"].first()
    positions = {name: frozenset(zip(own["row"], own["column"], strict=True)) for name, own in of_condition}
    described["compound"] = described["condition"].map(compound)
    described["is_active"] = described["condition"].isin(active)
    described["positions"] = described["condition"].map(positions)
    found = similar_conditions(
        signatures.moderated_t[known], described, neighbours=settings.neighbours, seed=settings.seed
    )
    table = found.neighbours
    n_active = int(described["is_active"].sum())
    return (
        table,
        neighbours_check(n_active, found.n_null),
        {
            "active_conditions": n_active,
            "clusters": int(table["cluster"].nunique()),
            "pairs_in_the_null": found.n_null,
            "preview": preview(table[table["neighbour_rank"] == 1], 20),
        },
    )


def _pathways(
    signatures: "Signatures",
    expression: "pd.DataFrame",
    wells: "pd.DataFrame",
    counted: "pd.Series",
    settings: ProfileSettings,
) -> tuple["pd.DataFrame", dg.AssetCheckResult, dict[str, Any]]:
    from pathlib import Path

    from tcell_assets.science.screen.enrichment import MINIMUM_SET_SIZE, bundled_gene_sets, read_gene_sets
    from tcell_assets.science.screen.pathway_activity import (
        empty_activity,
        measured_genes,
        pathway_activity,
        pathway_scores,
        usable_sets,
    )
    from tcell_assets.science.screen.signatures import fit_signatures

    named = read_gene_sets(Path(settings.gene_sets)) if settings.gene_sets else bundled_gene_sets()
    try:
        sets = usable_sets(signatures.genes, named)
    except ValueError as error:
        # Bundled programmes may not be among the genes of a screen; sets that somebody named must be.
        if settings.gene_sets:
            raise dg.Failure(str(error), allow_retries=False) from error
        measured = measured_genes(signatures.genes, named)
        return (
            empty_activity(),
            gene_sets_check(measured, MINIMUM_SET_SIZE),
            {"gene_sets": 0, "left_out": str(error)},
        )
    left_out = {name: n for name, n in measured_genes(signatures.genes, named).items() if name not in sets}
    scores = fit_signatures(
        pathway_scores(expression, signatures.gene_scales(), sets),
        wells,
        condition="condition",
        context="context",
        usable=counted,
        is_moderated=False,
    )
    table = pathway_activity(signatures, scores, sets)
    strongest = table.sort_values("activity", key=abs, ascending=False)
    return (
        table,
        gene_sets_check(left_out, MINIMUM_SET_SIZE),
        {"gene_sets": int(table["gene_set"].nunique()), "preview": preview(strongest, 20)},
    )


def _dose_series(
    expression: "pd.DataFrame", wells: "pd.DataFrame", counted: "pd.Series"
) -> tuple["pd.DataFrame", dict[str, str]]:
    """Activity of usable dosed wells along their compound's own direction, a context at a time, and what is left out.

    A compound at a single dose is no series.
    """
    import pandas as pd

    from tcell_assets.science.screen.dose_response import FEWEST_DOSES, activity_along_own_direction

    columns = ["compound", "measure", "dose_um", "activity"]
    if "dose_um" not in wells:
        return pd.DataFrame(columns=columns), {}
    is_counted = counted.reindex(wells["well_id"]).to_numpy(dtype=bool)
    dmso = wells[is_counted & wells["is_dmso"]]
    is_dosed = wells["is_treated"] & wells["dose_um"].notna() & (wells["dose_um"] > 0)
    several = wells.loc[is_counted & is_dosed, "context"].nunique() > 1
    parts: list[pd.DataFrame] = []
    left_out: dict[str, str] = {}
    for (compound, where), every in wells[is_dosed].groupby(["compound", "context"], sort=True):
        own = every[is_counted[every.index]]
        series = f"{compound}, {where}" if several and where else str(compound)
        controls = dmso.loc[dmso["context"] == where, "well_id"]
        n_doses = own["dose_um"].nunique()
        if n_doses < FEWEST_DOSES or controls.empty:
            if every["dose_um"].nunique() > 1:
                left_out[series] = (
                    "no usable DMSO well of its context"
                    if controls.empty
                    else f"{n_doses} usable doses, a curve needs {FEWEST_DOSES}"
                )
            continue
        displaced = expression.loc[own["well_id"]].to_numpy() - expression.loc[controls].mean().to_numpy()
        parts.append(
            pd.DataFrame(
                {
                    "compound": series,
                    "measure": "activity",
                    "dose_um": own["dose_um"].to_numpy(),
                    "activity": activity_along_own_direction(displaced, own["dose_um"].to_numpy()),
                }
            )
        )
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)), left_out
