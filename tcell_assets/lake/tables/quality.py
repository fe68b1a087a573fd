"""Can wells, plates and the layout be trusted: quality control, audits, and the adjustment for position."""

from __future__ import annotations

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import INGEST, SCREEN
from tcell_assets.lake.tables.columns import WELL_ID

WELL_QC = Table(
    asset="well_qc",
    made_by=INGEST,
    description="Technical quality of each well. A well that fails enters no training, DMSO centre or score.",
    columns=(
        WELL_ID,
        Column("total_umi", "float64", "UMI of the well; empty without counts", nullable=True),
        Column("genes_seen", "float64", "genes with at least one UMI; empty without counts", nullable=True),
        Column("mitochondrial_share", "float64", "share of mitochondrial UMI", nullable=True),
        Column("ribosomal_share", "float64", "share of ribosomal protein UMI", nullable=True),
        Column("top20_share", "float64", "share of the 20 genes with most UMI", nullable=True),
        Column("dmso_correlation", "float64", "correlation to the plate's mean DMSO profile", nullable=True),
        Column(
            "rle_median",
            "float64",
            "median of expression relative to the plate's gene medians, log2",
            nullable=True,
        ),
        Column("rle_iqr", "float64", "interquartile range of the same, log2", nullable=True),
        Column(
            "outlier_score",
            "float64",
            "largest robust z-score of the count measures in the plate",
            nullable=True,
        ),
        Column("qc_pass", "bool", "usable"),
        Column("qc_reason", "string", "why the well fails; empty where it passes"),
    ),
    key=("well_id",),
)

PLATE_QC = Table(
    asset="plate_qc",
    made_by=INGEST,
    description="Quality of each plate: depth, controls, and patterns of depth over the plate.",
    columns=(
        Column("batch", "string", "screening batch"),
        Column("plate", "string", "plate within the batch"),
        Column("n_wells", "int32", "wells"),
        Column("n_failed", "int32", "wells that fail quality control"),
        Column("n_dmso", "int32", "usable DMSO wells"),
        Column("n_positive_controls", "int32", "usable positive control wells"),
        Column("median_umi", "float64", "median UMI a well; empty without counts", nullable=True),
        Column(
            "dmso_correlation", "float64", "median correlation of DMSO wells to each other", nullable=True
        ),
        Column("z_prime", "float64", "Z′ of positive control against DMSO", nullable=True),
        Column("ssmd", "float64", "strictly standardised mean difference of the same", nullable=True),
        Column("controls_reason", "string", "why Z′ and SSMD are empty"),
        Column("morans_i", "float64", "Moran's I of depth over the plate", nullable=True),
        Column("morans_p", "float64", "its permutation p", nullable=True),
        Column(
            "edge_effect",
            "float64",
            "depth of edge wells minus interior, in standard deviations",
            nullable=True,
        ),
        Column("edge_p", "float64", "its Mann–Whitney p", nullable=True),
        Column("flag", "string", "ok, watch or fail"),
        Column("flag_reason", "string", "what is wrong; empty where nothing is"),
    ),
    key=("batch", "plate"),
)

_POSITION_COLUMNS = (
    Column("variable", "string", "what was audited"),
    Column("n_wells", "int32", "wells with a value"),
    Column("eta_squared_row", "float64", "share of variance between rows", nullable=True),
    Column("eta_squared_column", "float64", "share of variance between columns", nullable=True),
    Column("eta_squared_plate", "float64", "share of variance between plates", nullable=True),
    Column("eta_squared_batch", "float64", "share of variance between batches", nullable=True),
    Column("edge_effect", "float64", "edge wells minus interior, in standard deviations", nullable=True),
    Column("edge_p", "float64", "its Mann–Whitney p", nullable=True),
    Column("morans_i", "float64", "Moran's I, mean over plates, queen neighbours", nullable=True),
    Column("morans_p", "float64", "its permutation p", nullable=True),
    Column("r2", "float64", "R² of plate, row and column alone, metabolites held out", nullable=True),
    Column("auc", "float64", "the same for a label: area under the ROC curve", nullable=True),
    Column("verdict", "string", "ok, watch or confounded"),
    Column("finding", "string", "what was found, in words"),
    Column("fit", "string", "which fit predicted better: forest, or smooth for a gradient", nullable=True),
)

POSITION_AUDIT = Table(
    asset="position_audit",
    code_version="2",
    made_by=INGEST,
    description="How much of each variable of a batch the position on the plate alone explains.",
    columns=_POSITION_COLUMNS,
    key=("variable",),
)

SCREEN_POSITION_AUDIT = Table(
    asset="screen_position_audit",
    code_version="2",
    made_by=SCREEN,
    description="The same over all batches, latents included: the screen's verdict on its own plate layout.",
    columns=_POSITION_COLUMNS,
    key=("variable",),
    partitioned=False,
)

DESIGN_AUDIT = Table(
    asset="design_audit",
    made_by=SCREEN,
    description="What the layout of the screen allows to be concluded: replicates, DMSO wells, derived targets.",
    columns=(
        Column("quantity", "string", "what was measured, or `finding` and its number"),
        Column("value", "string", "its value as JSON, or the finding in words"),
    ),
    key=("quantity",),
    partitioned=False,
)

PLATE_SIMILARITY = Table(
    asset="plate_similarity",
    made_by=SCREEN,
    description="Correlation of every pair of plate maps; a plate that resembles the other batch may be swapped.",
    columns=(
        Column("plate_a", "string", "`<batch>_<plate>`"),
        Column("plate_b", "string", "`<batch>_<plate>`"),
        Column("batch_a", "string", "batch of plate_a"),
        Column("batch_b", "string", "batch of plate_b"),
        Column("n_wells", "int32", "positions in common"),
        Column("correlation", "float64", "median over variables of Pearson's r", nullable=True),
        Column(
            "same_treatment",
            "float64",
            "share of common wells with the same treatment in both; plates that share most are no witnesses of a swap",
            nullable=True,
        ),
        Column("is_suspected_swap", "bool", "the two plates look exchanged between their batches"),
    ),
    key=("plate_a", "plate_b"),
    partitioned=False,
    code_version="3",
)

ADJUSTED_EXPRESSION = Table(
    asset="adjusted_expression",
    made_by=INGEST,
    description="Expression with the plate position taken out, one float32 column a gene; the raw one stays beside it.",
    columns=(WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)
