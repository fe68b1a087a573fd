"""The columns of every table in the lake: name, type, unit and meaning, in one place.

The Parquet writer validates against these, the Dagster UI shows them, and the documentation is generated from them.
Pandas and pyarrow are imported where they are used: they would almost double the time the definitions take to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LATENT_DIMENSION = 32
LATENT_COLUMNS = tuple(f"z_{index:02d}" for index in range(LATENT_DIMENSION))

SCORE_COLUMNS = ("tscore", "cytotrace", "pseudotime")
TARGET_COLUMNS = (*SCORE_COLUMNS, "is_activated", "activation_score")


class SchemaError(ValueError):
    """A frame does not fit the table it was meant for."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the name of its Arrow type, what it means, and whether a value may be missing."""

    name: str
    type: str
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the lake, named as its asset.

    `key` columns together identify a row. `gene_columns` says that one column a gene of this type follows the listed
    ones; those are never listed in a schema (thousands of them would drown the UI). `code_version` changes whenever
    the same input would give other values.
    """

    asset: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    gene_columns: str | None = None
    partitioned: bool = True
    code_version: str = "1"

    def arrow_schema(self, frame_columns: list[str]) -> pa.Schema:
        """Return the Arrow schema for a frame with these columns.

        Raises:
            SchemaError: Columns are missing, unknown or out of order.
        """
        import pyarrow as pa

        listed = [column.name for column in self.columns]
        fields = [
            pa.field(column.name, pa.type_for_alias(column.type), nullable=column.nullable)
            for column in self.columns
        ]
        if self.gene_columns is None:
            if frame_columns != listed:
                raise SchemaError(_column_difference(self.asset, listed, frame_columns))
            return pa.schema(fields)
        if frame_columns[: len(listed)] != listed:
            raise SchemaError(_column_difference(self.asset, listed, frame_columns[: len(listed)]))
        gene_type = pa.type_for_alias(self.gene_columns)
        genes = frame_columns[len(listed) :]
        return pa.schema([*fields, *(pa.field(gene, gene_type, nullable=False) for gene in genes)])

    def to_arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Return `frame` as an Arrow table of exactly this schema, without the pandas index.

        Raises:
            SchemaError: Columns differ, a value does not fit its type, a value is missing where none may be, or two
                rows share one key.
        """
        import numpy as np
        import pyarrow as pa

        schema = self.arrow_schema([str(column) for column in frame.columns])
        for column in self.columns:
            absent = frame[column.name].isna().to_numpy()
            if not column.nullable and absent.any():
                row = int(np.flatnonzero(absent)[0])
                raise SchemaError(
                    f"table {self.asset}: row {row} has no {column.name}, which every row needs"
                )
        try:
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False, safe=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaError(f"table {self.asset}: {error}") from error
        for column in self.columns:
            if not column.nullable and table.column(column.name).null_count:
                row = int(np.flatnonzero(table.column(column.name).is_null().to_numpy())[0])
                raise SchemaError(
                    f"table {self.asset}: row {row} has no {column.name}, which every row needs"
                )
        duplicated = frame.duplicated(list(self.key))
        if duplicated.any():
            first = frame.loc[duplicated, list(self.key)].iloc[0].to_dict()
            raise SchemaError(f"table {self.asset}: more than one row for {first}")
        return table.replace_schema_metadata(None)


def _column_difference(asset: str, expected: list[str], found: list[str]) -> str:
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown:
        return f"table {asset}: columns missing {missing}, unknown {unknown}"
    return f"table {asset}: columns stand in the order {found}, expected {expected}"


_WELL_ID = Column("well_id", "string", "`<batch>_<plate>_<well>`, unique in the screen")
_MODEL_VERSION = Column("model_version", "string", "version of the model that made this row")

