"""Can these wells and this layout be trusted: quality control, position, design and swap audits, adjustment."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from tcell_assets.defs.checks import batch_check, selected
from tcell_assets.defs.io_managers import Frame
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import (
    TableResult,
    bullet_list,
    picture,
    preview,
    table_asset,
    table_out,
    table_result,
)
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import Storage
from tcell_assets.lake.copies import COPIES, copies_of, sentences
from tcell_assets.science.plates.settings import (
    AdjustmentSettings,
    DesignThresholds,
    PositionThresholds,
    QualityThresholds,
    SwapThresholds,
)

if TYPE_CHECKING:
    import pandas as pd

OWNERS = ["team:screening"]

FEWEST_USABLE_SHARE = 0.5
FEWEST_USABLE_DMSO = 3
COUNTED_ONCE = "wells_counted_once"
POSITION_CHECK = "position_explains_little"


@dg.multi_asset(
    name="check_quality",
    outs={asset: table_out(asset, __name__, OWNERS) for asset in ("well_qc", "plate_qc")},
    deps=["count_matrix"],
    check_specs=[
        batch_check(
            "well_qc",
            "enough_usable_wells",
            "At least half of all wells and 3 DMSO wells pass.",
            blocking=True,
        ),
        batch_check(
            "well_qc",
            COUNTED_ONCE,
            "No well holds what another well of the screen held before. Copies fail and count nowhere; `duplicates: "
            "allow` in screen.yaml counts them.",
        ),
        batch_check("plate_qc", "plates_unflagged", "No plate is flagged."),
    ],
    partitions_def=screening_batches,
    can_subset=True,
)
def check_quality(
    context: dg.AssetExecutionContext,
    config: Launchpad[QualityThresholds],
    storage: Storage,
    well_metadata: Frame,
    expression_matrix: Frame,
) -> Iterator[TableResult | dg.AssetCheckResult]:
    """Judge every well against its plate, and every plate by its wells, controls and patterns."""
    from tcell_assets.science.conditions import is_empty
    from tcell_assets.science.counts.count_table import counts_from_table
    from tcell_assets.science.plates.plate_figures import plate_heat_maps
    from tcell_assets.science.plates.well_quality import plate_qc, well_qc

    batch = context.partition_key
    table = storage.lake().read("count_matrix", batch)
    well_ids = well_metadata["well_id"].tolist()
    counts, genes = counts_from_table(table, well_ids) if len(table) else (None, None)
    vst = expression_matrix.set_index("well_id")
    wells = well_qc(well_metadata, vst, counts, genes, config.settings())
    positive = set(well_metadata.loc[well_metadata["sample_type"] == "positive_control", "metabolite"])
    plates = plate_qc(well_metadata, wells, positive_controls=positive, thresholds=config.settings())
    by_well = wells.set_index("well_id")
    shown = by_well["total_umi"] if counts is not None else by_well["rle_iqr"]
    what, unit = ("UMI a well", "UMI") if counts is not None else ("spread of relative expression", "log2")
    figure = plate_heat_maps({"raw": shown}, well_metadata, f"{batch}: {what}", unit)

    # After the plates were judged: a copied plate is as sound as the first.
    copies = copies_of(storage.lake(), batch)
    repeats = wells["well_id"].map(copies)
    reasons = (
        wells["qc_reason"].where(wells["qc_reason"] == "", wells["qc_reason"] + "; ") + "copy of " + repeats
    )
    wells = wells.assign(
        qc_pass=wells["qc_pass"] & repeats.isna(),
        qc_reason=reasons.where(repeats.notna(), wells["qc_reason"]),
    )
    counted_twice = "; ".join(sentences(storage.lake(), batch, copies, len(wells)))
    usable_dmso = int(wells.loc[well_metadata["is_dmso"].to_numpy(), "qc_pass"].sum())
    if "well_qc" in context.op_execution_context.selected_output_names:
        failed = wells.loc[~wells["qc_pass"], ["well_id", "qc_reason"]]
        yield table_result(
            "well_qc",
            wells,
            {
                "wells_failed": len(failed),
                "usable_dmso_wells": usable_dmso,
                "failed": preview(failed, 20),
                "plates": picture(figure.thumbnail),
                "figure": storage.keep_figure(f"{batch}/well_qc.png", figure.full),
                COPIES: dg.MetadataValue.json(copies),
            },
        )
        if copies:
            context.log.warning(counted_twice)
        yield from selected(
            context,
            dg.AssetCheckResult(
                asset_key="well_qc",
                check_name=COUNTED_ONCE,
                passed=not copies,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{counted_twice}; they count nowhere until screen.yaml says `duplicates: allow`"
                if copies
                else f"no well of {batch} holds what another held before",
                metadata={"copies": len(copies)},
            ),
        )
        judged = wells.loc[~is_empty(well_metadata), "qc_pass"]
        usable = float(judged.mean()) if len(judged) else 0.0
        yield from selected(
            context,
            dg.AssetCheckResult(
                asset_key="well_qc",
                check_name="enough_usable_wells",
                passed=usable >= FEWEST_USABLE_SHARE and usable_dmso >= FEWEST_USABLE_DMSO,
                description=f"{judged.sum()} of {len(judged)} of {batch} pass, {usable_dmso} DMSO; "
                f"at least {FEWEST_USABLE_SHARE:.0%} and {FEWEST_USABLE_DMSO} are needed."
                + (f" {counted_twice}: copies count nowhere." if copies else ""),
                metadata={"usable_share": usable, "usable_dmso_wells": usable_dmso},
            ),
        )
    if "plate_qc" in context.op_execution_context.selected_output_names:
        flagged = plates[plates["flag"] != "ok"]
        yield table_result("plate_qc", plates, {"plates_flagged": len(flagged), "preview": preview(plates)})
        yield from selected(
            context,
            dg.AssetCheckResult(
                asset_key="plate_qc",
                check_name="plates_unflagged",
                passed=flagged.empty,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(f"plate {row.plate}: {row.flag_reason}" for row in flagged.itertuples())
                or f"all {len(plates)} plates of {batch} look sound",
            ),
        )


@table_asset(
    "position_audit",
    partitions_def=screening_batches,
    owners=OWNERS,
    check_specs=[
        batch_check(
            "position_audit", POSITION_CHECK, "No variable can be predicted from the plate position alone."
        )
    ],
)
def position_audit(
    config: Launchpad[PositionThresholds],
    well_metadata: Frame,
    expression_matrix: Frame,
    well_qc: Frame,
) -> TableResult:
    """What plate, row and column alone predict of depth, targets and expression, whole metabolites held out."""
    from tcell_assets.science.plates.audit_variables import batch_variables
    from tcell_assets.science.plates.position import position_audit as audit_position
    from tcell_assets.science.plates.position import worst_verdict

    variables = batch_variables(well_metadata, expression_matrix.set_index("well_id"), well_qc)
    audit = audit_position(variables, well_metadata, config.settings())
    verdict = worst_verdict(audit)
    return table_result(
        "position_audit",
        audit,
        {
            "verdict": verdict,
            "preview": preview(audit[["variable", "r2", "auc", "verdict", "finding"]], 20),
            **{
                f"r2_{name}": float(value)
                for name, value in audit.set_index("variable")["r2"].dropna().items()
            },
        },
        check_results=[position_check("position_audit", audit)],
    )


@table_asset("adjusted_expression", partitions_def=screening_batches, owners=OWNERS)
def adjusted_expression(
    config: Launchpad[AdjustmentSettings],
    well_metadata: Frame,
    expression_matrix: Frame,
    well_qc: Frame,
    position_audit: Frame,
) -> TableResult:
    """Expression with the plate position taken out by usable wells' medians."""
    adjusted, method = adjusted_for_position(
        expression_matrix.set_index("well_id"), well_metadata, config, position_audit, well_qc
    )
    return table_result(
        "adjusted_expression", adjusted.astype("float32").reset_index(), {"position_adjustment": method}
    )


