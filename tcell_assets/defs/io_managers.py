"""Carries tables between assets and the Parquet lake, with the lineage of each run in the file's footer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, get_origin

import dagster as dg

from tcell_assets.defs.metadata import MODEL_VERSION, TRAINING_BATCHES, plain_metadata
from tcell_assets.defs.reading import reads_of_input, reads_of_output
from tcell_assets.defs.resources import Storage
from tcell_assets.lake.staleness import DETAILS
from tcell_assets.lake.store import Lineage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What an asset's input annotation calls a pandas.DataFrame. Dagster evaluates annotations when it loads the
# definitions, and pandas there would take the load from 1.2 to 2 times a bare `import dagster`.
Frame: TypeAlias = Any


class ParquetIOManager(dg.ConfigurableIOManager):
    """Writes an asset's Arrow table to `<asset>/<batch>.parquet` and reads it back.

    An input annotated `Frame` is one table. An input annotated `Mapping[str, Frame]` is every batch that
    is in the lake, by name, however many there are; registered batches that were never materialized are named in the
    log and absent from the mapping.
    """

    storage: dg.ResourceDependency[Storage]

    def handle_output(self, context: dg.OutputContext, obj: "pa.Table") -> None:
        """Write one table atomically."""
        metadata = plain_metadata(context.output_metadata)
        asset, batch = (
            context.asset_key.to_user_string(),
            context.partition_key if context.has_asset_partitions else None,
        )
        reads = reads_of_output(context)
        lineage = Lineage(
            asset=asset,
            batch=batch,
            run_id=context.run_id,
            code_version=context.asset_spec.code_version or "",
            data_version=metadata["content_hash"],
            model_version=metadata.get(MODEL_VERSION),
            training_batches=metadata.get(TRAINING_BATCHES),
            details={name: metadata[name] for name in DETAILS if name in metadata},
            inputs=reads.inputs_of(asset, batch),
            batches={of: list(batches) for of, batches in reads.batches.items()},
        )
        path = self.storage.lake().write(obj, lineage)
        context.add_output_metadata(
            {"path": dg.MetadataValue.path(str(path)), "size_mib": path.stat().st_size / 2**20}
        )

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame | Mapping[str, pd.DataFrame]":
        """Read one table, or every batch of it."""
        reads = reads_of_input(context)
        lake = self.storage.lake(reads)
        asset = context.asset_key.to_user_string()
        if not context.has_asset_partitions:
            return lake.read(asset)
        if _wants_mapping(context.dagster_type.typing_type):
            batches = present(context, asset, lake.batches(asset))
            reads.loaded[asset] = tuple(batches)
            return {batch: lake.read(asset, batch) for batch in batches}
        return lake.read(asset, context.asset_partition_key)


def _wants_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Mapping)


def present(context: dg.InputContext, asset: str, in_lake: list[str]) -> list[str]:
    """Return the batches of `asset` that are in the lake, and log the registered ones that are not.

    A batch whose partition was deleted in the UI counts like any other: screen tables would else be short of it while
    everything that reads the lake itself shows it.
    """
    missing = sorted(set(context.asset_partition_keys) - set(in_lake))
    if missing:
        context.log.warning(f"{asset}: not materialized for {', '.join(missing)}; these batches are left out")
    return in_lake
