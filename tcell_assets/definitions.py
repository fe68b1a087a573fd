"""What Dagster loads: the assets, jobs and resources of one installation."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from tcell_assets.defs.alerts import build_alert_sensor
from tcell_assets.defs.assets import load_assets
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
        assets=load_assets(),
        jobs=JOBS,
        schedules=build_schedules(configuration.operations),
        sensors=[*build_sensors(configuration.operations), build_alert_sensor(configuration)],
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