@table_asset(
    "design_audit",
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "layout_allows_conclusions",
            asset="design_audit",
            description="Replicates, DMSO wells and targets are laid out so that effects can be told from position.",
        )
    ],
)
def design_audit(config: Launchpad[DesignThresholds], well_metadata: Mapping[str, Frame]) -> TableResult:
    """What the screen's layout allows to be concluded."""
    import json

    import pandas as pd

    from tcell_assets.science.plates.audit_variables import audited_targets, scores_and_labels
    from tcell_assets.science.plates.design_audit import audit_design

    wells: pd.DataFrame = pd.concat(well_metadata.values(), ignore_index=True)
    audit = audit_design(wells, *scores_and_labels(audited_targets(wells)), thresholds=config.settings())
    values = audit.to_dict()
    findings = values.pop("findings")
    rows = [(name, json.dumps(value)) for name, value in values.items()]
    rows += [(f"finding {number}", text) for number, text in enumerate(findings, start=1)]
    return table_result(
        "design_audit",
        pd.DataFrame(rows, columns=["quantity", "value"]),
        {
            "verdict": audit.verdict,
            "findings": bullet_list(findings),
        },
        check_results=[
            dg.AssetCheckResult(
                asset_key="design_audit",
                check_name="layout_allows_conclusions",
                passed=audit.verdict == "ok",
                severity=dg.AssetCheckSeverity.WARN,
                description="\n".join(findings),
            )
        ],
    )


