"""Where `dagster.yaml` of installations made before `installation/` existed looks for the launcher."""

from tcell_assets.installation.run_launcher import LocalRunLauncher

__all__ = ["LocalRunLauncher"]
