"""The reports people open: one HTML file for the screen and one a batch, below `storage/reports`."""

import hashlib
import time
from pathlib import Path

import dagster as dg

from tcell_assets.defs.assets.screen import OWNERS
from tcell_assets.defs.metadata import TableResult, group_of, served_link, stage_tag
from tcell_assets.defs.partitions import screening_batches
from tcell_assets.defs.resources import LandingZone, Storage
from tcell_assets.defs.runs import last_failures
from tcell_assets.installation.status import look
from tcell_assets.lake import stages
from tcell_assets.system.files import write_atomically

REPORTS = "reports"
BATCH_REPORTS = "batches"


def report_file(storage: Storage, batch: str | None = None) -> Path:
    """Return where the report on a batch lies, or on the screen where none is named."""
    folder = storage.local_folder(REPORTS)
    return folder / "screen.html" if batch is None else folder / BATCH_REPORTS / f"{batch}.html"


@dg.asset(
    group_name=group_of(__name__),
    deps=[
        "well_metadata",
        "well_qc",
        "plate_qc",
        "screen_position_audit",
        "design_audit",
        "plate_similarity",
        "hit_calls",
        "expression_map",
    ],
    owners=OWNERS,
    kinds={"html", "plotly"},
    tags=stage_tag(stages.SCREEN),
    # Tables that are left out without a model (metabolite_scores, gene_importance_ranking, latent_map) are no deps:
    # Dagster would leave the report out with them. The priority makes it the last step of its run all the same. Those
    # of a training, a scoring and an evaluation are none either: the UI would ask "are you sure" of each report before
    # the first one. The footer of `hit_calls`, and the report's last section, name what was shown.
    op_tags={"dagster/priority": "-1"},
    code_version="1",
    description="The screen as one HTML file to look at and hand on: verdicts first, then metabolites, plates, latent "
    "map, replicates, model, genes, methods with versions, and a data dictionary. It needs no network.",
)
def screen_report(
    context: dg.AssetExecutionContext, storage: Storage, landing_zone: LandingZone
) -> TableResult:
    """Write the report on every batch that the current model scored, with the state of all batches at the top."""
    from tcell_assets.exports.report import screen_report as report_on_screen

    lake, models = storage.lake(), storage.models()
    # Waiting is told in seconds, and the same tables are to give the same file: a folder counts as copied at once.
    status, _ = look(
        Path(landing_zone.folder), lake, models, 0.0, time.time(), last_failures(context.instance)
    )
    return _written(storage, report_on_screen(lake, models, status))


@dg.asset(
    group_name=group_of(__name__),
    deps=[
        "well_metadata",
        "well_qc",
        "plate_qc",
        "position_audit",
        "training_history",
        "well_predictions",
        "latent_embeddings",
        "dmso_distances",
        "gene_importance",
    ],
    partitions_def=screening_batches,
    owners=OWNERS,
    kinds={"html", "plotly"},
    # 5 MB a batch, so it is made for those who ask for it.
    tags=stage_tag(stages.REPORT),
    code_version="1",
    description="One screening batch as an HTML file to look at: its verdicts, metabolites, plates and latent map. "
    "Made when asked for, by `tcell report <batch>` or in the UI.",
)
def batch_report(context: dg.AssetExecutionContext, storage: Storage) -> TableResult:
    """Write the report on one batch."""
    from tcell_assets.exports.report import batch_report as report_on_batch

    batch = context.partition_key
    return _written(storage, report_on_batch(storage.lake(), storage.models(), batch), batch)


def _written(storage: Storage, content: bytes, batch: str | None = None) -> TableResult:
    file = report_file(storage, batch)
    from upath import UPath

    write_atomically(UPath(file), content)
    address = file.relative_to(storage.local_folder(REPORTS)).as_posix()
    return dg.MaterializeResult(
        metadata={
            "report": served_link(f"/{REPORTS}/{address}"),
            "file": dg.MetadataValue.path(str(file)),
            "size_mib": len(content) / 2**20,
        },
        data_version=dg.DataVersion(hashlib.sha256(content).hexdigest()),
    )