@table_asset(
    "plate_similarity",
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "no_suspected_swap",
            asset="plate_similarity",
            description="Every plate resembles its own batch more than another.",
        )
    ],
    deps=["expression_matrix"],
)
def plate_similarity(
    config: Launchpad[SwapThresholds],
    storage: Storage,
    well_metadata: Mapping[str, Frame],
    well_qc: Mapping[str, Frame],
) -> TableResult:
    """Correlation of every pair of plate maps; plates that resemble the other batch may have been swapped.

    The maps are those of the scores, without scores those of depth, and without counts those of expression.
    """
    import pandas as pd

    from tcell_assets.science.plates.audit_variables import (
        audited_depth,
        audited_expression,
        audited_targets,
        scores_and_labels,
        usable_rows,
    )
    from tcell_assets.science.plates.plate_similarity import plate_similarity as compare_plates
    from tcell_assets.science.plates.plate_similarity import suspected_swaps, swaps_by_profile

    wells: pd.DataFrame = pd.concat(well_metadata.values(), ignore_index=True)
    quality = pd.concat(well_qc.values(), ignore_index=True)
    scores, _ = scores_and_labels(usable_rows(audited_targets(wells), quality))
    maps = scores if scores.shape[1] else audited_depth(quality)
    if not maps.shape[1]:
        maps = audited_expression(usable_expression(storage, well_metadata, quality))
    similarity = compare_plates(maps, wells, config.settings())
    swaps = suspected_swaps(similarity, config.settings())
    if similarity[["batch_a", "batch_b"]].stack().nunique() > 2:
        profiles = plate_profiles_of(storage, well_metadata, wells, quality)
        known = {swap.plates for swap in swaps}
        by_profile = swaps_by_profile(profiles, similarity, config.settings())
        swaps += [swap for swap in by_profile if swap.plates not in known]
    pairs = {frozenset(swap.plates) for swap in swaps}
    suspected = [
        frozenset(pair) in pairs for pair in zip(similarity["plate_a"], similarity["plate_b"], strict=True)
    ]
    findings = "; ".join(swap.finding for swap in swaps)
    return table_result(
        "plate_similarity",
        similarity.assign(is_suspected_swap=suspected),
        {"suspected_swaps": findings or "none"},
        check_results=[
            dg.AssetCheckResult(
                asset_key="plate_similarity",
                check_name="no_suspected_swap",
                passed=not swaps,
                severity=dg.AssetCheckSeverity.WARN,
                description=findings or "every plate resembles its own batch most",
            )
        ],
    )


def plate_profiles_of(
    storage: Storage, batches: Collection[str], wells: "pd.DataFrame", quality: "pd.DataFrame"
) -> "pd.DataFrame":
    """Mean expression of every plate's usable wells over the shared genes; one batch at a time is in memory."""
    import pandas as pd

    from tcell_assets.science.plates.audit_variables import usable_rows
    from tcell_assets.science.plates.plate_similarity import plate_profiles

    lake = storage.lake()
    profiles = [
        plate_profiles(usable_rows(lake.expression(batch), quality), wells) for batch in sorted(batches)
    ]
    return pd.concat(profiles, join="inner")


def usable_expression(storage: Storage, batches: Collection[str], quality: "pd.DataFrame") -> "pd.DataFrame":
    """Expression of the usable wells of these batches, their shared genes; read only where nothing else is known."""
    import pandas as pd

    from tcell_assets.science.plates.audit_variables import usable_rows

    tables = [storage.lake().expression(batch) for batch in sorted(batches)]
    return usable_rows(pd.concat(tables, join="inner"), quality)


def position_check(asset: str, audit: "pd.DataFrame") -> dg.AssetCheckResult:
    """Return the warning that a position audit's verdict is, with its findings in words."""
    doubtful = audit[audit["verdict"] != "ok"]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=POSITION_CHECK,
        passed=doubtful.empty,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(doubtful["finding"]) or "position on the plate predicts none of the variables",
        metadata={"variables_in_doubt": len(doubtful)},
    )


def adjusted_for_position(
    values: "pd.DataFrame",
    wells: "pd.DataFrame",
    config: Launchpad[AdjustmentSettings],
    audit: "pd.DataFrame",
    quality: "pd.DataFrame",
) -> "tuple[pd.DataFrame, str]":
    """Return the values with the position taken out as the audit's verdict asks for, and how that was done."""
    from tcell_assets.science.plates.position import adjust_for_position, resolve_adjustment, worst_verdict

    method = resolve_adjustment(config.settings().position_adjustment, worst_verdict(audit))
    usable = quality.set_index("well_id")["qc_pass"]
    return adjust_for_position(values, wells, method, usable=usable), method