WELL_METADATA = Table(
    asset="well_metadata",
    description="Where each well lies, what it was treated with, and its phenotype targets where they are known.",
    columns=(
        _WELL_ID,
        Column("batch", "string", "screening batch, the name of its folder"),
        Column("plate", "string", "plate within the batch"),
        Column("well", "string", "well position, e.g. E12"),
        Column("row", "string", "plate row letter"),
        Column("column", "int32", "plate column, from 1"),
        Column("is_edge", "bool", "lies on the rim of the plate"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("cluster", "string", "expression cluster, where the screen names one", nullable=True),
        Column("tscore", "float64", "Tscore, z-scored over the screen", nullable=True),
        Column("cytotrace", "float64", "CytoTRACE, z-scored over the screen", nullable=True),
        Column("pseudotime", "float64", "pseudotime, z-scored over the screen", nullable=True),
        Column("is_activated", "bool", "resting (false) or activated (true)", nullable=True),
        Column("activation_score", "float64", "legacy activation score, in its own unit", nullable=True),
        Column("concentration", "float64", "dose as on the plate map, in its unit", nullable=True),
        Column(
            "sample_type", "string", "sample, vehicle_control or positive_control, where known", nullable=True
        ),
    ),
    key=("well_id",),
)

EXPRESSION_MATRIX = Table(
    asset="expression_matrix",
    description="Variance-stabilised expression (log2 scale), one float32 column a gene after `well_id`.",
    columns=(_WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)

TRAINING_HISTORY = Table(
    asset="training_history",
    description="Losses of every epoch, well-weighted, for training and validation wells.",
    columns=(
        Column("epoch", "int32", "epoch, from 1"),
        Column("split", "string", "train or val"),
        Column("total", "float64", "mse + bce + weight × reg"),
        Column("mse", "float64", "mean squared error over wells and the three scores"),
        Column("bce", "float64", "binary cross-entropy of resting or activated"),
        Column("reg", "float64", "squared error of the standardised legacy activation score", nullable=True),
        Column("learning_rate", "float64", "learning rate at the end of the epoch"),
        Column("seconds", "float64", "wall time of this split's pass"),
        Column("is_best", "bool", "the epoch whose weights the model keeps"),
    ),
    key=("epoch", "split"),
    partitioned=False,
)

WELL_PREDICTIONS = Table(
    asset="well_predictions",
    description="What the model predicts for each well, beside the targets. A head without a target stays empty.",
    columns=(
        _WELL_ID,
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("tscore", "float64", "target Tscore", nullable=True),
        Column("cytotrace", "float64", "target CytoTRACE", nullable=True),
        Column("pseudotime", "float64", "target pseudotime", nullable=True),
        Column("is_activated", "bool", "target label", nullable=True),
        Column("activation_score", "float64", "target legacy activation score", nullable=True),
        Column("pred_tscore", "float32", "predicted Tscore", nullable=True),
        Column("pred_cytotrace", "float32", "predicted CytoTRACE", nullable=True),
        Column("pred_pseudotime", "float32", "predicted pseudotime", nullable=True),
        Column("activation_logit", "float32", "log-odds that the well is activated", nullable=True),
        Column("activation_probability", "float32", "probability that the well is activated", nullable=True),
        Column("pred_activation", "float32", "predicted legacy activation score, in its unit", nullable=True),
        Column("split", "string", "train, val, or unseen by this model"),
        Column(
            "qc_pass", "bool", "usable; a well that fails is predicted but enters no training and no score"
        ),
        _MODEL_VERSION,
        *(
            Column(
                f"sd_{name}",
                "float64",
                f"spread of the predicted {meaning} over the members of the ensemble; empty without one",
                nullable=True,
            )
            for name, meaning in (
                ("tscore", "Tscore"),
                ("cytotrace", "CytoTRACE"),
                ("pseudotime", "pseudotime"),
                ("activation_probability", "probability of activation"),
                ("activation", "legacy activation score"),
            )
        ),
        *(
            Column(
                f"{end}_{score}",
                "float64",
                f"{meaning} end of the conformal interval for a metabolite never seen; empty until these settings "
                "were evaluated",
                nullable=True,
            )
            for score in SCORE_COLUMNS
            for end, meaning in (("low", "lower"), ("high", "upper"))
        ),
    ),
    key=("well_id",),
    code_version="2",
)

LATENT_EMBEDDINGS = Table(
    asset="latent_embeddings",
    description="The 32 numbers every head reads, for each well.",
    columns=(
        _WELL_ID,
        *(Column(name, "float32", "latent coordinate") for name in LATENT_COLUMNS),
        Column("latent_norm", "float32", "length of the latent vector; kept for parity, never used to rank"),
        _MODEL_VERSION,
    ),
    key=("well_id",),
)

DMSO_DISTANCES = Table(
    asset="dmso_distances",
    description="How far each well's latent lies from the DMSO wells. A DMSO well is left out of its own centre.",
    columns=(
        _WELL_ID,
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("euclidean", "float64", "length of latent − DMSO centre"),
        Column("cosine", "float64", "1 − cosine of latent and DMSO centre (published definition)"),
        Column("cosine_centered", "float64", "the same after subtracting the training wells' mean latent"),
        Column("reference_scope", "string", "screen, batch, plate or plate_shrunk"),
        Column("reference_size", "int32", "DMSO wells in this well's centre"),
        Column("qc_pass", "bool", "usable; a well that fails enters no centre and no score"),
        _MODEL_VERSION,
    ),
    key=("well_id",),
)

GENE_IMPORTANCE = Table(
    asset="gene_importance",
    description="Gradient × Input of one head for each gene, averaged over the batch's wells.",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "mean over wells of |x · ∂prediction/∂x|"),
        Column("signed_importance", "float64", "mean over wells of x · ∂prediction/∂x"),
        Column("n_wells", "int32", "wells in the mean"),
        Column("head", "string", "the output explained"),
        Column("method", "string", "attribution method"),
        _MODEL_VERSION,
    ),
    key=("gene",),
)

