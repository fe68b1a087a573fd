"""`tcell models`: every version with what it was trained on, and which one is current."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.output import echo_table

if TYPE_CHECKING:
    from tcell_assets.commands.platform import Platform
    from tcell_assets.lake.models import Promotion


@click.group(
    "models",
    epilog="Examples:\n\n  tcell models list\n\n  tcell models promote model-0123456789ab --why 'better on tc7'\n\n"
    "  tcell models rollback --why 'tc7 looks wrong'",
)
def models_command() -> None:
    """List the model versions, and choose the one that scores.

    Every version stays on disk. What an older model scored stays too and is out of date until it is scored again.
    """


@models_command.command("list")
def list_command() -> None:
    """List every version, oldest first, with its training set, validation loss and the batches it scored."""
    from tcell_assets.commands.platform import open_platform

    with open_platform() as platform:
        models = platform.storage.models()
        versions, current = models.versions(), models.current()
        for fault in models.damaged().values():
            click.echo(f"damaged: {fault}", err=True)
        if current is not None and current not in {*versions, *models.damaged()}:
            click.echo(models.gone(current), err=True)
        if not versions:
            click.echo("no model yet; train one with `tcell train`")
            return
        scored = scored_batches(platform)
        echo_table([_row(platform, version, current, scored) for version in versions])
        for move in models.promotions():
            what = "rolled back to" if move.is_rollback else "promoted"
            click.echo(f"{move.when}  {what} {move.version} by {move.who}: {move.why}")
        stale = sorted(
            batch for version, batches in scored.items() if version != current for batch in batches
        )
        if stale:
            click.echo(f"stale: {', '.join(stale)}; `tcell backfill` scores them with {current}")


@models_command.command("promote")
@click.argument("version")
@click.option("--why", default="by hand", show_default=True, help="Kept with the promotion.")
def promote_command(version: str, why: str) -> None:
    """Make VERSION the current model."""
    from tcell_assets.commands.platform import open_platform

    with open_platform() as platform:
        models = platform.storage.models()
        if models.current() == version:
            click.echo(f"{version} is the current model already")
            return
        _tell(platform, models.promote(version, who=getpass.getuser(), why=why))


@models_command.command("rollback")
@click.option("--why", default="by hand", show_default=True, help="Kept with the step back.")
def rollback_command(why: str) -> None:
    """Go back to the model before the current one; it is not promoted again by itself."""
    from tcell_assets.commands.platform import open_platform

    with open_platform() as platform:
        _tell(platform, platform.storage.models().rollback(who=getpass.getuser(), why=why))


def scored_batches(platform: Platform) -> dict[str, list[str]]:
    """Return the batches whose predictions stand in the lake, by the model that made them."""
    lake = platform.storage.lake()
    scored: dict[str, list[str]] = {}
    for batch in lake.batches("well_predictions"):
        scored.setdefault(str(lake.lineage("well_predictions", batch).model_version), []).append(batch)
    return scored


def _row(
    platform: Platform, version: str, current: str | None, scored: dict[str, list[str]]
) -> dict[str, Any]:
    from tcell_assets.science.model.trained_model import ModelError, load_model

    try:
        model = load_model(platform.storage.models().folder(version))
    except ModelError as error:
        click.echo(f"damaged: {error}", err=True)
        return {
            **dict.fromkeys(
                ("", "version", "created", "preset", "genes", "trained on", "validation loss"), "?"
            ),
            "": "current" if version == current else "",
            "version": version,
            "scored": ", ".join(scored.get(version, [])) or "-",
        }
    validation = model.history.query("is_best and split == 'val'")["total"]
    return {
        "": "current" if version == current else "",
        "version": version,
        "created": model.created_at,
        "preset": model.settings.preset,
        "genes": len(model.genes),
        "trained on": ", ".join(model.batch_hashes),
        "validation loss": f"{float(validation.iloc[0]):.4g}",
        "scored": ", ".join(scored.get(version, [])) or "-",
    }


def _tell(platform: Platform, promotion: Promotion) -> None:
    from tcell_assets.defs.checks import report_stale_predictions

    click.echo(f"{promotion.version} is current now; before: {promotion.previous or 'none'}")
    storage = platform.storage
    stale = report_stale_predictions(platform.instance, storage.lake(), storage.models(), promotion.version)
    if stale:
        click.echo(
            f"{len(stale)} batches were scored by another model and are stale: {', '.join(stale)}; the nightly "
            "schedule or `tcell backfill` scores them again"
        )
