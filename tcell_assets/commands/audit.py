"""`tcell audit`: is the layout of a screen fit to tell effects from position, before an ingest or a sequencer?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from tcell_assets.landing.batch import LandedBatch

NOT_JUDGED = "not judged"
# Fewer usable wells have no principal components.
FEWEST_WELLS = 3


@click.command("audit", epilog="Examples:\n\n  tcell audit data\n\n  tcell audit published/ --json")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: verdict, position, batches, not_judged, swap_suspects, design, power, understood.",
)
def audit_command(source: Path, as_json: bool) -> None:
    """Audit the layout and values of SOURCE: a published-layout folder, a batch folder, or a folder of batches.

    The folders are read as an ingest reads them. Where a matrix lies there, its depth and expression are judged as the
    ingested batch's are; without one the plate map and the targets alone are. The position audit asks how well plate,
    row and column alone predict each variable, whole compounds held out; the swap audit which plates resemble the other
    batch; the design audit what the layout allows.
    """
    from tcell_assets.landing.sample_sheet import read_screen

    wells, landed, understood = read_screen(source)
    report = audit_screen(wells, landed)
    if as_json:
        report["understood"] = [each.to_dict() for each in understood]
        click.echo(json.dumps(report, indent=2, allow_nan=False))
        return
    click.echo(f"Position: {report['verdict']}")
    _echo_position(report["position"])
    for batch, found in report["batches"].items():
        click.echo(f"Position in batch {batch}: {found['verdict']}")
        _echo_position(found["position"])
    for text in report["not_judged"]:
        click.echo(f"  [{NOT_JUDGED}] {text}")
    click.echo("Swapped plates: " + ("none suspected" if not report["swap_suspects"] else ""))
    for suspect in report["swap_suspects"]:
        click.echo(f"  {suspect['finding']}")
    click.echo(f"Design: {report['design']['verdict']}")
    for finding in report["design"]["findings"]:
        click.echo(f"  {finding}")
    click.echo(f"Power: {report['power']['sentence']}")
    for each in understood:
        click.echo("Read as " + "\n".join(each.lines()))


def audit_screen(wells: pd.DataFrame, landed: list[LandedBatch]) -> dict[str, Any]:
    """Return the three audits as plain values.

    Args:
        wells: Well metadata of the whole screen, targets where known.
        landed: The batches that hold a matrix. Each is judged as its `position_audit` is after an ingest into an
            installation without a model.

    Returns:
        `verdict`, the worst of all, or `not judged` where that were ok and a batch has nothing that could be judged;
        `position`, by variable, over the screen, or of the one batch;
        `batches`, verdict and position of each where there are several; `not_judged`, what could not be and why;
        `swap_suspects`; `design`; `power`: which effect the layout finds.
    """
    from tcell_assets.science.plates.audit_variables import audited_targets, scores_and_labels
    from tcell_assets.science.plates.design_audit import audit_design
    from tcell_assets.science.plates.plate_similarity import plate_similarity, suspected_swaps
    from tcell_assets.science.plates.position import position_audit

    targets = audited_targets(wells)
    scores, labels = scores_and_labels(targets)
    expressed = {batch.name: _expression(batch) for batch in landed}
    of_batch = {batch.name: _batch_position(batch, *expressed[batch.name]) for batch in landed}
    is_one = wells["batch"].nunique() == 1 and len(of_batch) == 1
    audits = [*of_batch.values()] if is_one else [position_audit(targets, wells), *of_batch.values()]
    swaps = suspected_swaps(plate_similarity(scores, wells)) if scores.shape[1] else []
    judged = [_verdict(audit) for audit in audits if len(audit)]
    bare = _bare_batches(wells, of_batch, targets)
    return {
        "verdict": _worst([*judged, *([NOT_JUDGED] if bare or not judged else [])]),
        "position": _by_variable(audits[0]),
        "batches": {}
        if is_one
        else {
            name: {"verdict": _verdict(audit), "position": _by_variable(audit)}
            for name, audit in of_batch.items()
        },
        "not_judged": _not_judged(wells, landed, targets),
        "swap_suspects": [asdict(swap) for swap in swaps],
        "design": audit_design(wells, scores, labels).to_dict(),
        "power": _power(wells, expressed, of_batch),
    }


def _power(
    wells: pd.DataFrame,
    expressed: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
    of_batch: dict[str, pd.DataFrame],
) -> dict[str, Any]:
    """Which effect the layout finds, in expression less its position as hits are called in it."""
    import pandas as pd

    from tcell_assets.science.plates.position import adjust_for_position, resolve_adjustment, worst_verdict
    from tcell_assets.science.screen.power import Power, layout_power
    from tcell_assets.science.screen.principal_components import principal_component_features
    from tcell_assets.science.screen.settings import HitRule

    if not expressed:
        power = Power(None, {}, 0, HitRule().level, "no matrix lies there")
        return {**asdict(power), "sentence": power.sentence}
    adjusted, usable = [], []
    for batch, (expression, quality) in expressed.items():
        own = wells[wells["well_id"].isin(expression.index)]
        passed = quality.set_index("well_id")["qc_pass"].loc[expression.index]
        audit = of_batch[batch]
        method = resolve_adjustment("auto", worst_verdict(audit)) if len(audit) else "none"
        adjusted.append(adjust_for_position(expression, own, method, usable=passed))
        usable.append(passed)
    counted = pd.concat(usable)
    if counted.sum() < FEWEST_WELLS:
        power = Power(None, {}, 0, HitRule().level, f"{int(counted.sum())} wells pass quality control")
    else:
        features = principal_component_features(pd.concat(adjusted, join="inner"), usable=counted)
        power = layout_power(features, wells, usable=counted)
    return {**asdict(power), "sentence": power.sentence}


def _expression(batch: LandedBatch) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Expression of one batch and the quality of its wells, by the steps an ingest and its quality control take."""
    from tcell_assets.science.conditions import is_empty
    from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization, transform
    from tcell_assets.science.plates.well_quality import well_qc

    expression, counts, genes = batch.expression, None, None
    if batch.counts is not None:
        counts, genes = batch.counts.values, batch.counts.genes
        filled = (~is_empty(batch.wells)).nonzero()[0]
        fit = fit_variance_stabilization(
            counts[filled], genes, [batch.counts.well_ids[row] for row in filled]
        )
        expression = transform(counts, genes, batch.counts.well_ids, fit)
    assert expression is not None, "a landed batch has expression or counts"
    return expression, well_qc(batch.wells, expression, counts, genes)


