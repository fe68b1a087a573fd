"""What the whole screen says: hits, scores of metabolites, genes, the map of the latent space."""

from __future__ import annotations

from collections.abc import Sequence

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import SCREEN
from tcell_assets.lake.tables.columns import (
    DISTANCES,
    LATENT_COLUMNS,
    MODEL_VERSION,
    WELL_ID,
    prediction_columns,
)
from tcell_assets.targets import Target, evaluated


def _metabolite_scores(targets: Sequence[Target]) -> tuple[Column, ...]:
    averaged = [target for target in targets if target.is_of_metabolites]
    # Tables from before a target was declared count no well of it.
    may_lack = {target.prediction for target in averaged if not target.is_published}
    return (
        Column("rank", "int32", "1 is the strongest by what `ranked_by` says", nullable=True),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("n_wells", "int32", "usable wells"),
        *(
            column
            for name, meaning in (
                *((distance.name, f"{distance.name} of `dmso_distances`") for distance in DISTANCES),
                *((target.prediction, f"the predicted {target.predicted}") for target in averaged),
            )
            for column in (
                Column(f"mean_{name}", "float64", f"mean of {meaning}", nullable=True),
                Column(f"sd_{name}", "float64", f"standard deviation (n − 1) of {meaning}", nullable=True),
                Column(f"n_{name}", "int32", f"wells with {meaning}", nullable=name in may_lack),
            )
        ),
        Column("hit_class", "string", "class of the metabolite, its best condition's, see `hit_calls`"),
        Column(
            "ranked_by",
            "string",
            "hit_calls, or mean_euclidean in a screen where no replicates can be compared",
        ),
        MODEL_VERSION,
    )


METABOLITE_SCORES = Table(
    asset="metabolite_scores",
    made_by=SCREEN,
    needs_model=True,
    description="Each metabolite over all batches, best hit first: how far from DMSO, how activated. DMSO itself has "
    "no row.",
    columns_of=_metabolite_scores,
    key=("metabolite",),
    partitioned=False,
    code_version="3",
)

GENE_IMPORTANCE_RANKING = Table(
    asset="gene_importance_ranking",
    made_by=SCREEN,
    needs_model=True,
    description="Gene importance over all batches: the well-weighted mean, which is the published global formula.",
    columns=(
        Column("rank", "int32", "1 is the most important gene"),
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "well-weighted mean over batches of |x · ∂prediction/∂x|"),
        Column("signed_importance", "float64", "well-weighted mean over batches of x · ∂prediction/∂x"),
        Column("n_wells", "int32", "wells in the mean"),
        Column("head", "string", "the output explained"),
        Column("method", "string", "attribution method"),
        MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)

_UNADJUSTED = "before the position adjustment"

