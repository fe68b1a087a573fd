"""What each condition does: its genes, what it resembles, its pathways and, where there are doses, its curve."""

from __future__ import annotations

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import SCREEN
from tcell_assets.lake.tables.columns import IDENTIFIER_COLUMNS

_CONDITION = Column(
    "condition", "string", "what was done to the wells: compound, dose and every other factor"
)

COMPOUNDS = Table(
    asset="compounds",
    made_by=SCREEN,
    description="The treated compounds of the screen with what identifies them. Identifiers come from plate maps and "
    "`compounds.csv` alone; one of which two batches say different things is left out.",
    columns=(
        Column("compound", "string", "what the doses of a series share; `A + B` for two compounds"),
        Column("n_conditions", "int32", "conditions of the compound: its doses, times and further factors"),
        Column("n_wells", "int32", "wells, those that fail quality control too"),
        Column("n_batches", "int32", "batches that hold it"),
        *IDENTIFIER_COLUMNS,
        Column(
            "contradictory",
            "string",
            "identifiers of which batches say different things, with the values",
            nullable=True,
        ),
    ),
    key=("compound",),
    partitioned=False,
)

SIGNATURES = Table(
    asset="signatures",
    made_by=SCREEN,
    description="How far every gene moves under every condition against DMSO, plates as blocks, by a moderated t "
    "(Smyth 2004).",
    columns=(
        _CONDITION,
        Column("gene", "string", "gene symbol"),
        Column(
            "effect",
            "float64",
            "condition − DMSO, in the unit of the expression (log2 of VST)",
            nullable=True,
        ),
        Column(
            "t", "float64", "moderated t; empty where plates cannot be told from the condition", nullable=True
        ),
        Column("p", "float64", "two-sided p of the moderated t", nullable=True),
        Column("q", "float64", "Benjamini–Hochberg over the genes of the condition", nullable=True),
        Column("n_wells", "int32", "usable wells of the condition"),
    ),
    key=("condition", "gene"),
    partitioned=False,
)

METABOLITE_SIMILARITY = Table(
    asset="metabolite_similarity",
    made_by=SCREEN,
    description="The nearest neighbours of every active condition by the cosine of their signatures, and their "
    "cluster. An inactive condition has no row and is nobody's neighbour.",
    columns=(
        _CONDITION,
        Column("neighbour_rank", "int32", "1 is the nearest"),
        Column("neighbour", "string", "condition it resembles"),
        Column("cosine", "float64", "cosine of the two signatures (moderated t of every gene)"),
        Column(
            "p",
            "float64",
            "share of pairs of different compounds at other positions that are as alike",
        ),
        Column("q", "float64", "Benjamini–Hochberg over the other active conditions"),
        Column("cluster", "int32", "cluster of the condition, 1 is the largest"),
        Column("cluster_size", "int32", "conditions in its cluster"),
    ),
    key=("condition", "neighbour_rank"),
    partitioned=False,
)

PATHWAY_ACTIVITY = Table(
    asset="pathway_activity",
    code_version="2",
    made_by=SCREEN,
    description="How much more the genes of a set move under a condition than all the others (univariate linear model "
    "on the moderated t).",
    columns=(
        _CONDITION,
        Column("gene_set", "string", "name of the gene set"),
        Column("n_genes", "int32", "genes of the set among those measured"),
        Column("activity", "float64", "t of the set's genes against the others; positive where they rise"),
        Column(
            "p",
            "float64",
            "by how the set's score varies between alike wells, so genes that move together anyway are no "
            "evidence",
        ),
        Column("q", "float64", "Benjamini–Hochberg over the sets of the condition"),
    ),
    key=("condition", "gene_set"),
    partitioned=False,
)

DOSE_RESPONSE = Table(
    asset="dose_response",
    made_by=SCREEN,
    description="Log-logistic curves of compounds with at least three doses, against a constant; no row where there "
    "are no doses.",
    columns=(
        Column("compound", "string", "the compound, over its doses"),
        Column(
            "measure",
            "string",
            "`activity` along the compound's own direction (log2), or a predicted score in its unit",
        ),
        Column("response", "string", "response, no response, not reached or not monotone"),
        Column("fit", "string", "log_logistic, or isotonic where that curve misses the doses"),
        Column("bottom", "float64", "value without dose"),
        Column("top", "float64", "value at saturation"),
        Column("ec50", "float64", "half-way dose, µM; empty unless it lies inside the doses", nullable=True),
        Column("ec50_low", "float64", "lower end of its profile interval, empty where open", nullable=True),
        Column("ec50_high", "float64", "upper end of its profile interval, empty where open", nullable=True),
        Column("slope", "float64", "Hill slope", nullable=True),
        Column("p", "float64", "F-test of the curve against a constant"),
        Column("r2", "float64", "share of the wells' variance that the curve explains"),
        Column("n_doses", "int32", "different doses"),
        Column("n_wells", "int32", "usable wells"),
        Column(
            "dose_means",
            "string",
            "JSON: `[dose in µM, mean activity, wells]` of each dose, rising",
            nullable=True,
        ),
    ),
    key=("compound", "measure"),
    code_version="2",
    partitioned=False,
)
