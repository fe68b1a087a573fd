"""What the screen shows: hits, the map of the latent space, and what distances have to do with the phenotype."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from tcell_assets.defs.assets.screen import (
    OWNERS,
    batches_to_sum_up,
    is_left_out,
    reason_without_model,
    require_model,
    scored_with_one_model,
    stacked,
)
from tcell_assets.defs.headlines import top_hits
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import (
    TableResult,
    preview,
    served_link,
    table_asset,
    table_out,
    table_result,
)
from tcell_assets.defs.resources import Storage
from tcell_assets.lake.tables import TABLES
from tcell_assets.lake.tables.columns import DISTANCES, LATENT_COLUMNS
from tcell_assets.science.screen.settings import CorrelationSettings, HitRule, LatentMapSettings
from tcell_assets.targets import evaluated, known_targets

if TYPE_CHECKING:
    import pandas as pd

HITS_CHECK = "replicates_can_be_compared"


@table_asset(
    "hit_calls",
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            HITS_CHECK,
            asset="hit_calls",
            description="At least one metabolite has usable replicates in two batches; without them nothing can be "
            "called and every metabolite is inconclusive.",
        )
    ],
)
def hit_calls(
    context: dg.AssetExecutionContext,
    config: Launchpad[HitRule],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_qc: Mapping[str, Frame],
    adjusted_embeddings: Mapping[str, Frame],
    expression_matrix: Mapping[str, Frame],
    adjusted_expression: Mapping[str, Frame],
) -> TableResult:
    """Call hits on several feature sets together, and on the latent and on components of expression by themselves."""
    import pandas as pd

    from tcell_assets.exports.hits import calls_shown
    from tcell_assets.science.screen.feature_sets import expression_feature_sets
    from tcell_assets.science.screen.hit_calling import (
        HIT_CLASSES,
        FeatureSet,
        call_combined_hits,
        call_hits,
    )
    from tcell_assets.science.screen.principal_components import principal_component_features

    rule = config.settings()
    lineage, batches = batches_to_sum_up(context, storage, "adjusted_embeddings", "adjusted_expression")
    version = None if lineage is None else lineage.model_version
    wells = stacked(well_metadata, batches)
    usable = stacked(well_qc, batches).set_index("well_id")["qc_pass"]

    def components(expression: Mapping[str, Frame]) -> "pd.DataFrame":
        shared = stacked(expression, batches, join="inner").set_index("well_id")
        return principal_component_features(
            shared, count=rule.principal_components, usable=usable, seed=rule.seed
        )

    features = {}
    if lineage is None:
        context.log.warning(f"no calls on the latent: {reason_without_model(storage)}")
    else:
        require_model(storage, "latent_embeddings", batches, version)
        latents = {batch: storage.lake().read("latent_embeddings", batch) for batch in batches}
        features["latent"] = tuple(
            stacked(tables, batches)[["well_id", *LATENT_COLUMNS]]
            for tables in (adjusted_embeddings, latents)
        )
    features["expression"] = (components(adjusted_expression), components(expression_matrix))
    sets = expression_feature_sets(
        *(
            stacked(tables, batches, join="inner").set_index("well_id")
            for tables in (adjusted_expression, expression_matrix)
        ),
        usable=usable,
        seed=rule.seed,
    )
    if "latent" in features:
        sets["latent"] = FeatureSet(features["latent"][0], features["latent"][1])
    calls = pd.concat(
        [
            call_combined_hits(sets, wells, usable=usable, rule=rule).assign(feature_space="combined"),
            *(
                call_hits(adjusted, unadjusted, wells, usable=usable, rule=rule).assign(feature_space=space)
                for space, (adjusted, unadjusted) in features.items()
            ),
        ],
        ignore_index=True,
    )
    calls = calls.assign(model_version=version).reindex(
        columns=[column.name for column in TABLES["hit_calls"].columns]
    )
    shown = calls_shown(calls)
    compared = int(shown["p_replicate"].notna().sum())
    is_hit = calls["hit_class"].isin(HIT_CLASSES)
    return table_result(
        "hit_calls",
        calls,
        {
            "top_ten": top_hits(shown),
            "report": served_link("/reports/screen.html"),
            "batches": ", ".join(batches),
            **{
                f"hits_{space}": int(count)
                for space, count in is_hit.groupby(calls["feature_space"]).sum().items()
            },
            **({} if lineage is None else {"hits_both": _hits_in_both(calls[is_hit])}),
            **{str(name): int(count) for name, count in shown["hit_class"].value_counts().items()},
            "preview": preview(
                shown[["rank", "metabolite", "hit_class", "q_replicate", "direction", "reason"]], 20
            ),
        },
        model_version=version,
        training_batches=None if lineage is None else lineage.training_batches,
        check_results=[
            dg.AssetCheckResult(
                asset_key="hit_calls",
                check_name=HITS_CHECK,
                passed=compared > 0,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{compared} of {len(shown)} metabolites have usable replicates in different "
                f"{'batches' if rule.replicate_unit == 'batch' else 'batches or plates'} of {', '.join(batches)}"
                + ("" if compared else "; nothing can be called, every metabolite is inconclusive"),
            )
        ],
    )


def _hits_in_both(hits: "pd.DataFrame") -> int:
    """Metabolites that are a hit in the latent and in expression, each by itself."""
    hits = hits[hits["feature_space"].isin(["latent", "expression"])]
    return int((hits.groupby("metabolite")["feature_space"].nunique() == 2).sum())


@dg.multi_asset(
    name="fit_latent_map",
    outs={asset: table_out(asset, __name__, OWNERS) for asset in ("latent_map_axes", "latent_map_reference")},
)
def fit_latent_map(
    context: dg.AssetExecutionContext,
    config: Launchpad[LatentMapSettings],
    storage: Storage,
    well_qc: Mapping[str, Frame],
    latent_embeddings: Mapping[str, Frame],
) -> Iterator[TableResult]:
    """Fit the map on the batches the model was trained on, so that a new batch does not move it."""
    from tcell_assets.science.screen.latent_map import fit_latent_map as fit_map

    if is_left_out(context, storage):
        return
    lineage, scored = scored_with_one_model(context, storage, "latent_embeddings")
    trained_on = [batch for batch in scored if batch in (lineage.training_batches or {})] or scored
    quality = stacked(well_qc, trained_on)
    latents = stacked(latent_embeddings, trained_on)
    latents = latents[latents["well_id"].isin(quality.loc[quality["qc_pass"], "well_id"])]
    fitted = fit_map(latents[["well_id", *LATENT_COLUMNS]], **asdict(config.settings()))
    explained = fitted.explained.set_index("component")["explained_variance_ratio"]
    shown = {
        "fitted_on": ", ".join(trained_on),
        "explained_pca_1": float(explained["pca_1"]),
        "explained_pca_2": float(explained["pca_2"]),
    }
    tables = {
        "latent_map_axes": fitted.axes.assign(
            explained_pca_1=explained["pca_1"], explained_pca_2=explained["pca_2"]
        ),
        "latent_map_reference": TABLES["latent_map_reference"].with_absent_columns(fitted.reference),
    }
    for asset, table in tables.items():
        yield table_result(
            asset,
            table.assign(model_version=lineage.model_version),
            shown,
            model_version=lineage.model_version,
            training_batches=lineage.training_batches,
        )


@table_asset("expression_map", owners=OWNERS)
def expression_map(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_qc: Mapping[str, Frame],
    adjusted_expression: Mapping[str, Frame],
    hit_calls: Frame,
) -> TableResult:
    """Place every well on two principal components of adjusted expression; no model is needed."""
    from tcell_assets.exports.hits import class_of_wells
    from tcell_assets.science.screen.expression_map import expression_map as map_expression

    _, batches = batches_to_sum_up(context, storage, "latent_embeddings", "adjusted_expression")
    quality = stacked(well_qc, batches)[["well_id", "qc_pass"]]
    shared = stacked(adjusted_expression, batches, join="inner").set_index("well_id")
    fitted = map_expression(shared, quality.set_index("well_id")["qc_pass"])
    wells = stacked(well_metadata, batches)
    wells = wells.assign(hit_class=class_of_wells(wells, hit_calls))
    wells = wells[["well_id", "batch", "plate", "metabolite", "is_dmso", "hit_class"]]
    table = wells.merge(fitted.coordinates, on="well_id", validate="one_to_one").merge(
        quality, on="well_id", validate="one_to_one"
    )
    first, second = fitted.explained
    return table_result(
        "expression_map",
        table.assign(explained_pca_1=first, explained_pca_2=second)[
            [column.name for column in TABLES["expression_map"].columns]
        ],
        {
            "batches": ", ".join(batches),
            "explained": f"{first:.0%} and {second:.0%} of the variance of expression",
        },
    )


@table_asset("latent_map", owners=OWNERS, output_required=False)
def latent_map(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    latent_embeddings: Mapping[str, Frame],
    well_predictions: Mapping[str, Frame],
    latent_map_axes: Frame,
    latent_map_reference: Frame,
    hit_calls: Frame,
) -> Iterator[TableResult]:
    """Project every scored well into the fitted map."""
    import pandas as pd

    from tcell_assets.exports.hits import class_of_wells
    from tcell_assets.science.screen.latent_map import LatentMap, project

    if is_left_out(context, storage):
        return
    lineage, scored = scored_with_one_model(context, storage, "latent_embeddings")
    for asset in ("latent_map_axes", "latent_map_reference", "hit_calls"):
        require_model(storage, asset, [None], lineage.model_version)
    fitted = LatentMap(
        axes=latent_map_axes[["feature", "mean", "pca_1", "pca_2"]],
        explained=pd.DataFrame(
            {
                "component": ["pca_1", "pca_2"],
                "explained_variance_ratio": [latent_map_axes[f"explained_pca_{axis}"][0] for axis in (1, 2)],
            }
        ),
        reference=latent_map_reference.drop(columns="model_version").dropna(axis="columns", how="all"),
    )
    coordinates = project(fitted, stacked(latent_embeddings, scored))
    wells = stacked(well_metadata, scored)
    wells = wells.assign(hit_class=class_of_wells(wells, hit_calls))
    wells = wells[["well_id", "batch", "plate", "metabolite", "is_dmso", "hit_class"]]
    predicted = [*(target.prediction for target in evaluated(known_targets())), "qc_pass"]
    table = wells.merge(coordinates, on="well_id", validate="one_to_one").merge(
        stacked(well_predictions, scored).reindex(columns=["well_id", *predicted]),
        on="well_id",
        validate="one_to_one",
    )
    table = table.assign(
        is_reference=table["well_id"].isin(latent_map_reference["well_id"]),
        model_version=lineage.model_version,
    )
    yield table_result(
        "latent_map",
        TABLES["latent_map"].with_absent_columns(table),
        {
            "batches": ", ".join(scored),
            "wells_projected": int((~table["is_reference"]).sum()),
            "explained": f"{latent_map_axes['explained_pca_1'][0]:.0%} and "
            f"{latent_map_axes['explained_pca_2'][0]:.0%} of the latent's variance",
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@table_asset("phenotype_correlation", owners=OWNERS, output_required=False)
def phenotype_correlation(
    context: dg.AssetExecutionContext,
    config: Launchpad[CorrelationSettings],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    dmso_distances: Mapping[str, Frame],
    latent_embeddings: Mapping[str, Frame],
    hit_calls: Frame,
) -> Iterator[TableResult]:
    """Correlate distances, direction and latent coordinates with the scores, as measured and adjusted."""
    from tcell_assets.science.conditions import conditions, is_treated
    from tcell_assets.science.screen.phenotype_correlation import phenotype_correlation as correlate

    if is_left_out(context, storage):
        return
    settings = config.settings()
    lineage, scored = scored_with_one_model(context, storage, "dmso_distances")
    require_model(storage, "latent_embeddings", scored, lineage.model_version)
    require_model(storage, "hit_calls", [None], lineage.model_version)
    wells = stacked(well_metadata, scored)
    distances = stacked(dmso_distances, scored)
    direction = hit_calls[hit_calls["feature_space"] == "latent"].set_index("metabolite")["direction"]
    by_well = conditions(wells).where(is_treated(wells)).map(direction).set_axis(wells["well_id"])
    quantities = distances[["well_id", *(distance.name for distance in DISTANCES)]].assign(
        direction=by_well.loc[distances["well_id"]].to_numpy()
    )
    quantities = quantities.merge(
        stacked(latent_embeddings, scored)[["well_id", *LATENT_COLUMNS]], on="well_id", validate="one_to_one"
    )
    correlations = correlate(
        quantities,
        wells,
        adjustment=settings.position_adjustment,
        usable=distances.set_index("well_id")["qc_pass"],
        draws=settings.draws,
        level=settings.level,
        seed=settings.seed,
    )
    named = correlations[~correlations["quantity"].isin(LATENT_COLUMNS)]
    yield table_result(
        "phenotype_correlation",
        correlations.assign(model_version=lineage.model_version),
        {
            "batches": ", ".join(scored),
            "position_adjustment": settings.position_adjustment,
            "preview": preview(
                named[["quantity", "target", "adjusted", "spearman", "spearman_low", "spearman_high"]], 24
            ),
        },
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )
