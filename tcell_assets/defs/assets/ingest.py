"""From `data/<batch>/` to checked tables: which files lie there, the wells, and the expression matrix."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import dagster as dg

from tcell_assets.defs.metadata import (
    TableResult,
    bullet_list,
    group_of,
    preview,
    stage_tag,
    table_out,
    table_result,
)
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import LandingZone, Storage
from tcell_assets.lake import stages
from tcell_assets.lake.copies import ARRIVAL, COUNTS_COPIES, WELL_HASHES, arrival_of
from tcell_assets.lake.staleness import (
    PLATE_FILES_HASH,
    PLATE_FILES_STAMP,
    STABILIZATION,
    UNDERSTOOD,
    VALUE_KIND,
    WELLS_WITH_TARGETS,
)
from tcell_assets.lake.store import TRAINING_HASH, Lake, training_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets.landing.arrivals import content_key, scan_folder
from tcell_assets.landing.fingerprint import Fingerprint, batch_fingerprint
from tcell_assets.landing.problems import LandingError, write_full_list
from tcell_assets.system.files import StorageError
from tcell_assets.targets import known_targets, names_of

INGESTED = ("well_metadata", "compound_identifiers", "count_matrix", "expression_matrix")
# Dagster's own tag; only what a step returns can be given a `dg.DataVersion`.
DATA_VERSION_TAG = "dagster/data_version"
OWNERS = ["team:screening"]

plate_files = dg.AssetSpec(
    "plate_files",
    description="What lies in `data/<batch>/`, written by people and instruments, with its content hash.",
    partitions_def=screening_batches,
    group_name=group_of(__name__),
    kinds={"csv", "parquet"},
    tags=stage_tag(stages.INGEST),
    owners=OWNERS,
)


@dg.multi_asset(
    name="ingest_batch",
    outs={asset: table_out(asset, __name__, OWNERS) for asset in INGESTED},
    deps=[plate_files],
    partitions_def=screening_batches,
    can_subset=True,
    retry_policy=dg.RetryPolicy(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL),
)
def ingest_batch(
    context: dg.AssetExecutionContext, landing_zone: LandingZone, storage: Storage
) -> Iterator[TableResult]:
    """Read one batch folder once; every problem it has is reported in one failure, and nothing is written.

    Counts become expression by the current model's frozen fit, or before the first model by a fit on this batch.
    """
    import pandas as pd

    from tcell_assets.defs.assets.model_input import expression_of_counts
    from tcell_assets.landing.batch import read_batch
    from tcell_assets.science.conditions import is_empty, is_treated
    from tcell_assets.science.counts.count_table import counts_to_table
    from tcell_assets.science.plates.well_copies import count_hashes, expression_hashes

    folder = landing_zone.batch_folder(context.partition_key)
    stamp = scan_folder(folder).stamp
    try:
        batch = read_batch(folder)
    except LandingError as error:
        context.log_event(
            observed_plate_files(
                context.partition_key,
                content_key(folder, stamp),
                batch_fingerprint(folder),
                len(error.problems),
            )
        )
        listed = write_full_list(error, storage.local_folder("problems"))
        named = f"\nevery one of them: {listed}" if error.is_shortened else ""
        raise dg.Failure(
            f"{error}{named}",
            metadata={
                "problems": len(error.problems),
                "folder": dg.MetadataValue.path(str(folder)),
                "every_problem": dg.MetadataValue.path(str(listed)),
                "understood_as": dg.MetadataValue.md("```text\n" + "\n".join(error.understood) + "\n```"),
            },
            # The same files have the same problems: a retry would only hide them behind two more failures.
            allow_retries=False,
        ) from None
    context.log_event(
        observed_plate_files(context.partition_key, batch.content_hash, batch_fingerprint(folder))
    )
    genes = batch.expression.columns if batch.expression is not None else batch.counts.genes  # type: ignore[union-attr]
    # A note about another batch does not make it an input: its correction would have every batch read again.
    unlogged = replace(storage.lake(), reads=None)
    other_names = gene_names_beside_others(unlogged, batch.name, [str(gene) for gene in genes])
    other_names += compound_names_beside_others(unlogged, batch.name, batch.understood.compounds)
    for note in other_names:
        context.log.warning(note)
    notes = [*batch.notes, *other_names]
    understood = replace(batch.understood, notes=tuple(notes))
    # Before anything is written: the shell and the run's log show what the tables will say.
    context.log.info("understood as\n" + "\n".join(understood.lines()))
    counts = {
        "wells": len(batch.wells),
        "plates": batch.wells["plate"].nunique(),
        "dmso_wells": int(batch.wells["is_dmso"].sum()),
        PLATE_FILES_HASH: batch.content_hash,
        PLATE_FILES_STAMP: stamp,
        "notes": bullet_list(notes),
        "understood_as": dg.MetadataValue.md(understood.markdown()),
        UNDERSTOOD: understood.to_json(),
    }
    if "well_metadata" in context.op_execution_context.selected_output_names:
        wells = TABLES["well_metadata"].with_absent_columns(batch.wells)
        yield table_result(
            "well_metadata",
            wells,
            {
                **counts,
                TRAINING_HASH: training_hash(TABLES["well_metadata"].to_arrow(wells)),
                "metabolites": batch.wells.loc[is_treated(batch.wells), "compound"].nunique(),
                WELLS_WITH_TARGETS: int(batch.wells[names_of(known_targets())].notna().any(axis=1).sum()),
                "preview": preview(batch.wells),
            },
        )
    outputs = context.op_execution_context.selected_output_names
    if "compound_identifiers" in outputs:
        identified = batch.identifiers
        yield table_result("compound_identifiers", identified, {**counts, "preview": preview(identified)})
    if "count_matrix" in outputs:
        landed = batch.counts
        columns = ["well_id", "gene", "count"]
        table = (
            counts_to_table(landed.values, landed.well_ids, landed.genes)
            if landed is not None
            else pd.DataFrame({name: [] for name in columns})
        )
        yield table_result("count_matrix", table, {**counts, "total_umi": int(table["count"].sum())})
    if "expression_matrix" in outputs:
        expression, fit = batch.expression, ""
        if batch.counts is not None:
            expression, fit = expression_of_counts(
                storage, batch.counts, set(batch.wells.loc[is_empty(batch.wells), "well_id"])
            )
            hashes = count_hashes(batch.counts.values, batch.counts.well_ids, batch.counts.genes)
        assert expression is not None, "a landed batch has expression or counts"
        if batch.counts is None:
            hashes = expression_hashes(expression)
        yield table_result(
            "expression_matrix",
            expression.reset_index(names="well_id"),
            {
                **counts,
                "genes": expression.shape[1],
                VALUE_KIND: batch.value_kind,
                STABILIZATION: fit,
                WELL_HASHES: dg.MetadataValue.json(hashes),
                ARRIVAL: arrival_of(storage.lake(), batch.name),
                COUNTS_COPIES: batch.counts_copies,
            },
        )


def gene_names_beside_others(lake: Lake, batch: str, genes: Sequence[str]) -> list[str]:
    """Return what tells a batch's gene names from another batch's, with examples of both, where they are of two kinds.

    Batches by symbol and by id share no gene, and nothing that compares batches can be made of them.
    """
    from tcell_assets.landing.gene_names import difference_in_names

    for other in lake.batches("expression_matrix"):
        if other == batch:
            continue
        try:
            difference = difference_in_names(genes, lake.genes(other), f"batch {other}")
        except StorageError:
            # A damaged table is told where it is read; it must not keep this batch out.
            continue
        if difference:
            return [f"this batch {difference}; land both by the same names"]
    return []


def compound_names_beside_others(lake: Lake, batch: str, compounds: Collection[str]) -> list[str]:
    """Return compounds of a batch that other batches seem to spell in another way, so that they are no replicates."""
    from tcell_assets.landing.names import alike

    spelled: dict[str, str] = {}
    for other in lake.batches("well_metadata"):
        if other == batch:
            continue
        try:
            wells = lake.read("well_metadata", other, columns=["compound"])
        except StorageError:
            # Damaged, or of a version that knew no compounds: told where it is read.
            continue
        for compound in sorted(set(wells.get("compound", ()))):
            spelled.setdefault(compound, other)
    notes = []
    for group in alike({*compounds, *spelled}):
        ours = [name for name in group if name in compounds and name not in spelled]
        theirs = [f"batch {spelled[name]} {name!r}" for name in group if name in spelled]
        if ours and theirs:
            notes.append(
                f"this batch names {', '.join(map(repr, ours))}, but {', '.join(theirs)}; if they are one, say "
                "so under names in screen.yaml"
            )
    return notes


def observed_plate_files(
    batch: str, content_hash: str, fingerprint: Fingerprint, problems: int = 0
) -> dg.AssetObservation:
    """Return what lies in a batch folder as an observation of `plate_files`, its content hash as data version."""
    return dg.AssetObservation(
        plate_files.key,
        partition=batch,
        metadata={
            "content_hash": content_hash,
            "problems": problems,
            "files": dg.MetadataValue.json({file.name: file.bytes for file in fingerprint.files}),
            "size_mib": fingerprint.bytes / 2**20,
        },
        tags={DATA_VERSION_TAG: content_hash},
    )
