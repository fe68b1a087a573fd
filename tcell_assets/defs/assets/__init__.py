"""The assets, a file a group of the UI: each loads tables, calls science, and returns a table."""

import importlib
import pkgutil
from collections.abc import Sequence

import dagster as dg


def load_assets() -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Return every asset that stands in a module of this package."""
    found: list[dg.AssetsDefinition | dg.AssetSpec] = []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        found += [
            value for value in vars(module).values() if isinstance(value, dg.AssetsDefinition | dg.AssetSpec)
        ]
    return found
