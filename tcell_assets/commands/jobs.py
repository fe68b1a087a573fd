"""`tcell ingest | train | score | screen | evaluate | ensemble | attribute | explain`: the jobs from the shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.output import echo_understood, summarize_batches
from tcell_assets.commands.settings import SettingsCommand, run_config, setting_flag
from tcell_assets.installation.progress import terminal_progress
from tcell_assets.science.evaluation.settings import EvaluationSettings
from tcell_assets.science.model.settings import (
    AttributionSettings,
    EnsembleSettings,
    ScoringSettings,
    StabilitySettings,
    TrainingRequest,
)
from tcell_assets.science.plates.settings import (
    AdjustmentSettings,
    DesignThresholds,
    PositionThresholds,
    QualityThresholds,
    SwapThresholds,
)
from tcell_assets.science.screen.settings import (
    CorrelationSettings,
    DistanceSettings,
    DriverSettings,
    EnrichmentSettings,
    HitRule,
    LatentMapSettings,
    ProfileSettings,
)

if TYPE_CHECKING:
    import dagster as dg

    from tcell_assets.commands.platform import Platform


@click.command(
    "ingest",
    cls=SettingsCommand,
    steps={
        "check_quality": QualityThresholds,
        "position_audit": PositionThresholds,
        "adjusted_expression": AdjustmentSettings,
    },
    epilog="Example:\n\n  tcell ingest tc1 tc2 --set minimum_total_umi=500",
)
@click.argument("batches", nargs=-1)
def ingest_command(batches: tuple[str, ...], config: dict[str, Any]) -> None:
    """Read and check BATCHES of the landing zone (default: all); a batch with problems stops no other."""
    _run_for_batches("ingest", batches, config)


@click.command(
    "score",
    cls=SettingsCommand,
    steps={
        "score_wells": ScoringSettings,
        "dmso_distances": DistanceSettings,
        "adjusted_embeddings": AdjustmentSettings,
    },
    epilog="Example:\n\n  tcell score tc1 --reference plate_shrunk",
)
@click.argument("batches", nargs=-1)
@setting_flag("score_wells", ScoringSettings, "model_version", "--model-version")
@setting_flag("score_wells", ScoringSettings, "importance_head", "--importance-head")
@setting_flag("dmso_distances", DistanceSettings, "reference", "--reference")
def score_command(batches: tuple[str, ...], config: dict[str, Any]) -> None:
    """Score BATCHES (default: all ingested ones), then measure their distances to DMSO."""
    _run_for_batches("score", batches, config)


@click.command(
    "train",
    cls=SettingsCommand,
    steps={"train_model": TrainingRequest},
    epilog="Example:\n\n  tcell train --preset recommended --set epochs=20",
)
@setting_flag("train_model", TrainingRequest, "preset", "--preset")
@click.option(
    "--again", is_flag=True, help="Start from the current model's settings, as the weekly training does."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what the training would take on this machine, and train nothing."
)
def train_command(again: bool, dry_run: bool, config: dict[str, Any]) -> None:
    """Train a model on every ingested batch that has targets."""
    from tcell_assets.commands.platform import open_platform, promotion_of, trained_version
    from tcell_assets.defs.schedules import current_training_config

    said = config.get("train_model", {})
    if again and "preset" in said:
        raise click.UsageError(
            "--again starts from the current model's settings, --preset from a preset; leave one out"
        )
    with open_platform() as platform, terminal_progress():
        start = current_training_config(platform.storage.models()) if again else {}
        if dry_run:
            _say_what_training_takes(platform, {**start, **said})
            return
        result = platform.run("train", config=run_config({"train_model": {**start, **said}}))
        version, current = trained_version(result), platform.storage.models().current()
        click.echo(f"trained {version}; current model: {current}")
        if version != current:
            click.echo(promotion_of(result), err=True)
        renew_expression(platform)


def _say_what_training_takes(platform: Platform, said: dict[str, Any]) -> None:
    """Echo wells, genes, device, time and memory of a training with these settings."""
    from tcell_assets.defs.assets.model_input import training_input
    from tcell_assets.defs.resources import TransformerCompute
    from tcell_assets.science.model.training_data import TrainingDataError, TrainingError

    request = TrainingRequest.form().filled(said)
    try:
        data, _, _ = training_input(platform.storage.lake(), request.training, request.n_genes)
        expectation = TransformerCompute().expect(data, request.training)
    except (TrainingDataError, TrainingError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"training would take: {expectation.line()}")


def renew_expression(platform: Platform) -> list[str]:
    """Ingest the batches again whose counts another fit than the current model's made expression; return them.

    One screen is stabilised by one fit. A training that the daemon started leaves this to the next night.
    """
    from tcell_assets.commands.platform import RunFailedError
    from tcell_assets.lake.staleness import batches_of_other_fits

    renewed = []
    for batch in batches_of_other_fits(platform.storage.lake(), platform.storage.models()):
        try:
            platform.run("ingest", batch)
            renewed.append(batch)
        except RunFailedError as error:
            click.echo(f"{batch} keeps expression of another fit than the model's: {error}", err=True)
    if renewed:
        click.echo(f"expression of {', '.join(renewed)} is stabilised by the model's own fit now")
    return renewed


@click.command(
    "screen",
    cls=SettingsCommand,
    steps={
        "hit_calls": HitRule,
        "fit_latent_map": LatentMapSettings,
        "phenotype_correlation": CorrelationSettings,
        "screen_position_audit": PositionThresholds,
        "design_audit": DesignThresholds,
        "plate_similarity": SwapThresholds,
        "profile_conditions": ProfileSettings,
    },
    epilog="Example:\n\n  tcell screen --set replicate_unit=plate --set hit_calls.level=0.05",
)
def screen_command(config: dict[str, Any]) -> None:
    """Sum up metabolites and genes over all scored batches.

    Without a model everything that needs none is made: audits, hits in expression, their map and the report. What is
    left out is named with the reason.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.assets.screen import reason_without_model

    with open_platform() as platform:
        result = platform.run("screen", config=run_config(config))
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