METABOLITE_SCORES = Table(
    asset="metabolite_scores",
    description="Each metabolite over all batches, best hit first: how far from DMSO, how activated. DMSO itself has "
    "no row.",
    columns=(
        Column("rank", "int32", "1 is the strongest by what `ranked_by` says", nullable=True),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("n_wells", "int32", "usable wells"),
        *(
            column
            for name, meaning in (
                ("euclidean", "the euclidean distance to DMSO"),
                ("cosine", "the cosine distance to DMSO"),
                ("cosine_centered", "the centred cosine distance to DMSO"),
                ("activation_probability", "the predicted probability of activation"),
                ("pred_activation", "the predicted legacy activation score"),
            )
            for column in (
                Column(f"mean_{name}", "float64", f"mean of {meaning}", nullable=True),
                Column(f"sd_{name}", "float64", f"standard deviation (n − 1) of {meaning}", nullable=True),
                Column(f"n_{name}", "int32", f"wells with {meaning}"),
            )
        ),
        Column("hit_class", "string", "class of the metabolite in the latent, see `hit_calls`"),
        Column(
            "ranked_by",
            "string",
            "hit_calls, or mean_euclidean in a screen where no replicates can be compared",
        ),
        _MODEL_VERSION,
    ),
    key=("metabolite",),
    partitioned=False,
    code_version="2",
)

GENE_IMPORTANCE_RANKING = Table(
    asset="gene_importance_ranking",
    description="Gene importance over all batches: the well-weighted mean, which is the published global formula.",
    columns=(
        Column("rank", "int32", "1 is the most important gene"),
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "well-weighted mean over batches of |x · ∂prediction/∂x|"),
        Column("signed_importance", "float64", "well-weighted mean over batches of x · ∂prediction/∂x"),
        Column("n_wells", "int32", "wells in the mean"),
        Column("head", "string", "the output explained"),
        Column("method", "string", "attribution method"),
        _MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)

