"""The one partitions definition of the platform: a partition is a screening batch, a folder `data/<batch>/`."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

# Dagster's own tag of a run with a partition.
PARTITION_TAG = "dagster/partition"
# Of a run with several.
RANGE_TAG = "dagster/asset_partition_range_start"
SCREENING_BATCHES = "screening_batches"
screening_batches = dg.DynamicPartitionsDefinition(name=SCREENING_BATCHES)


def register_batches(instance: dg.DagsterInstance, batches: Iterable[str]) -> list[str]:
    """Make each batch a partition and return those that were not one before.

    Keys are never deleted: a key carries its history, and Dagster cannot serve runs of a deleted one.
    """
    known = set(instance.get_dynamic_partitions(SCREENING_BATCHES))
    new = sorted(set(batches) - known)
    if new:
        instance.add_dynamic_partitions(SCREENING_BATCHES, new)
    return new
