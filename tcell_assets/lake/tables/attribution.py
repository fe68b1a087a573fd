"""Which genes move the model's predictions, well by well and over the screen."""

from __future__ import annotations

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import ATTRIBUTE, ENSEMBLE, EXPLAIN
from tcell_assets.lake.tables.columns import HEAD, MODEL_VERSION, WELL_ID

INTEGRATED_GRADIENTS = Table(
    asset="integrated_gradients",
    made_by=ATTRIBUTE,
    description="Integrated Gradients of one head for each gene, from the mean of the training DMSO wells, averaged "
    "over the batch's usable wells.",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "mean over wells of |IG|, in the head's unit"),
        Column("signed_importance", "float64", "mean over wells of IG"),
        Column("n_wells", "int32", "wells in the mean"),
        HEAD,
        Column("method", "string", "attribution method"),
        MODEL_VERSION,
    ),
    key=("gene",),
)

ATTRIBUTED_WELLS = Table(
    asset="attributed_wells",
    made_by=ATTRIBUTE,
    description="How completely Integrated Gradients explain each usable well: what they add up to against what they "
    "should.",
    columns=(
        WELL_ID,
        Column("output", "float64", "the head's output for the well"),
        Column("baseline_output", "float64", "its output for the mean of the training DMSO wells"),
        Column(
            "completeness_error",
            "float64",
            "|sum of IG − (output − baseline output)|; 0 were the integral exact",
        ),
        HEAD,
        MODEL_VERSION,
    ),
    key=("well_id",),
)

GENE_ATTRIBUTIONS = Table(
    asset="gene_attributions",
    made_by=ATTRIBUTE,
    description="Integrated Gradients of each usable well, one float32 column a gene, in the head's unit.",
    columns=(WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)

INTEGRATED_GRADIENTS_RANKING = Table(
    asset="integrated_gradients_ranking",
    made_by=EXPLAIN,
    description="Integrated Gradients over all batches: the well-weighted mean, gene by gene.",
    columns=(
        Column("rank", "int32", "1 is the most important gene"),
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "well-weighted mean over batches of |IG|"),
        Column("signed_importance", "float64", "well-weighted mean over batches of IG"),
        Column("n_wells", "int32", "wells in the mean"),
        HEAD,
        Column("method", "string", "attribution method"),
        MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)

HIT_DRIVERS = Table(
    asset="hit_drivers",
    made_by=EXPLAIN,
    description="The genes that move the explained head most in each hit, with their sign.",
    columns=(
        Column("metabolite", "string", "a hit"),
        Column("hit_class", "string", "activator, suppressor or active_other"),
        Column("driver_rank", "int32", "1 moves the head most"),
        Column("gene", "string", "gene symbol"),
        Column("attribution", "float64", "mean IG over its wells; above 0 raises the head against DMSO"),
        Column("n_replicates", "int32", "attributed wells"),
        Column("n_same_sign", "int32", "of them with that sign"),
        HEAD,
        MODEL_VERSION,
    ),
    key=("metabolite", "gene"),
    partitioned=False,
    code_version="2",
)

GENE_SET_ENRICHMENT = Table(
    asset="gene_set_enrichment",
    made_by=EXPLAIN,
    description="Gene sets that stand at the top or the bottom of the gene rankings, by preranked enrichment.",
    columns=(
        Column("method", "string", "attribution method of the ranking"),
        Column("gene_set", "string", "name of the set"),
        Column("n_genes", "int32", "genes of the set in the ranking"),
        Column("enrichment_score", "float64", "above 0: the set stands at the top of the ranking"),
        Column(
            "normalized_enrichment_score", "float64", "divided by its mean over permutations", nullable=True
        ),
        Column("p_value", "float64", "permutation p, at least 1 / (permutations + 1)"),
        Column("q_value", "float64", "false-discovery rate over the sets of the ranking"),
        Column("leading_edge", "string", "genes that make the score, separated by ;"),
        Column("ranked_by", "string", "importance or signed_importance"),
        Column("source", "string", "bundled, or the GMT file"),
        HEAD,
        MODEL_VERSION,
    ),
    key=("method", "gene_set"),
    partitioned=False,
)

IMPORTANCE_STABILITY = Table(
    asset="importance_stability",
    made_by=ENSEMBLE,
    description="How far the members of the ensemble agree on each gene's importance (Gradient × Input).",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("mean_importance", "float64", "mean over members"),
        Column("sd_importance", "float64", "standard deviation (n − 1) over members"),
        Column("mean_rank", "float64", "mean rank over members"),
        Column("sd_rank", "float64", "standard deviation (n − 1) of the rank"),
        Column("share_in_top", "float64", "share of members that rank the gene among the top"),
        Column("n_members", "int32", "members"),
        HEAD,
        MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)
