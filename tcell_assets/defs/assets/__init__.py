"""The assets, a file a group of the UI: each loads tables, calls science, and returns a table."""

import importlib
import pkgutil
from collections.abc import Sequence

import dagster as dg


def load_assets() -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Return every asset of this package; its group is named as its file."""
    found: list[dg.AssetsDefinition | dg.AssetSpec] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        loaded = dg.load_assets_from_modules(
            [importlib.import_module(f"{__name__}.{module.name}")], group_name=module.name, include_specs=True
        )
        found += [asset for asset in loaded if isinstance(asset, dg.AssetsDefinition | dg.AssetSpec)]
    return found
