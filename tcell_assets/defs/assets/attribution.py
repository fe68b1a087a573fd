"""Which genes the model reads: Integrated Gradients, the drivers of each hit, gene sets, and how far members agree."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from tcell_assets.defs.assets.model_input import load_fit, scoring_input
from tcell_assets.defs.assets.screen import (
    require_model,
    scored_with_one_model,
    stacked,
)
from tcell_assets.defs.checks import batch_check, selected
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import TableResult, preview, table_asset, table_out, table_result
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import GPU_OP_TAGS, GPU_POOL, Storage, TransformerCompute
from tcell_assets.installation.progress import progress_of
from tcell_assets.lake.staleness import BATCH_HASH
from tcell_assets.science.model.settings import AttributionSettings, StabilitySettings
from tcell_assets.science.screen.settings import DriverSettings, EnrichmentSettings

if TYPE_CHECKING:
    import pandas as pd

OWNERS = ["team:computational-biology"]

COMPLETENESS_CHECK = "attributions_add_up"
# Twice the steps halve the error or better; above 5 % of what is explained the ranking of weak genes is noise.
LARGEST_ERROR_SHARE = 0.05


@dg.multi_asset(
    name="attribute_wells",
    outs={
        asset: table_out(asset, __name__, OWNERS)
        for asset in ("integrated_gradients", "attributed_wells", "gene_attributions")
    },
    check_specs=[
        batch_check(
            "attributed_wells",
            COMPLETENESS_CHECK,
            f"The median completeness error is at most {LARGEST_ERROR_SHARE:.0%} of the median change explained.",
        )
    ],
    deps=["trained_model", "expression_matrix", "count_matrix", "well_qc"],
    partitions_def=screening_batches,
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def attribute_wells(
    context: dg.AssetExecutionContext,
    config: Launchpad[AttributionSettings],
    storage: Storage,
    compute: TransformerCompute,
) -> Iterator[TableResult | dg.AssetCheckResult]:
    """Integrate the head's gradient from the mean of the training DMSO wells to every usable well."""
    from tcell_assets.science.model.trained_model import load_model

    settings = config.settings()
    lake, models, batch = storage.lake(), storage.models(), context.partition_key
    folder = models.folder(models.resolve(settings.model_version))
    model = load_model(folder)
    baseline = _training_dmso_mean(folder)
    _, expression = scoring_input(lake, batch, model.genes, load_fit(folder))
    quality = lake.read("well_qc", batch, ["well_id", "qc_pass"])
    expression = expression.loc[quality.loc[quality["qc_pass"], "well_id"]]
    with progress_of(context.log.info, f"attributing {batch}", len(expression), "wells") as bar:
        explained = compute.attribute(
            model, expression, baseline, settings.head, settings.steps, bar.wells_done
        )
    head = str(explained.importance["head"].iloc[0])
    error = float(explained.wells["completeness_error"].median())
    change = float((explained.wells["output"] - explained.wells["baseline_output"]).abs().median())
    shown = {
        BATCH_HASH: lake.batch_hash(batch),
        "head": head,
        "steps": settings.steps,
        "median_completeness_error": error,
        "median_change_explained": change,
        "preview": preview(explained.importance.nlargest(20, "importance"), 20),
    }
    tables = {
        "integrated_gradients": explained.importance,
        "attributed_wells": explained.wells.assign(head=head, model_version=model.version),
        "gene_attributions": explained.by_gene.astype("float32").reset_index(),
    }
    for asset, table in tables.items():
        yield table_result(
            asset, table, shown, model_version=model.version, training_batches=model.batch_hashes
        )
    yield from selected(
        context,
        dg.AssetCheckResult(
            asset_key="attributed_wells",
            check_name=COMPLETENESS_CHECK,
            passed=error <= LARGEST_ERROR_SHARE * change,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"median completeness error {error:.2g} of a median change of {change:.2g} in {head}, "
            f"{settings.steps} steps; more steps make it smaller",
            metadata={"median_completeness_error": error, "median_change_explained": change},
        ),
    )


def _training_dmso_mean(folder: Any) -> "pd.Series[float]":
    """Mean expression of the DMSO wells a model was trained on, kept beside it.

    Raises:
        dagster.Failure: The model was saved without it, or trained without a DMSO well.
    """
    from tcell_assets.science.model.gene_summary import load_reference

    reference = load_reference(folder)
    if reference is None or reference["dmso_mean"].isna().any():
        raise dg.Failure(
            f"{folder}: the model was {'saved' if reference is None else 'trained'} without DMSO wells to start from. "
            "Train a model on batches with DMSO wells.",
            allow_retries=False,
        )
    return reference.set_index("gene")["dmso_mean"]


