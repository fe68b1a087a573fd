"""What the model says of the wells of a batch."""

from __future__ import annotations

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import SCORE
from tcell_assets.lake.tables.columns import LATENT_COLUMNS, MODEL_VERSION, SCORE_COLUMNS, WELL_ID

WELL_PREDICTIONS = Table(
    asset="well_predictions",
    made_by=SCORE,
    description="What the model predicts for each well, beside the targets. A head without a target stays empty.",
    columns=(
        WELL_ID,
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
        MODEL_VERSION,
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
    made_by=SCORE,
    description="The 32 numbers every head reads, for each well.",
    columns=(
        WELL_ID,
        *(Column(name, "float32", "latent coordinate") for name in LATENT_COLUMNS),
        Column("latent_norm", "float32", "length of the latent vector; kept for parity, never used to rank"),
        MODEL_VERSION,
    ),
    key=("well_id",),
)

ADJUSTED_EMBEDDINGS = Table(
    asset="adjusted_embeddings",
    made_by=SCORE,
    description="Latents with the plate position taken out; the raw ones stay beside them.",
    columns=(
        WELL_ID,
        *(Column(name, "float32", "latent coordinate, position taken out") for name in LATENT_COLUMNS),
        MODEL_VERSION,
    ),
    key=("well_id",),
)

DMSO_DISTANCES = Table(
    asset="dmso_distances",
    made_by=SCORE,
    description="How far each well's latent lies from the DMSO wells. A DMSO well is left out of its own centre.",
    columns=(
        WELL_ID,
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        Column("euclidean", "float64", "length of latent − DMSO centre"),
        Column("cosine", "float64", "1 − cosine of latent and DMSO centre (published definition)"),
        Column("cosine_centered", "float64", "the same after subtracting the training wells' mean latent"),
        Column("reference_scope", "string", "screen, batch, plate or plate_shrunk"),
        Column("reference_size", "int32", "DMSO wells in this well's centre"),
        Column("qc_pass", "bool", "usable; a well that fails enters no centre and no score"),
        MODEL_VERSION,
    ),
    key=("well_id",),
)

GENE_IMPORTANCE = Table(
    asset="gene_importance",
    made_by=SCORE,
    description="Gradient × Input of one head for each gene, averaged over the batch's wells.",
    columns=(
        Column("gene", "string", "gene symbol"),
        Column("importance", "float64", "mean over wells of |x · ∂prediction/∂x|"),
        Column("signed_importance", "float64", "mean over wells of x · ∂prediction/∂x"),
        Column("n_wells", "int32", "wells in the mean"),
        Column("head", "string", "the output explained"),
        Column("method", "string", "attribution method"),
        MODEL_VERSION,
    ),
    key=("gene",),
)

# What the network makes of a batch in one pass; every other table of the stage is made from these.
NETWORK_TABLES = (WELL_PREDICTIONS.asset, LATENT_EMBEDDINGS.asset, GENE_IMPORTANCE.asset)
