"""What the model says of the wells of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import SCORE
from tcell_assets.lake.tables.columns import (
    DISTANCES,
    LATENT_COLUMNS,
    MODEL_VERSION,
    WELL_ID,
    prediction_columns,
    target_columns,
)
from tcell_assets.targets import Target, scores


def _well_predictions(targets: Sequence[Target]) -> tuple[Column, ...]:
    return (
        WELL_ID,
        Column("metabolite", "string", "treatment as written on the plate map"),
        Column("is_dmso", "bool", "vehicle control"),
        *target_columns(targets, role="target"),
        *prediction_columns(targets, "float32", with_logit=True),
        Column("split", "string", "train, val, or unseen by this model"),
        Column(
            "qc_pass", "bool", "usable; a well that fails is predicted but enters no training and no score"
        ),
        MODEL_VERSION,
        *(
            Column(
                target.spread,
                "float64",
                f"spread of the predicted {target.predicted} over the members of the ensemble; empty without one",
                nullable=True,
            )
            for target in targets
        ),
        *(
            Column(
                name,
                "float64",
                f"{meaning} end of the conformal interval for a metabolite never seen; empty until these settings "
                "were evaluated",
                nullable=True,
            )
            for target in scores(targets)
            for name, meaning in ((target.low, "lower"), (target.high, "upper"))
        ),
    )


WELL_PREDICTIONS = Table(
    asset="well_predictions",
    made_by=SCORE,
    description="What the model predicts for each well, beside the targets. A head without a target stays empty.",
    columns_of=_well_predictions,
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
        *DISTANCES,
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