@table_asset("integrated_gradients_ranking", owners=OWNERS)
def integrated_gradients_ranking(
    context: dg.AssetExecutionContext, storage: Storage, integrated_gradients: Mapping[str, Frame]
) -> TableResult:
    """The well-weighted mean of the batches' Integrated Gradients."""
    from tcell_assets.science.model.gene_importance import rank_genes

    lineage, scored = scored_with_one_model(context, storage, "integrated_gradients")
    ranking = rank_genes({batch: integrated_gradients[batch] for batch in scored})
    return table_result(
        "integrated_gradients_ranking",
        ranking,
        {"batches": ", ".join(scored), "head": str(ranking["head"].iloc[0]), "preview": preview(ranking, 20)},
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@table_asset("hit_drivers", owners=OWNERS)
def hit_drivers(
    context: dg.AssetExecutionContext,
    config: Launchpad[DriverSettings],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    gene_attributions: Mapping[str, Frame],
    attributed_wells: Mapping[str, Frame],
    hit_calls: Frame,
) -> TableResult:
    """The genes with the largest mean attribution in the wells of each hit."""
    from tcell_assets.exports.hits import calls_shown
    from tcell_assets.science.screen.hit_drivers import hit_drivers as drivers_of_hits

    lineage, scored = scored_with_one_model(context, storage, "gene_attributions")
    require_model(storage, "hit_calls", [None], lineage.model_version)
    heads = sorted(set(stacked(attributed_wells, scored)["head"]))
    if len(heads) > 1:
        raise dg.Failure(
            f"the batches explain different heads ({', '.join(heads)}). Run the attribute job for all with one head.",
            allow_retries=False,
        )
    hits = calls_shown(hit_calls)
    drivers = drivers_of_hits(
        stacked(gene_attributions, scored).set_index("well_id"),
        stacked(well_metadata, scored),
        hits,
        top=config.settings().top,
    )
    return table_result(
        "hit_drivers",
        drivers.assign(head=heads[0], model_version=lineage.model_version),
        {
            "batches": ", ".join(scored),
            "hits": int(drivers["metabolite"].nunique()),
            "preview": preview(drivers, 40),
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@table_asset("gene_set_enrichment", owners=OWNERS)
def gene_set_enrichment(
    config: Launchpad[EnrichmentSettings],
    gene_importance_ranking: Frame,
    integrated_gradients_ranking: Frame,
    storage: Storage,
) -> TableResult:
    """Look for gene sets at the ends of the rankings by Gradient × Input and by Integrated Gradients."""
    import pandas as pd

    from tcell_assets.science.screen.enrichment import bundled_gene_sets, enrich_ranking, read_gene_sets

    settings = config.settings()
    lineage = storage.lake().lineage("integrated_gradients_ranking")
    require_model(storage, "gene_importance_ranking", [None], lineage.model_version)
    sets = read_gene_sets(Path(settings.gene_sets)) if settings.gene_sets else bundled_gene_sets()
    enriched = [
        enrich_ranking(
            ranking, sets, score=settings.ranked_by, permutations=settings.permutations, seed=settings.seed
        ).assign(method=ranking["method"].iloc[0], head=ranking["head"].iloc[0])
        for ranking in (gene_importance_ranking, integrated_gradients_ranking)
    ]
    table = pd.concat(enriched, ignore_index=True).assign(
        ranked_by=settings.ranked_by,
        source=settings.gene_sets or "bundled",
        model_version=lineage.model_version,
    )
    first = [
        "method",
        "gene_set",
        "n_genes",
        "enrichment_score",
        "normalized_enrichment_score",
        "p_value",
        "q_value",
    ]
    return table_result(
        "gene_set_enrichment",
        table,
        {"gene_sets": len(sets), "preview": preview(table[first], 20)},
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@table_asset(
    "importance_stability",
    owners=OWNERS,
    deps=["ensemble_members", "expression_matrix", "count_matrix"],
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def importance_stability(
    context: dg.AssetExecutionContext,
    config: Launchpad[StabilitySettings],
    storage: Storage,
    compute: TransformerCompute,
) -> TableResult:
    """Rank the genes with every member of the ensemble on the training batches, and compare the rankings."""
    from tcell_assets.science.model.gene_importance import importance_stability as stability_of
    from tcell_assets.science.model.gene_importance import rank_genes
    from tcell_assets.science.model.scoring import resolve_head
    from tcell_assets.science.model.trained_model import load_model

    settings, lake, models = config.settings(), storage.lake(), storage.models()
    lineage = lake.lineage("ensemble_members")
    members = {
        version: load_model(models.folder(version))
        for version in lake.read("ensemble_members")["member_version"]
    }
    head = resolve_head(next(iter(members.values())), settings.head)
    importance: dict[str, dict[str, pd.DataFrame]] = {}
    for version, member in members.items():
        importance[version] = {}
        for batch in member.batch_hashes:
            _, expression = scoring_input(lake, batch, member.genes, load_fit(models.folder(version)))
            scores = compute.score(member, expression, head)
            if scores.importance is not None:
                importance[version][batch] = scores.importance
        context.log.info(f"{version}: importance of {head} over {len(importance[version])} batches")
    # Members of a screen of counts each choose the genes that vary most over their own training wells.
    shared = set.intersection(*(set(member.genes) for member in members.values()))
    rankings = {
        version: rank_genes({name: table[table["gene"].isin(shared)] for name, table in tables.items()})
        for version, tables in importance.items()
    }
    stability = stability_of(rankings, top=settings.top)
    return table_result(
        "importance_stability",
        stability.assign(head=head, model_version=lineage.model_version),
        {
            "members": len(members),
            "genes_not_shared": max(len(member.genes) for member in members.values()) - len(shared),
            "preview": preview(stability, 20),
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )
