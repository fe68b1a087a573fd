"""What a batch folder becomes: its wells, its counts, its expression."""

from __future__ import annotations

from collections.abc import Sequence

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import INGEST
from tcell_assets.lake.tables.columns import IDENTIFIER_COLUMNS, WELL_ID, target_columns
from tcell_assets.targets import Target


def _well_metadata(targets: Sequence[Target]) -> tuple[Column, ...]:
    return (
        WELL_ID,
        Column("batch", "string", "screening batch, the name of its folder"),
        Column("plate", "string", "plate within the batch"),
        Column("well", "string", "well position, e.g. E12"),
        Column("row", "string", "plate row letter"),
        Column("column", "int32", "plate column, from 1"),
        Column("is_edge", "bool", "lies on the rim of the plate"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("cluster", "string", "expression cluster, where the screen names one", nullable=True),
        *target_columns(targets),
        Column("concentration", "float64", "dose as on the plate map, in its unit", nullable=True),
        Column(
            "sample_type", "string", "sample, vehicle_control or positive_control, where known", nullable=True
        ),
        Column(
            "condition",
            "string",
            "everything done to the well; wells of one condition are replicates",
            nullable=True,
        ),
        Column(
            "compound", "string", "what the doses of a series share; `A + B` for two compounds", nullable=True
        ),
        Column(
            "dose_um",
            "float64",
            "dose of the compound in µM; empty for controls and other units",
            nullable=True,
        ),
        Column("dose_written", "string", "dose as the plate map writes it, number and unit", nullable=True),
        Column(
            "time_h", "float64", "time of treatment in hours, where the plate map gives it", nullable=True
        ),
        Column("cell_line", "string", "cell line or cell type, where the plate map gives it", nullable=True),
        Column("donor", "string", "donor, where the plate map gives it", nullable=True),
        Column(
            "factors", "string", "further factors that screen.yaml declares, `name=value; …`", nullable=True
        ),
        Column(
            "context",
            "string",
            "the condition without compound and dose; a well and its DMSO share it",
            nullable=True,
        ),
        Column(
            "well_type",
            "string",
            "sample, vehicle_control, positive_control, untreated or empty",
            nullable=True,
        ),
    )


WELL_METADATA = Table(
    asset="well_metadata",
    made_by=INGEST,
    description="Where each well lies, what it was treated with, and its phenotype targets where they are known.",
    columns_of=_well_metadata,
    key=("well_id",),
    code_version="2",
)

# Columns of `well_metadata` that say how wells are compared and not what a model learns: a batch that is read anew with
# better words for its conditions is the training batch it was, and models of before keep their training set.
NOT_FOR_TRAINING = (
    "condition", "compound", "dose_um", "dose_written", "time_h", "cell_line", "donor", "factors", "context",
    "well_type",
)  # fmt: skip

COMPOUND_IDENTIFIERS = Table(
    asset="compound_identifiers",
    made_by=INGEST,
    description="What identifies the compounds of a batch, as its plate map and `compounds.csv` say; empty where these "
    "say nothing. Nothing is looked up.",
    columns=(
        Column("compound", "string", "compound, as in `well_metadata`"),
        *IDENTIFIER_COLUMNS,
    ),
    key=("compound",),
)

COUNT_MATRIX = Table(
    asset="count_matrix",
    made_by=INGEST,
    description="Raw UMI counts as landed, one row a well and gene with a count; empty where a batch landed as VST. "
    "A gene never seen keeps one row of 0, so that the list of genes is whole.",
    columns=(
        WELL_ID,
        Column("gene", "string", "gene symbol"),
        Column("count", "int32", "UMIs counted of the gene in the well"),
    ),
    key=("well_id", "gene"),
)

EXPRESSION_MATRIX = Table(
    asset="expression_matrix",
    made_by=INGEST,
    description="Variance-stabilised expression (log2 scale), one float32 column a gene after `well_id`.",
    columns=(WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)