COUNT_MATRIX = Table(
    asset="count_matrix",
    description="Raw UMI counts as landed, one row a well and gene with a count; empty where a batch landed as VST. "
    "A gene never seen keeps one row of 0, so that the list of genes is whole.",
    columns=(
        _WELL_ID,
        Column("gene", "string", "gene symbol"),
        Column("count", "int32", "UMIs counted of the gene in the well"),
    ),
    key=("well_id", "gene"),
)

WELL_QC = Table(
    asset="well_qc",
    description="Technical quality of each well. A well that fails enters no training, DMSO centre or score.",
    columns=(
        _WELL_ID,
        Column("total_umi", "float64", "UMI of the well; empty without counts", nullable=True),
        Column("genes_seen", "float64", "genes with at least one UMI; empty without counts", nullable=True),
        Column("mitochondrial_share", "float64", "share of mitochondrial UMI", nullable=True),
        Column("ribosomal_share", "float64", "share of ribosomal protein UMI", nullable=True),
        Column("top20_share", "float64", "share of the 20 genes with most UMI", nullable=True),
        Column("dmso_correlation", "float64", "correlation to the plate's mean DMSO profile", nullable=True),
        Column("rle_median", "float64", "median of expression relative to the plate's gene medians, log2"),
        Column("rle_iqr", "float64", "interquartile range of the same, log2"),
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
)

POSITION_AUDIT = Table(
    asset="position_audit",
    description="How much of each variable of a batch the position on the plate alone explains.",
    columns=_POSITION_COLUMNS,
    key=("variable",),
)

SCREEN_POSITION_AUDIT = Table(
    asset="screen_position_audit",
    description="The same over all batches, latents included: the screen's verdict on its own plate layout.",
    columns=_POSITION_COLUMNS,
    key=("variable",),
    partitioned=False,
)

DESIGN_AUDIT = Table(
    asset="design_audit",
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
    description="Correlation of every pair of plate maps; a plate that resembles the other batch may be swapped.",
    columns=(
        Column("plate_a", "string", "`<batch>_<plate>`"),
        Column("plate_b", "string", "`<batch>_<plate>`"),
        Column("batch_a", "string", "batch of plate_a"),
        Column("batch_b", "string", "batch of plate_b"),
        Column("n_wells", "int32", "positions in common"),
        Column("correlation", "float64", "median over variables of Pearson's r", nullable=True),
        Column("is_suspected_swap", "bool", "the two plates look exchanged between their batches"),
    ),
    key=("plate_a", "plate_b"),
    partitioned=False,
)

ADJUSTED_EXPRESSION = Table(
    asset="adjusted_expression",
    description="Expression with the plate position taken out, one float32 column a gene; the raw one stays beside it.",
    columns=(_WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)

ADJUSTED_EMBEDDINGS = Table(
    asset="adjusted_embeddings",
    description="Latents with the plate position taken out; the raw ones stay beside them.",
    columns=(
        _WELL_ID,
        *(Column(name, "float32", "latent coordinate, position taken out") for name in LATENT_COLUMNS),
        _MODEL_VERSION,
    ),
    key=("well_id",),
)

_UNADJUSTED = "before the position adjustment"

HIT_CALLS = Table(
    asset="hit_calls",
    description="Which metabolites act: replicates that agree beyond chance and position, called with the same code on "
    "the model's latent and on principal components of expression.",
    columns=(
        Column("feature_space", "string", "latent, or expression (principal components)"),
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
        _MODEL_VERSION,
    ),
    key=("feature_space", "metabolite"),
    partitioned=False,
)

LATENT_MAP_AXES = Table(
    asset="latent_map_axes",
    description="The fitted map of the latent space: mean and loading of each latent coordinate on its two axes.",
    columns=(
        Column("feature", "string", "latent coordinate"),
        Column("mean", "float64", "mean over the wells the map was fitted on"),
        Column("pca_1", "float64", "loading on the first principal component"),
        Column("pca_2", "float64", "loading on the second principal component"),
        Column("explained_pca_1", "float64", "share of variance of pca_1, the same in every row"),
        Column("explained_pca_2", "float64", "share of variance of pca_2, the same in every row"),
        _MODEL_VERSION,
    ),
    key=("feature",),
    partitioned=False,
)

LATENT_MAP_REFERENCE = Table(
    asset="latent_map_reference",
    description="The wells the map of the latent space was fitted on: usable wells of the training batches.",
    columns=(
        _WELL_ID,
        *(Column(name, "float32", "latent coordinate") for name in LATENT_COLUMNS),
        Column("umap_1", "float64", "first UMAP coordinate, where UMAP was asked for", nullable=True),
        Column("umap_2", "float64", "second UMAP coordinate, where UMAP was asked for", nullable=True),
        _MODEL_VERSION,
    ),
    key=("well_id",),
    partitioned=False,
)

LATENT_MAP = Table(
    asset="latent_map",
    description="Every scored well on the map of the latent space. New batches are projected; the map does not move.",
    columns=(
        _WELL_ID,
        Column("batch", "string", "screening batch"),
        Column("plate", "string", "plate within the batch"),
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("hit_class", "string", "class of the metabolite in the latent; empty for DMSO", nullable=True),
        Column("pca_1", "float64", "first principal component of the latent"),
        Column("pca_2", "float64", "second principal component of the latent"),
        Column("umap_1", "float64", "first UMAP coordinate, where UMAP was asked for", nullable=True),
        Column("umap_2", "float64", "second UMAP coordinate, where UMAP was asked for", nullable=True),
        Column("pred_tscore", "float32", "predicted Tscore", nullable=True),
        Column("pred_cytotrace", "float32", "predicted CytoTRACE", nullable=True),
        Column("pred_pseudotime", "float32", "predicted pseudotime", nullable=True),
        Column("activation_probability", "float32", "probability that the well is activated", nullable=True),
        Column("qc_pass", "bool", "usable"),
        Column("is_reference", "bool", "the map was fitted on this well; others are projected"),
        _MODEL_VERSION,
    ),
    key=("well_id",),
    partitioned=False,
)

PHENOTYPE_CORRELATION = Table(
    asset="phenotype_correlation",
    description="Correlation of distances, direction and latent coordinates with the three scores over treated wells, "
    "before and after the position is taken out.",
    columns=(
        Column("quantity", "string", "distance, direction of the well's metabolite, or latent coordinate"),
        Column("target", "string", "tscore, cytotrace or pseudotime"),
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
        _MODEL_VERSION,
    ),
    key=("quantity", "target", "adjusted"),
    partitioned=False,
)

_SCHEME = Column(
    "scheme", "string", "what was held out: random, leave_metabolite_out, leave_plate_out, leave_batch_out"
)
_EVALUATED_MODEL = Column("model", "string", "rung of the ladder, from the mean to the transformer")
_TARGET = Column("target", "string", "tscore, cytotrace, pseudotime or is_activated")
_METRIC = Column(
    "metric",
    "string",
    "r2, mae, spearman, within_plate_residual_r2; auroc, auprc, brier, calibration_error for the label",
)

EVALUATION_PREDICTIONS = Table(
    asset="evaluation_predictions",
    description="What every model of the ladder predicts for wells it has not seen, in the same folds for all.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        Column("fold", "int32", "fold in which the well was held out"),
        _WELL_ID,
        Column("pred_tscore", "float64", "predicted Tscore", nullable=True),
        Column("pred_cytotrace", "float64", "predicted CytoTRACE", nullable=True),
        Column("pred_pseudotime", "float64", "predicted pseudotime", nullable=True),
        Column("activation_probability", "float64", "predicted probability of activation", nullable=True),
        Column(
            "calibrated_probability",
            "float64",
            "the same after temperature scaling fitted on the other folds",
            nullable=True,
        ),
        Column("temperature", "float64", "that temperature; above 1 the model was too sure"),
    ),
    key=("scheme", "model", "well_id"),
    partitioned=False,
)

MODEL_EVALUATION = Table(
    asset="model_evaluation",
    description="How good every model of the ladder is on wells it has not seen, with bootstrap intervals over "
    "metabolites.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        _TARGET,
        _METRIC,
        Column("calibrated", "bool", "of the probability after temperature scaling"),
        Column("value", "float64", "the metric; empty where it is undefined", nullable=True),
        Column("low", "float64", "lower end of its interval", nullable=True),
        Column("high", "float64", "upper end of its interval", nullable=True),
        Column("n_wells", "int32", "held-out treated wells"),
        Column(
            "replicate_leakage",
            "float64",
            "share of them whose metabolite was in training too; near 1 the value says little of new metabolites",
        ),
    ),
    key=("scheme", "model", "target", "metric", "calibrated"),
    partitioned=False,
)