def _batch_position(batch: LandedBatch, expression: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """The position audit of one batch."""
    from tcell_assets.science.plates.audit_variables import batch_variables
    from tcell_assets.science.plates.position import position_audit

    return position_audit(batch_variables(batch.wells, expression, quality), batch.wells)


def _bare_batches(wells: pd.DataFrame, of_batch: dict[str, pd.DataFrame], targets: pd.DataFrame) -> set[str]:
    """Batches of which nothing could be judged: no matrix lies there and no target is known."""
    known = targets.index[targets.notna().any(axis=1)] if targets.shape[1] else targets.index[:0]
    with_targets = set(wells.loc[wells["well_id"].isin(known), "batch"])
    with_values = {name for name, audit in of_batch.items() if len(audit)}
    return set(wells["batch"]) - with_targets - with_values


def _verdict(audit: pd.DataFrame) -> str:
    from tcell_assets.science.plates.position import worst_verdict

    return str(worst_verdict(audit)) if len(audit) else NOT_JUDGED


def _worst(verdicts: list[str]) -> str:
    """The worst that was found; what was not judged outweighs only what is ok."""
    from tcell_assets.science.plates.position import VERDICTS

    ok, *bad = VERDICTS
    order = [ok, NOT_JUDGED, *bad]
    return max(verdicts, key=order.index)


def _by_variable(audit: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        row["variable"]: {
            str(name): None if isinstance(value, float) and value != value else value
            for name, value in row.items()
            if name != "variable"
        }
        for row in audit.to_dict("records")
    }


def _not_judged(wells: pd.DataFrame, landed: list[LandedBatch], targets: pd.DataFrame) -> list[str]:
    without = sorted(set(wells["batch"]) - {batch.name for batch in landed})
    texts = [f"depth and expression of {', '.join(without)}: no matrix lies there"] if without else []
    uncounted = sorted(batch.name for batch in landed if batch.counts is None)
    texts += [f"depth of {', '.join(uncounted)}: expression says nothing of it"] if uncounted else []
    return [*texts, *([] if targets.shape[1] else ["scores and labels: the sample sheet has none"])]


def _echo_position(position: dict[str, dict[str, Any]]) -> None:
    for found in position.values():
        click.echo(f"  [{found['verdict']}] {found['finding']}")