@click.command(
    "evaluate",
    cls=SettingsCommand,
    steps={"evaluate_models": EvaluationSettings},
    epilog="Example:\n\n  tcell evaluate --scheme leave_metabolite_out --set training.epochs=20",
)
@setting_flag("evaluate_models", EvaluationSettings, "schemes", "--scheme")
@setting_flag("evaluate_models", EvaluationSettings, "n_folds", "--folds")
def evaluate_command(config: dict[str, Any]) -> None:
    """Train the current model's settings and every plainer model on folds of the screen, and compare them."""
    for description in _run_once("evaluate", config):
        click.echo(description)


@click.command(
    "ensemble",
    cls=SettingsCommand,
    steps={"ensemble_members": EnsembleSettings, "importance_stability": StabilitySettings},
    epilog="Example:\n\n  tcell ensemble --members 5",
)
@setting_flag("ensemble_members", EnsembleSettings, "members", "--members")
def ensemble_command(config: dict[str, Any]) -> None:
    """Train the current model again from other seeds; score batches again to see their spread."""
    _run_once("ensemble", config)


@click.command(
    "attribute",
    cls=SettingsCommand,
    steps={"attribute_wells": AttributionSettings},
    epilog="Example:\n\n  tcell attribute tc1 --head is_activated",
)
@click.argument("batches", nargs=-1)
@setting_flag("attribute_wells", AttributionSettings, "head", "--head")
@setting_flag("attribute_wells", AttributionSettings, "steps", "--steps")
def attribute_command(batches: tuple[str, ...], config: dict[str, Any]) -> None:
    """Integrated Gradients of BATCHES (default: all ingested ones); about 50 times the cost of scoring."""
    _run_for_batches("attribute", batches, config)


@click.command(
    "explain",
    cls=SettingsCommand,
    steps={"hit_drivers": DriverSettings, "gene_set_enrichment": EnrichmentSettings},
    epilog="Example:\n\n  tcell explain --gene-sets hallmark.gmt",
)
@setting_flag("gene_set_enrichment", EnrichmentSettings, "gene_sets", "--gene-sets")
def explain_command(config: dict[str, Any]) -> None:
    """Rank genes by Integrated Gradients over all attributed batches; drivers of hits; gene sets."""
    _run_once("explain", config)


def _run_once(job: str, config: dict[str, Any]) -> list[str]:
    """Run a job over the whole screen, print where its tables lie, and return what its checks say."""
    from tcell_assets.commands.platform import open_platform

    with open_platform() as platform, terminal_progress():
        result = platform.run(job, config=run_config(config))
        lake = platform.storage.lake()
        for asset in platform.assets_of(job):
            click.echo(f"{asset}: {lake.path(asset)}")
        return [str(check.description) for check in result.get_asset_check_evaluations()]


def _run_for_batches(job: str, batches: tuple[str, ...], config: dict[str, Any]) -> None:
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
                result = platform.run(job, batch, run_config(config))
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