MODEL_COMPARISON = Table(
    asset="model_comparison",
    description="How far the Transformer lies above every other model on the same wells: better only where the interval"
    " excludes 0.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        Column("other", "string", "model compared with"),
        _TARGET,
        _METRIC,
        Column("value", "float64", "metric of the model", nullable=True),
        Column("other_value", "float64", "metric of the other", nullable=True),
        Column("difference", "float64", "above 0 favours the model, also for errors", nullable=True),
        Column("low", "float64", "lower end of its bootstrap interval", nullable=True),
        Column("high", "float64", "upper end", nullable=True),
        Column("verdict", "string", "better, worse or not distinguishable"),
    ),
    key=("scheme", "model", "other", "target", "metric"),
    partitioned=False,
)

PREDICTION_INTERVALS = Table(
    asset="prediction_intervals",
    description="Half-width of the conformal interval around a predicted score, and how many held-out wells it covers.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        Column("target", "string", "tscore, cytotrace or pseudotime"),
        Column("level", "float64", "nominal coverage"),
        Column("radius", "float64", "half-width; infinite where too few wells were held out"),
        Column("coverage", "float64", "share of held-out wells inside, by the other folds' radius"),
        Column("n_wells", "int32", "held-out treated wells"),
        Column("n_members", "int32", "networks averaged in one prediction of the transformer"),
        Column("settings_hash", "string", "hash of the evaluated training settings, seed left out"),
    ),
    key=("scheme", "model", "target"),
    partitioned=False,
)

