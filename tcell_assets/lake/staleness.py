"""What a batch was read from and a model was trained on, as the lake's footers and the models say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tcell_assets.lake.copies import COPY_DETAILS
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import TRAINING_HASH, Lake, Lineage

# Details of a lineage: what of the landing zone a table was read from, what of a batch it was computed from.
PLATE_FILES_HASH = "plate_files_hash"
PLATE_FILES_STAMP = "plate_files_stamp"
WELLS_WITH_TARGETS = "wells_with_targets"
BATCH_HASH = "batch_hash"
# What landed, vst or counts, and for counts the hash of the fit that turned them into expression.
VALUE_KIND = "value_kind"
STABILIZATION = "variance_stabilization"
# What the plate map, the genes and the values were read as: JSON of rows and notes.
UNDERSTOOD = "understood"
DETAILS = (
    PLATE_FILES_HASH, PLATE_FILES_STAMP, WELLS_WITH_TARGETS, BATCH_HASH, VALUE_KIND, STABILIZATION, TRAINING_HASH,
    UNDERSTOOD,
    *COPY_DETAILS,
)  # fmt: skip

# The tables of a batch that say what landed; a batch that has both is ingested.
LANDED_TABLES = ("well_metadata", "expression_matrix")


@dataclass(frozen=True)
class Ingested:
    """The state of the landing folder that a batch in the lake was read from."""

    content_hash: str
    stamp: str


def ingested_from(lake: Lake, batch: str) -> Ingested | None:
    """Return what a batch was read from, or None where a table is missing or says nothing of it."""
    states = set()
    for asset in LANDED_TABLES:
        if not lake.exists(asset, batch):
            return None
        details = lake.lineage(asset, batch).details
        states.add(Ingested(details.get(PLATE_FILES_HASH, ""), details.get(PLATE_FILES_STAMP, "")))
    state = states.pop()
    return None if states or not state.content_hash else state


def of_another_fit(lineage: Lineage, fit_hash: str | None) -> bool:
    """Return whether an `expression_matrix` was made of counts by another fit than the model's, None for no fit."""
    details = lineage.details
    return (
        fit_hash is not None
        and details.get(VALUE_KIND) == "counts"
        and details.get(STABILIZATION) not in (None, fit_hash)
    )


def batches_of_other_fits(lake: Lake, models: ModelRegistry) -> list[str]:
    """Return the batches whose counts became expression by another fit than the current model's.

    Before the first model each batch is stabilised by a fit of its own; thinned to a quarter of its depth the same
    batch then lies .81 log2 from itself, by one fit .11.
    """
    current = models.current()
    fit = models.fit_hash(current) if current is not None else None
    if fit is None:
        return []
    return [
        batch
        for batch in lake.batches("expression_matrix")
        if of_another_fit(lake.lineage("expression_matrix", batch), fit)
    ]


def training_set(lake: Lake) -> dict[str, str]:
    """Return the content hash of every ingested batch that has targets: what a training now would learn from."""
    batches = set.intersection(*(set(lake.batches(asset)) for asset in LANDED_TABLES))
    return {batch: lake.batch_hash(batch) for batch in sorted(batches) if _has_targets(lake, batch)}


def _has_targets(lake: Lake, batch: str) -> bool:
    if not lake.lineage("well_metadata", batch).details.get(WELLS_WITH_TARGETS):
        return False
    # A batch of which every well failed, such as a copy of another, teaches nothing.
    return not lake.exists("well_qc", batch) or bool(
        lake.read("well_qc", batch, ["qc_pass"])["qc_pass"].any()
    )


def training_difference(trained_on: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words how the training set differs from the one a model was trained on, empty where it does not."""
    parts = {
        "added": sorted(set(now) - set(trained_on)),
        "removed": sorted(set(trained_on) - set(now)),
        "changed": sorted(batch for batch in now if trained_on.get(batch, now[batch]) != now[batch]),
    }
    return "; ".join(f"{what}: {', '.join(batches)}" for what, batches in parts.items() if batches)


def model_trained_on(models: ModelRegistry, batches: Mapping[str, str]) -> str | None:
    """Return the newest version that was trained on exactly these batches, or None."""
    versions = [version for version in models.versions() if trained_on(models, version) == dict(batches)]
    return versions[-1] if versions else None


def trained_on(models: ModelRegistry, version: str) -> dict[str, str]:
    """Return the content hash of each batch a version was trained on, from its manifest."""
    return dict(models.manifest(version)["batch_hashes"])
