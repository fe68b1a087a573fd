"""`tcell targets`: what is known of wells and learnt here, and what this installation's own declaration adds."""

from __future__ import annotations

import click


@click.command("targets", epilog="Example:\n\n  tcell targets")
def targets_command() -> None:
    """List the targets: their columns, spellings and weights. A declaration that cannot be used is said here."""
    from tcell_assets.commands.output import echo_table
    from tcell_assets.lake.tables import TABLES
    from tcell_assets.landing.targets import landing_targets
    from tcell_assets.targets import TARGETS, declaration_path

    targets = landing_targets()
    # Looked up for its error alone: a target that is called as another column of a table.
    list(TABLES.values())
    echo_table(
        [
            {
                "target": target.name,
                "kind": target.kind,
                "unit": target.unit or "-",
                "predicted as": target.prediction,
                "weight": target.weight_setting or f"{target.weight:g}",
                "spellings": ", ".join(target.spellings) or "-",
                "declared in": "the code" if target in TARGETS else declaration_path().name,
            }
            for target in targets
        ]
    )
    click.echo(f"\nFurther targets are declared in {declaration_path()}; see docs/targets.md.")