ENSEMBLE_MEMBERS = Table(
    asset="ensemble_members",
    description="Models trained like the current one from other seeds; their spread is the sd of its predictions.",
    columns=(
        Column("member_version", "string", "version of the member, the model itself included"),
        Column("seed", "int32", "seed of its split, initial weights, order of wells and dropout"),
        Column("validation_loss", "float64", "loss of its best epoch on its own validation wells"),
        _MODEL_VERSION,
    ),
    key=("member_version",),
    partitioned=False,
)

_HEAD = Column("head", "string", "the output explained")

INTEGRATED_GRADIENTS = Table(
    asset="integrated_gradients",
    description="Integrated Gradients of one head for each gene, from the mean of the training DMSO wells, averaged "
    "over the batch's usable wells.",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "mean over wells of |IG|, in the head's unit"),
        Column("signed_importance", "float64", "mean over wells of IG"),
        Column("n_wells", "int32", "wells in the mean"),
        _HEAD,
        Column("method", "string", "attribution method"),
        _MODEL_VERSION,
    ),
    key=("gene",),
)

ATTRIBUTED_WELLS = Table(
    asset="attributed_wells",
    description="How completely Integrated Gradients explain each usable well: what they add up to against what they "
    "should.",
    columns=(
        _WELL_ID,
        Column("output", "float64", "the head's output for the well"),
        Column("baseline_output", "float64", "its output for the mean of the training DMSO wells"),
        Column(
            "completeness_error",
            "float64",
            "|sum of IG − (output − baseline output)|; 0 were the integral exact",
        ),
        _HEAD,
        _MODEL_VERSION,
    ),
    key=("well_id",),
)

