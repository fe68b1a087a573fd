"""`tcell ingest | train | score | screen | evaluate | ensemble | attribute | explain`: the jobs from the shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.output import echo_understood, summarize_batches
from tcell_assets.installation.progress import terminal_progress

if TYPE_CHECKING:
    import dagster as dg


@click.command("ingest", epilog="Example:\n\n  tcell ingest tc1 tc2")
@click.argument("batches", nargs=-1)
def ingest_command(batches: tuple[str, ...]) -> None:
    """Read and check BATCHES of the landing zone (default: all); a batch with problems stops no other."""
    _run_for_batches("ingest", batches)


@click.command("score", epilog="Example:\n\n  tcell score tc1 --reference plate_shrunk")
@click.argument("batches", nargs=-1)
@click.option("--model-version", default="", help="Model to score with; default: the current one.")
@click.option(
    "--importance-head", default="auto", show_default=True, help="Head that gene importance explains."
)
@click.option(
    "--reference",
    type=click.Choice(["screen", "batch", "plate", "plate_shrunk"]),
    default="batch",
    show_default=True,
    help="DMSO wells a well is compared with.",
)
def score_command(batches: tuple[str, ...], model_version: str, importance_head: str, reference: str) -> None:
    """Score BATCHES (default: all ingested ones), then measure their distances to DMSO."""
    config = {
        "ops": {
            "score_wells": {"config": {"model_version": model_version, "importance_head": importance_head}},
            "dmso_distances": {"config": {"reference": reference}},
        }
    }
    _run_for_batches("score", batches, config)


@click.command("train", epilog="Example:\n\n  tcell train --preset recommended --set epochs=20")
@click.option(
    "--preset", type=click.Choice(["published", "recommended"]), default="published", show_default=True
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one hyper-parameter.")
@click.option(
    "--again", is_flag=True, help="Start from the current model's settings, as the weekly training does."
)
def train_command(preset: str, settings: tuple[str, ...], again: bool) -> None:
    """Train a model on every ingested batch that has targets."""
    from tcell_assets.commands.platform import open_platform, trained_version
    from tcell_assets.defs.schedules import current_training_config

    with open_platform() as platform, terminal_progress():
        start = current_training_config(platform.storage.models()) if again else {}
        config = {"preset": preset, **start, **dict(_parse_setting(setting) for setting in settings)}
        result = platform.run("train", config={"ops": {"train_model": {"config": config}}})
        click.echo(f"trained {trained_version(result)}; current model: {platform.storage.models().current()}")


@click.command("screen", epilog="Example:\n\n  tcell screen")
def screen_command() -> None:
    """Sum up metabolites and genes over all scored batches.

    Without a model everything that needs none is made: audits, hits in expression, their map and the report. What is
    left out is named with the reason.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.assets.screen import reason_without_model

    with open_platform() as platform:
        result = platform.run("screen")
        lake = platform.storage.lake()
        made = {
            event.asset_key.to_user_string()
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }
        for asset in ("hit_calls", "metabolite_scores", "gene_importance_ranking", "expression_map"):
            if asset in made:
                click.echo(f"{asset}: {lake.path(asset)}")
        left_out = sorted(set(platform.assets_of("screen")) - made)
        if left_out:
            click.echo(f"left out: {', '.join(left_out)}")
            click.echo(
                f"because {reason_without_model(platform.storage) or 'its steps were skipped, see the run'}"
            )


@click.command("evaluate", epilog="Example:\n\n  tcell evaluate --scheme leave_metabolite_out")
@click.option("--scheme", "schemes", multiple=True, help="What to hold out; default: all the screen allows.")
@click.option("--folds", default=5, show_default=True, help="Folds of random and leave_metabolite_out.")
def evaluate_command(schemes: tuple[str, ...], folds: int) -> None:
    """Train the current model's settings and every plainer model on folds of the screen, and compare them."""
    config = {"schemes": list(schemes), "n_folds": folds}
    checks = _run_once("evaluate", {"ops": {"evaluate_models": {"config": config}}})
    for description in checks:
        click.echo(description)


@click.command("ensemble", epilog="Example:\n\n  tcell ensemble --members 5")
@click.option("--members", default=5, show_default=True, help="Models, the current one included.")
def ensemble_command(members: int) -> None:
    """Train the current model again from other seeds; score batches again to see their spread."""
    _run_once("ensemble", {"ops": {"ensemble_members": {"config": {"members": members}}}})


@click.command("attribute", epilog="Example:\n\n  tcell attribute tc1 --head is_activated")
@click.argument("batches", nargs=-1)
@click.option("--head", default="auto", show_default=True, help="Head to explain.")
@click.option("--steps", default=50, show_default=True, help="Points of the integral.")
def attribute_command(batches: tuple[str, ...], head: str, steps: int) -> None:
    """Integrated Gradients of BATCHES (default: all ingested ones); about 50 times the cost of scoring."""
    config = {"head": head, "steps": steps}
    _run_for_batches("attribute", batches, {"ops": {"attribute_wells": {"config": config}}})


@click.command("explain", epilog="Example:\n\n  tcell explain --gene-sets hallmark.gmt")
@click.option("--gene-sets", default="", help="A GMT file; default: activation and resting programmes.")
def explain_command(gene_sets: str) -> None:
    """Rank genes by Integrated Gradients over all attributed batches; drivers of hits; gene sets."""
    _run_once("explain", {"ops": {"gene_set_enrichment": {"config": {"gene_sets": gene_sets}}}})


def _run_once(job: str, config: dict[str, Any]) -> list[str]:
    """Run a job over the whole screen, print where its tables lie, and return what its checks say."""
    from tcell_assets.commands.platform import open_platform

    with open_platform() as platform, terminal_progress():
        result = platform.run(job, config=config)
        lake = platform.storage.lake()
        for asset in platform.assets_of(job):
            click.echo(f"{asset}: {lake.path(asset)}")
        return [str(check.description) for check in result.get_asset_check_evaluations()]


def _parse_setting(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE, e.g. epochs=20", param_hint="--set")
    return name, yaml.safe_load(value)


def _run_for_batches(job: str, batches: tuple[str, ...], config: dict[str, Any] | None = None) -> None:
    from tcell_assets.commands.platform import RunFailedError, open_platform
    from tcell_assets.lake.archive import require_present

    with open_platform() as platform, terminal_progress():
        landed = platform.register_landed_batches()
        known = landed if job == "ingest" else platform.storage.lake().batches("expression_matrix")
        unknown = sorted(set(batches) - set(known))
        for batch in unknown:
            require_present(platform.storage.lake(), batch)
        if unknown:
            raise click.BadParameter(
                f"{', '.join(unknown)}: not among {', '.join(known) or 'no batches at all'}"
            )
        outcome: dict[str, str] = {}
        for batch in batches or known:
            try:
                result = platform.run(job, batch, config)
                _tell_of_copies(result)
                outcome[batch] = "done"
                if job == "ingest":
                    echo_understood(platform.storage.lake(), batch)
            except RunFailedError as error:
                outcome[batch] = "failed"
                click.echo(f"{batch}: {error}", err=True)
    summarize_batches(job, outcome)
    if "failed" in outcome.values():
        sys.exit(1)


def _tell_of_copies(result: dg.ExecuteInProcessResult) -> None:
    """Say which wells count nowhere because the screen holds them already."""
    from tcell_assets.defs.assets.quality import COUNTED_ONCE

    for check in result.get_asset_check_evaluations():
        if check.check_name == COUNTED_ONCE and not check.passed:
            click.echo(check.description, err=True)