HIT_CALLS = Table(
    asset="hit_calls",
    made_by=SCREEN,
    description="Which metabolites act: replicates that agree beyond chance and position. `combined` is the list to "
    "read; the calls on the model's latent and on 20 principal components of expression by themselves stand beside it.",
    columns=(
        Column(
            "feature_space",
            "string",
            "combined (several feature sets together), latent, or expression (20 principal components)",
        ),
        Column("rank", "int32", "1 is the strongest call of the feature space"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column(
            "hit_class",
            "string",
            "activator, suppressor, active_other, position_suspect, inconclusive or inactive",
        ),
        Column("reason", "string", "why it has this class, in words"),
        Column("n_replicates", "int32", "usable wells"),
        Column("strength", "float64", "length of the effect, √max(replicate statistic, 0)", nullable=True),
        Column(
            "replicate_statistic",
            "float64",
            "mean product d_a · d_b of replicates in different batches: the squared effect",
            nullable=True,
        ),
        Column("p_null", "float64", "p against non-replicate wells", nullable=True),
        Column(
            "p_position_matched", "float64", "p against non-replicates at one row and column", nullable=True
        ),
        Column("p_replicate", "float64", "the larger of the two", nullable=True),
        Column("q_replicate", "float64", "its Benjamini–Hochberg value", nullable=True),
        Column(
            "direction",
            "float64",
            "mean place on the resting→activated axis; 1 is the distance between the classes",
            nullable=True,
        ),
        Column("direction_standard_error", "float64", "its standard error", nullable=True),
        Column("p_direction", "float64", "p of the direction", nullable=True),
        Column("q_direction", "float64", "its Benjamini–Hochberg value", nullable=True),
        Column("q_null", "float64", "Benjamini–Hochberg value of p_null alone", nullable=True),
        Column("n_null", "int32", "non-replicate sets compared with"),
        Column("n_position_matched", "int32", "of them at one row and column; 0 where that null is not used"),
        Column("replicates_share_position", "bool", "replicates lie in one row or column"),
        Column(
            "replicate_statistic_unadjusted", "float64", f"replicate_statistic {_UNADJUSTED}", nullable=True
        ),
        Column("p_null_unadjusted", "float64", f"p_null {_UNADJUSTED}", nullable=True),
        Column("q_null_unadjusted", "float64", f"q_null {_UNADJUSTED}", nullable=True),
        Column("p_replicate_unadjusted", "float64", f"p_replicate {_UNADJUSTED}", nullable=True),
        Column("q_replicate_unadjusted", "float64", f"q_replicate {_UNADJUSTED}", nullable=True),
        *(
            Column(f"p_{name}", "float64", f"of the combined call: p_replicate in {meaning}", nullable=True)
            for name, meaning in (
                ("components_20", "20 principal components of expression"),
                ("components_50", "50 of them"),
                ("components_100", "100 of them"),
                ("robust_100", "100 components of standardised genes, outliers cut off"),
                ("learnt_50", "50 components, outliers cut off, weighed by other metabolites' replicates"),
                ("learnt_100", "the components of robust_100, weighed by other metabolites' replicates"),
                ("latent", "the model's latent; where it alone is small, the hit rests on the model"),
            )
        ),
        Column(
            "replicate_unit",
            "string",
            "what replicates are compared between: batch, or plate where all lie in one batch",
            nullable=True,
        ),
        Column(
            "compound",
            "string",
            "what the doses of a series share; the metabolite in a screen without doses",
            nullable=True,
        ),
        Column(
            "n_conditions", "int32", "conditions of the compound with comparable replicates", nullable=True
        ),
        Column("p_compound", "float64", "p of all its conditions, combined", nullable=True),
        Column("q_compound", "float64", "its Benjamini–Hochberg value over compounds", nullable=True),
        Column(
            "model_version",
            "string",
            "version of the model that made the latent; empty without one",
            nullable=True,
        ),
    ),
    key=("feature_space", "metabolite"),
    partitioned=False,
    code_version="2",
)

EXPRESSION_MAP = Table(
    asset="expression_map",
    made_by=SCREEN,
    description="Every well on the first two principal components of adjusted expression; a map that needs no model.",
    columns=(
        WELL_ID,
        Column("batch", "string", "screening batch"),
        Column("plate", "string", "plate within the batch"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("hit_class", "string", "class of the metabolite; empty for DMSO", nullable=True),
        Column("pca_1", "float64", "first principal component of adjusted expression"),
        Column("pca_2", "float64", "second principal component of adjusted expression"),
        Column("explained_pca_1", "float64", "share of variance of pca_1, the same in every row"),
        Column("explained_pca_2", "float64", "share of variance of pca_2, the same in every row"),
        Column("qc_pass", "bool", "usable; other wells are projected and not fitted on"),
    ),
    key=("well_id",),
    partitioned=False,
)

LATENT_MAP_AXES = Table(
    asset="latent_map_axes",
    made_by=SCREEN,
    needs_model=True,
    description="The fitted map of the latent space: mean and loading of each latent coordinate on its two axes.",
    columns=(
        Column("feature", "string", "latent coordinate"),
        Column("mean", "float64", "mean over the wells the map was fitted on"),
        Column("pca_1", "float64", "loading on the first principal component"),
        Column("pca_2", "float64", "loading on the second principal component"),
        Column("explained_pca_1", "float64", "share of variance of pca_1, the same in every row"),
        Column("explained_pca_2", "float64", "share of variance of pca_2, the same in every row"),
        MODEL_VERSION,
    ),
    key=("feature",),
    partitioned=False,
)

LATENT_MAP_REFERENCE = Table(
    asset="latent_map_reference",
    made_by=SCREEN,
    needs_model=True,
    description="The wells the map of the latent space was fitted on: usable wells of the training batches.",
    columns=(
        WELL_ID,
        *(Column(name, "float32", "latent coordinate") for name in LATENT_COLUMNS),
        Column("umap_1", "float64", "first UMAP coordinate, where UMAP was asked for", nullable=True),
        Column("umap_2", "float64", "second UMAP coordinate, where UMAP was asked for", nullable=True),
        MODEL_VERSION,
    ),
    key=("well_id",),
    partitioned=False,
)


def _latent_map(targets: Sequence[Target]) -> tuple[Column, ...]:
    return (
        WELL_ID,
        Column("batch", "string", "screening batch"),
        Column("plate", "string", "plate within the batch"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("hit_class", "string", "class of the metabolite; empty for DMSO", nullable=True),
        Column("pca_1", "float64", "first principal component of the latent"),
        Column("pca_2", "float64", "second principal component of the latent"),
        Column("umap_1", "float64", "first UMAP coordinate, where UMAP was asked for", nullable=True),
        Column("umap_2", "float64", "second UMAP coordinate, where UMAP was asked for", nullable=True),
        *prediction_columns(evaluated(targets), "float32"),
        Column("qc_pass", "bool", "usable"),
        Column("is_reference", "bool", "the map was fitted on this well; others are projected"),
        MODEL_VERSION,
    )


LATENT_MAP = Table(
    asset="latent_map",
    made_by=SCREEN,
    needs_model=True,
    description="Every scored well on the map of the latent space. New batches are projected; the map does not move.",
    columns_of=_latent_map,
    key=("well_id",),
    partitioned=False,
    code_version="2",
)

PHENOTYPE_CORRELATION = Table(
    asset="phenotype_correlation",
    made_by=SCREEN,
    needs_model=True,
    description="Correlation of distances, direction and latent coordinates with the scores over treated wells, "
    "before and after the position is taken out.",
    columns=(
        Column("quantity", "string", "distance, direction of the well's metabolite, or latent coordinate"),
        Column("target", "string", "name of the score"),
        Column("adjusted", "bool", "position taken out of both"),
        *(
            Column(f"{kind}{end}", "float64", f"{name}{meaning}", nullable=True)
            for kind, name in (("pearson", "Pearson's r"), ("spearman", "Spearman's rank correlation"))
            for end, meaning in (
                ("", ""),
                ("_low", ", lower end of the bootstrap interval over metabolites"),
                ("_high", ", upper end"),
            )
        ),
        Column("n_wells", "int32", "wells with both values"),
        MODEL_VERSION,
    ),
    key=("quantity", "target", "adjusted"),
    partitioned=False,
)