GENE_ATTRIBUTIONS = Table(
    asset="gene_attributions",
    description="Integrated Gradients of each usable well, one float32 column a gene, in the head's unit.",
    columns=(_WELL_ID,),
    key=("well_id",),
    gene_columns="float32",
)

INTEGRATED_GRADIENTS_RANKING = Table(
    asset="integrated_gradients_ranking",
    description="Integrated Gradients over all batches: the well-weighted mean, gene by gene.",
    columns=(
        Column("rank", "int32", "1 is the most important gene"),
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "well-weighted mean over batches of |IG|"),
        Column("signed_importance", "float64", "well-weighted mean over batches of IG"),
        Column("n_wells", "int32", "wells in the mean"),
        _HEAD,
        Column("method", "string", "attribution method"),
        _MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)

HIT_DRIVERS = Table(
    asset="hit_drivers",
    description="The genes that move the explained head most in each hit, with their sign.",
    columns=(
        Column("metabolite", "string", "a hit in the latent"),
        Column("hit_class", "string", "activator, suppressor or active_other"),
        Column("driver_rank", "int32", "1 moves the head most"),
        Column("gene", "string", "gene symbol"),
        Column("attribution", "float64", "mean IG over its wells; above 0 raises the head against DMSO"),
        Column("n_replicates", "int32", "attributed wells"),
        Column("n_same_sign", "int32", "of them with that sign"),
        _HEAD,
        _MODEL_VERSION,
    ),
    key=("metabolite", "gene"),
    partitioned=False,
)

GENE_SET_ENRICHMENT = Table(
    asset="gene_set_enrichment",
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
        _HEAD,
        _MODEL_VERSION,
    ),
    key=("method", "gene_set"),
    partitioned=False,
)

IMPORTANCE_STABILITY = Table(
    asset="importance_stability",
    description="How far the members of the ensemble agree on each gene's importance (Gradient × Input).",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("mean_importance", "float64", "mean over members"),
        Column("sd_importance", "float64", "standard deviation (n − 1) over members"),
        Column("mean_rank", "float64", "mean rank over members"),
        Column("sd_rank", "float64", "standard deviation (n − 1) of the rank"),
        Column("share_in_top", "float64", "share of members that rank the gene among the top"),
        Column("n_members", "int32", "members"),
        _HEAD,
        _MODEL_VERSION,
    ),
    key=("gene",),
    partitioned=False,
)

TABLES: dict[str, Table] = {
    table.asset: table
    for table in (
        WELL_METADATA,
        COUNT_MATRIX,
        EXPRESSION_MATRIX,
        WELL_QC,
        PLATE_QC,
        POSITION_AUDIT,
        ADJUSTED_EXPRESSION,
        ADJUSTED_EMBEDDINGS,
        SCREEN_POSITION_AUDIT,
        DESIGN_AUDIT,
        PLATE_SIMILARITY,
        TRAINING_HISTORY,
        WELL_PREDICTIONS,
        LATENT_EMBEDDINGS,
        DMSO_DISTANCES,
        GENE_IMPORTANCE,
        METABOLITE_SCORES,
        GENE_IMPORTANCE_RANKING,
        HIT_CALLS,
        LATENT_MAP_AXES,
        LATENT_MAP_REFERENCE,
        LATENT_MAP,
        PHENOTYPE_CORRELATION,
        EVALUATION_PREDICTIONS,
        MODEL_EVALUATION,
        MODEL_COMPARISON,
        PREDICTION_INTERVALS,
        ENSEMBLE_MEMBERS,
        INTEGRATED_GRADIENTS,
        ATTRIBUTED_WELLS,
        GENE_ATTRIBUTIONS,
        INTEGRATED_GRADIENTS_RANKING,
        HIT_DRIVERS,
        GENE_SET_ENRICHMENT,
        IMPORTANCE_STABILITY,
    )
}
