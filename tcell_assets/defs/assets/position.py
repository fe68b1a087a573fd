"""Position once a model has embedded the wells: adjusted latents, plate maps, and the screen's own audit.

They read latents: among the assets of quality control, which scoring reads, they would close the groups to a circle.
"""

from collections.abc import Mapping

import dagster as dg

from tcell_assets.defs.assets.quality import (
    OWNERS,
    POSITION_CHECK,
    adjusted_for_position,
    position_check,
    usable_expression,
)
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import (
    TableResult,
    group_of,
    picture,
    preview,
    stage_tag,
    table_asset,
    table_result,
)
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import Storage
from tcell_assets.lake import stages
from tcell_assets.lake.tables.columns import LATENT_COLUMNS
from tcell_assets.science.plates.settings import AdjustmentSettings, PositionThresholds


@table_asset("adjusted_embeddings", partitions_def=screening_batches, owners=OWNERS)
def adjusted_embeddings(
    context: dg.AssetExecutionContext,
    config: Launchpad[AdjustmentSettings],
    storage: Storage,
    well_metadata: Frame,
    latent_embeddings: Frame,
    well_qc: Frame,
    position_audit: Frame,
) -> TableResult:
    """Latents with the plate position taken out by usable wells' medians."""
    lineage = storage.lake().lineage("latent_embeddings", context.partition_key)
    latents = latent_embeddings.set_index("well_id")[list(LATENT_COLUMNS)]
    adjusted, method = adjusted_for_position(latents, well_metadata, config, position_audit, well_qc)
    return table_result(
        "adjusted_embeddings",
        adjusted.astype("float32").reset_index().assign(model_version=lineage.model_version),
        {"position_adjustment": method},
        model_version=lineage.model_version,
        training_batches=lineage.training_batches,
    )


@dg.asset(
    group_name=group_of(__name__),
    partitions_def=screening_batches,
    owners=OWNERS,
    kinds={"matplotlib"},
    tags=stage_tag(stages.SCORE),
    code_version="1",
    description="Plate maps of depth, scores and latent norm in real plate geometry, before and after position "
    "adjustment: a thumbnail here, the full figures in `storage/figures/<batch>/`.",
)
def plate_maps(
    context: dg.AssetExecutionContext,
    storage: Storage,
    well_metadata: Frame,
    well_qc: Frame,
    latent_embeddings: Frame,
    position_audit: Frame,
) -> None:
    """Draw the maps; wells that fail quality control are shown but enter no median of the adjustment."""
    from tcell_assets.science.plates.audit_variables import audited_depth, audited_targets
    from tcell_assets.science.plates.plate_figures import plate_heat_maps
    from tcell_assets.science.plates.position import adjust_for_position, resolve_adjustment, worst_verdict

    batch = context.partition_key
    latent_norm = latent_embeddings.set_index("well_id")[["latent_norm"]]
    variables = (
        latent_norm.join(audited_targets(well_metadata)).join(audited_depth(well_qc)).astype("float64")
    )
    usable = well_qc.set_index("well_id")["qc_pass"]
    method = resolve_adjustment("auto", worst_verdict(position_audit))
    for variable in variables:
        raw = variables[[variable]].dropna()
        adjusted = adjust_for_position(raw, well_metadata, method, usable=usable)
        figure = plate_heat_maps(
            {"raw": raw[variable], f"after {method}": adjusted[variable]},
            well_metadata,
            f"{batch}: {variable}",
            str(variable),
        )
        context.add_output_metadata(
            {
                str(variable): picture(figure.thumbnail),
                f"{variable}_figure": storage.keep_figure(f"{batch}/{variable}.png", figure.full),
            }
        )


@table_asset(
    "screen_position_audit",
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            POSITION_CHECK,
            asset="screen_position_audit",
            description="No variable of the screen can be predicted from the plate position alone.",
        )
    ],
    deps=["expression_matrix", "adjusted_embeddings"],
)
def screen_position_audit(
    config: Launchpad[PositionThresholds],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_qc: Mapping[str, Frame],
) -> TableResult:
    """The screen's verdict: what plate, row and column alone predict over all batches, latents included.

    Before a model has embedded any batch the first principal components of expression stand in for the latents.
    """
    import pandas as pd

    from tcell_assets.science.plates.audit_variables import (
        audited_depth,
        audited_expression,
        audited_latents,
        audited_targets,
        usable_rows,
    )
    from tcell_assets.science.plates.position import position_audit as audit_position
    from tcell_assets.science.plates.position import worst_verdict

    wells: pd.DataFrame = pd.concat(well_metadata.values(), ignore_index=True)
    quality = pd.concat(well_qc.values(), ignore_index=True)
    variables = usable_rows(audited_targets(wells), quality).join(audited_depth(quality))
    lake = storage.lake()
    embedded = [batch for batch in sorted(well_metadata) if lake.exists("latent_embeddings", batch)]
    if embedded:
        latents = pd.concat([lake.read("latent_embeddings", batch) for batch in embedded], ignore_index=True)
        variables = variables.join(usable_rows(audited_latents(latents), quality))
    else:
        variables = variables.join(audited_expression(usable_expression(storage, well_metadata, quality)))
    audit = audit_position(variables, wells, config.settings())
    return table_result(
        "screen_position_audit",
        audit,
        {
            "verdict": worst_verdict(audit),
            "batches": ", ".join(sorted(well_metadata)),
            "preview": preview(audit[["variable", "r2", "auc", "verdict", "finding"]], 20),
        },
        check_results=[position_check("screen_position_audit", audit)],
    )
