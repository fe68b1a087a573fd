"""What Dagster loads: the assets, jobs and resources of one installation."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from tcell_assets.defs.assets.attribution import (
    attribute_wells,
    gene_set_enrichment,
    hit_drivers,
    importance_stability,
    integrated_gradients_ranking,
)
from tcell_assets.defs.assets.evaluation import ensemble_members, evaluate_models
from tcell_assets.defs.assets.ingest import ingest_batch, plate_files
from tcell_assets.defs.assets.model import train_model
from tcell_assets.defs.assets.profile import profile_conditions
from tcell_assets.defs.assets.quality import (
    adjusted_embeddings,
    adjusted_expression,
    check_quality,
    design_audit,
    plate_maps,
    plate_similarity,
    position_audit,
    screen_position_audit,
)
from tcell_assets.defs.assets.report import batch_report, screen_report
from tcell_assets.defs.assets.scoring import dmso_distances, score_wells
from tcell_assets.defs.assets.screen import gene_importance_ranking, metabolite_scores
from tcell_assets.defs.assets.statistics import (
    expression_map,
    fit_latent_map,
    hit_calls,
    latent_map,
    phenotype_correlation,
)
from tcell_assets.defs.io_managers import ParquetIOManager
from tcell_assets.defs.jobs import JOBS
from tcell_assets.defs.resources import LandingZone, Storage, TransformerCompute
from tcell_assets.defs.schedules import build_schedules
from tcell_assets.defs.sensors import build_sensors
from tcell_assets.installation.configuration import (
    Configuration,
    ConfigurationError,
    load_configuration,
    restrict_new_files,
)
from tcell_assets.installation.dagster_internals import keeps_no_history

ASSETS = (
    plate_files,
    ingest_batch,
    check_quality,
    position_audit,
    adjusted_expression,
    train_model,
    evaluate_models,
    ensemble_members,
    score_wells,
    dmso_distances,
    adjusted_embeddings,
    plate_maps,
    screen_position_audit,
    design_audit,
    plate_similarity,
    hit_calls,
    expression_map,
    fit_latent_map,
    latent_map,
    phenotype_correlation,
    profile_conditions,
    metabolite_scores,
    gene_importance_ranking,
    attribute_wells,
    integrated_gradients_ranking,
    hit_drivers,
    gene_set_enrichment,
    importance_stability,
    batch_report,
    screen_report,
)


def build_resources(configuration: Configuration) -> dict[str, object]:
    """Return the resources of an installation."""
    storage = Storage(root=configuration.storage)
    return {
        "landing_zone": LandingZone(folder=str(configuration.data)),
        "storage": storage,
        "compute": TransformerCompute(),
        "io_manager": ParquetIOManager(storage=storage),
    }


def build_defs(
    configuration: Configuration | None = None, overrides: Mapping[str, object] | None = None
) -> dg.Definitions:
    """Return fresh definitions.

    Args:
        configuration: Where data and storage lie; by default read from the environment.
        overrides: Resources to use in place of the installation's own.
    """
    configuration = configuration or load_configuration()
    return dg.Definitions(
        assets=ASSETS,
        jobs=JOBS,
        schedules=build_schedules(configuration.operations),
        sensors=build_sensors(configuration.operations),
        resources={**build_resources(configuration), **(overrides or {})},
        # Steps in processes of their own outlive a killed run and would write beside its retry.
        executor=dg.in_process_executor,
    )


def _require_history(configuration: Configuration) -> None:
    """Refuse to be run by a command of Dagster's that would forget the run.

    Raises:
        ConfigurationError: Dagster works in a temporary folder, which knows no batch and is deleted when it ends.
    """
    if keeps_no_history():
        raise ConfigurationError(
            "DAGSTER_HOME is not set, so Dagster would know no batch and forget its runs: start it in the project's "
            f"folder after `make install`, or set DAGSTER_HOME={configuration.dagster_home}"
        )


_require_history(load_configuration())
# Code servers and runs load this module, whoever starts them.
restrict_new_files()
defs = build_defs()
