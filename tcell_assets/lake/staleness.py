"""What is out of date, and why: read from the lineage in the lake's footers, so there is no second book to keep."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tcell_assets.lake.copies import COPY_DETAILS
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import TRAINING_HASH, Lake, Lineage
from tcell_assets.lake.tables import TABLES

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

INGESTED_TABLES = ("well_metadata", "expression_matrix")
SCORED_TABLES = ("well_predictions", "latent_embeddings", "gene_importance", "dmso_distances")


@dataclass(frozen=True)
class Ingested:
    """The state of the landing folder that a batch in the lake was read from."""

    content_hash: str
    stamp: str


def ingested_from(lake: Lake, batch: str) -> Ingested | None:
    """Return what a batch was read from, or None where a table is missing or says nothing of it."""
    states = set()
    for asset in INGESTED_TABLES:
        if not lake.exists(asset, batch):
            return None
        details = lake.lineage(asset, batch).details
        states.add(Ingested(details.get(PLATE_FILES_HASH, ""), details.get(PLATE_FILES_STAMP, "")))
    state = states.pop()
    return None if states or not state.content_hash else state


def stale_tables(
    lake: Lake, batch: str, assets: Collection[str], content_hash: str | None, model_version: str | None
) -> dict[str, str]:
    """Return which of the tables of a batch are out of date, each with the reason.

    Args:
        lake: The tables.
        batch: The batch.
        assets: Names of partitioned tables to look at.
        content_hash: Content of its landing folder now; None does not compare it.
        model_version: The current model; None leaves tables downstream of a model alone.
    """
    batch_hash = lake.batch_hash(batch) if all(lake.exists(asset, batch) for asset in INGESTED_TABLES) else ""
    reasons = {}
    for asset in assets:
        if not lake.exists(asset, batch):
            reasons[asset] = "not there yet"
            continue
        reason = _reason(lake.lineage(asset, batch), batch_hash, content_hash, model_version)
        if reason is not None:
            reasons[asset] = reason
    return reasons


def _reason(
    lineage: Lineage, batch_hash: str, content_hash: str | None, model_version: str | None
) -> str | None:
    details = lineage.details
    if lineage.code_version != TABLES[lineage.asset].code_version:
        return "made by older code"
    if content_hash is not None and details.get(PLATE_FILES_HASH, content_hash) != content_hash:
        return "plate files have changed"
    if lineage.model_version is not None and model_version not in (None, lineage.model_version):
        return f"made with {lineage.model_version}"
    if details.get(BATCH_HASH, batch_hash) != batch_hash:
        return "the batch was ingested anew"
    return None


def training_set(lake: Lake) -> dict[str, str]:
    """Return the content hash of every ingested batch that has targets: what a training now would learn from."""
    batches = set.intersection(*(set(lake.batches(asset)) for asset in INGESTED_TABLES))
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
