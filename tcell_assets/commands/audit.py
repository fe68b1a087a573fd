"""`tcell audit`: is the layout of a screen fit to tell effects from position, before anything is sequenced?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click


@click.command("audit", epilog="Examples:\n\n  tcell audit data\n\n  tcell audit published/ --json")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: position, swap_suspects, design."
)
def audit_command(source: Path, as_json: bool) -> None:
    """Audit the layout and targets of SOURCE: a published-layout folder, a batch folder, or a folder of batches.

    Expression is not needed. The position audit asks how well plate, row and column alone predict each target, whole
    metabolites held out; the swap audit which plates resemble the other batch; the design audit what the layout allows.
    """
    from tcell_assets.landing.sample_sheet import read_sample_sheet

    report = audit_sample_sheet(read_sample_sheet(source))
    if as_json:
        click.echo(json.dumps(report, indent=2, allow_nan=False))
        return
    click.echo(f"Position: {report['verdict']}")
    for found in report["position"].values():
        click.echo(f"  [{found['verdict']}] {found['finding']}")
    if not report["position"]:
        click.echo("  no targets in the sample sheet, so there is nothing to predict from position")
    click.echo("Swapped plates: " + ("none suspected" if not report["swap_suspects"] else ""))
    for suspect in report["swap_suspects"]:
        click.echo(f"  {suspect['finding']}")
    click.echo(f"Design: {report['design']['verdict']}")
    for finding in report["design"]["findings"]:
        click.echo(f"  {finding}")


def audit_sample_sheet(wells: Any) -> dict[str, Any]:
    """Return the three audits of a sample sheet as plain values.

    Args:
        wells: Well metadata frame of the whole screen, targets where known.
    """
    from tcell_assets.science.plates.audit_variables import audited_targets
    from tcell_assets.science.plates.design_audit import audit_design
    from tcell_assets.science.plates.plate_similarity import plate_similarity, suspected_swaps
    from tcell_assets.science.plates.position import position_audit, worst_verdict

    targets = audited_targets(wells)
    labels = targets[[name for name in targets if name == "is_activated"]].dropna().astype(bool)
    scores = targets.drop(columns=labels.columns).astype("float64")
    audit = position_audit(targets, wells)
    swaps = suspected_swaps(plate_similarity(scores, wells)) if scores.shape[1] else []
    return {
        "verdict": worst_verdict(audit) if len(audit) else "ok",
        "position": {
            row["variable"]: {
                name: None if isinstance(value, float) and value != value else value
                for name, value in row.items()
                if name != "variable"
            }
            for row in audit.to_dict("records")
        },
        "swap_suspects": [asdict(swap) for swap in swaps],
        "design": audit_design(wells, scores, labels).to_dict(),
    }
