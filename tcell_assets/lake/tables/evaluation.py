"""How good the model is on wells it has not seen, and how much its seeds disagree."""

from __future__ import annotations

from collections.abc import Sequence

from tcell_assets.lake.schema import Column, Table
from tcell_assets.lake.stages import ENSEMBLE, EVALUATE
from tcell_assets.lake.tables.columns import MODEL_VERSION, WELL_ID, prediction_columns
from tcell_assets.targets import Target, evaluated, labels

_SCHEME = Column(
    "scheme", "string", "what was held out: random, leave_metabolite_out, leave_plate_out, leave_batch_out"
)

_EVALUATED_MODEL = Column("model", "string", "rung of the ladder, from the mean to the transformer")

_TARGET = Column("target", "string", "name of the target")

_METRIC = Column(
    "metric",
    "string",
    "r2, mae, spearman, within_plate_residual_r2; auroc, auprc, brier, calibration_error for a label",
)


def _evaluation_predictions(targets: Sequence[Target]) -> tuple[Column, ...]:
    judged = evaluated(targets)
    return (
        _SCHEME,
        _EVALUATED_MODEL,
        Column("fold", "int32", "fold in which the well was held out"),
        WELL_ID,
        *prediction_columns(judged, "float64"),
        *(
            column
            for target in labels(judged)
            for column in (
                Column(
                    target.calibrated,
                    "float64",
                    f"{target.predicted} by one temperature for all folds, where that lowers the error on other folds",
                    nullable=True,
                ),
                # A model from before a label was declared says nothing of it.
                Column(
                    target.temperature,
                    "float64",
                    "that temperature; above 1 the model was too sure, 1 where it is left as it is",
                    nullable=not target.is_published,
                ),
            )
        ),
    )


EVALUATION_PREDICTIONS = Table(
    asset="evaluation_predictions",
    code_version="3",
    made_by=EVALUATE,
    description="What every model of the ladder predicts for wells it has not seen, in the same folds for all.",
    columns_of=_evaluation_predictions,
    key=("scheme", "model", "well_id"),
    partitioned=False,
)

MODEL_EVALUATION = Table(
    asset="model_evaluation",
    code_version="3",
    made_by=EVALUATE,
    description="How good every model of the ladder is on wells it has not seen, with bootstrap intervals over "
    "metabolites.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        _TARGET,
        _METRIC,
        Column(
            "calibrated", "bool", "of the probability after temperature scaling, where it was worth while"
        ),
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
    code_version="2",
    made_by=EVALUATE,
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
    code_version="3",
    made_by=EVALUATE,
    description="The conformal interval around a predicted score, extreme scores by radii of their own, and how many "
    "held-out wells it covers.",
    columns=(
        _SCHEME,
        _EVALUATED_MODEL,
        Column("target", "string", "name of the score"),
        Column("level", "float64", "nominal coverage"),
        Column("radius", "float64", "half the mean width; infinite where too few wells were held out"),
        Column("coverage", "float64", "share of held-out wells inside, by the other folds' intervals"),
        Column("n_wells", "int32", "held-out treated wells"),
        Column("n_members", "int32", "networks averaged in one prediction of the transformer"),
        Column("settings_hash", "string", "hash of the evaluated training settings, seed left out"),
        Column("low_tail_below", "float64", "scores below it are the lowest tenth", nullable=True),
        Column("high_tail_above", "float64", "scores above it are the highest tenth", nullable=True),
        Column(
            "low_tail_radius", "float64", "largest distance to the prediction in the low tail", nullable=True
        ),
        Column("inner_radius", "float64", "the same between the tails", nullable=True),
        Column("high_tail_radius", "float64", "the same in the high tail", nullable=True),
        Column("coverage_low_tail", "float64", "coverage of the lowest tenth of the scores", nullable=True),
        Column("coverage_high_tail", "float64", "coverage of the highest tenth of the scores", nullable=True),
    ),
    key=("scheme", "model", "target"),
    partitioned=False,
)

ENSEMBLE_MEMBERS = Table(
    asset="ensemble_members",
    made_by=ENSEMBLE,
    description="Models trained like the current one from other seeds; their spread is the sd of its predictions.",
    columns=(
        Column("member_version", "string", "version of the member, the model itself included"),
        Column("seed", "int32", "seed of its split, initial weights, order of wells and dropout"),
        Column("validation_loss", "float64", "loss of its best epoch on its own validation wells"),
        MODEL_VERSION,
    ),
    key=("member_version",),
    partitioned=False,
)
