"""How good the model is on wells it has not seen, against plainer models, and how much its seeds disagree."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from tcell_assets.defs.assets.model_input import (
    evaluation_input,
    save_fit,
    training_input,
    training_reference,
)
from tcell_assets.defs.assets.uncertainty import INTERVAL_MODEL, INTERVAL_SCHEME, settings_hash
from tcell_assets.defs.launchpad import Launchpad
from tcell_assets.defs.metadata import TableResult, preview, table_asset, table_out, table_result
from tcell_assets.defs.resources import GPU_OP_TAGS, GPU_POOL, Storage, TransformerCompute
from tcell_assets.installation.progress import progress_of
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.evaluation.settings import SCHEMES, EvaluationSettings
from tcell_assets.science.model.settings import EnsembleSettings, TrainingRequest, TrainingSettings
from tcell_assets.targets import Target, known_targets, known_with, labels, names_of

if TYPE_CHECKING:
    import pandas as pd
    from upath import UPath

    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.science.evaluation.settings import Scheme

OWNERS = ["team:computational-biology"]

ABOVE_CHECK = "transformer_above_plainer_models"
COVERAGE_CHECK = "intervals_cover_as_stated"
COVERAGE_TOLERANCE = 0.03
# Extreme scores are where hits are; a tail is a tenth of the wells, so its coverage is known less well.
TAIL_TOLERANCE = 0.05


@dg.multi_asset(
    name="evaluate_models",
    outs={
        asset: table_out(asset, __name__, OWNERS)
        for asset in (
            "evaluation_predictions",
            "model_evaluation",
            "model_comparison",
            "prediction_intervals",
        )
    },
    check_specs=[
        dg.AssetCheckSpec(
            ABOVE_CHECK,
            asset="model_comparison",
            description="With metabolites held out the Transformer is above the best rung of the ladder, and above "
            "position alone, for every score and the label.",
        ),
        dg.AssetCheckSpec(
            COVERAGE_CHECK,
            asset="prediction_intervals",
            description="Intervals of the Transformer cover held-out metabolites within 3 points of the stated level, "
            "and the lowest and highest tenth of each score to no less than 5 points below it.",
        ),
    ],
    deps=["trained_model", "expression_matrix", "count_matrix", "well_metadata", "well_qc"],
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def evaluate_models(
    context: dg.AssetExecutionContext,
    config: Launchpad[EvaluationSettings],
    storage: Storage,
    compute: TransformerCompute,
) -> Iterator[TableResult | dg.AssetCheckResult]:
    """Train the whole ladder on every fold, predict what was held out, and compare."""
    import pandas as pd

    from tcell_assets.lake.kept_frames import KeptFrames
    from tcell_assets.science.evaluation.calibration import calibrate_out_of_fold
    from tcell_assets.science.evaluation.conformal import conformal_radii
    from tcell_assets.science.evaluation.evaluation_ladder import baseline_ladder
    from tcell_assets.science.evaluation.model_evaluation import (
        ladder_metrics,
        out_of_fold_predictions,
        paired_differences,
    )

    evaluation = config.settings()
    settings, n_genes, targets = _evaluated_network(storage.models(), evaluation.training)
    # What was evaluated are the settings; they are the current model's unless others were asked for.
    evaluated_model = storage.models().current() if evaluation.training is None else None
    data, batch_hashes = evaluation_input(storage.lake(), settings, n_genes, targets)
    schemes, n_folds, left_out = _possible_schemes(data.wells, evaluation)
    if left_out:
        context.log.warning(f"left out, the screen has too few groups: {'; '.join(left_out)}")
    seeds = [settings.seed + number for number in range(evaluation.members)]
    ladder = baseline_ladder(data.depth is not None, evaluation.seed)
    ladder[INTERVAL_MODEL] = compute.rung(settings, seeds)
    # All that the fits depend on: another text, and none of those kept is taken.
    work = [
        batch_hashes,
        asdict(settings),
        names_of(targets),
        asdict(evaluation),
        sorted(ladder),
        TABLES["evaluation_predictions"].code_version,
        asdict(compute.resolve()),
    ]
    kept = KeptFrames(
        storage.local_folder("unfinished_evaluation"), json.dumps(work, sort_keys=True, default=str)
    )
    with progress_of(context.log.info, "evaluating", n_folds * len(ladder), "fits") as bar:
        if len(kept):
            bar.say(f"goes on after {len(kept)} fits that a stopped evaluation finished")
        predictions = out_of_fold_predictions(
            data,
            ladder,
            schemes,
            n_folds=evaluation.n_folds,
            seed=evaluation.seed,
            on_progress=_count_fits(bar.wells_done),
            kept=kept,
        )
    drawn: dict[str, Any] = {
        "draws": evaluation.draws,
        "level": evaluation.level,
        "seed": evaluation.seed,
        "targets": targets,
    }
    calibrated = calibrate_out_of_fold(predictions, data.wells, targets)
    metrics = ladder_metrics(predictions, data.wells, **drawn).assign(calibrated=False)
    of_label = ladder_metrics(calibrated, data.wells, **drawn).assign(calibrated=True)
    metrics = pd.concat(
        [metrics, of_label[of_label["target"].isin(names_of(labels(targets)))]], ignore_index=True
    )
    differences = paired_differences(predictions, data.wells, INTERVAL_MODEL, **drawn)
    intervals = conformal_radii(predictions, data.wells, level=evaluation.interval_level, targets=targets)
    tables = {
        "evaluation_predictions": predictions.assign(
            **{
                column: calibrated[made]
                for target in labels(targets)
                for column, made in (
                    (target.calibrated, target.prediction),
                    (target.temperature, target.temperature),
                )
                if made in calibrated
            }
        ),
        "model_evaluation": metrics,
        "model_comparison": differences,
        "prediction_intervals": intervals.assign(
            n_members=evaluation.members, settings_hash=settings_hash(settings, targets)
        ),
    }
    headline = metrics[metrics["metric"].isin(["r2", "auroc"]) & ~metrics["calibrated"]]
    shown = {
        "schemes": ", ".join(schemes),
        "schemes_left_out": "; ".join(left_out) or "none",
        "wells": len(data.wells),
        "preset": settings.preset,
        "epochs": settings.epochs,
        "members": evaluation.members,
        "preview": preview(headline[["scheme", "model", "target", "metric", "value", "low", "high"]], 120),
    }
    for asset, table in tables.items():
        yield table_result(
            asset,
            table,
            shown,
            model_version=evaluated_model,
            training_batches=batch_hashes,
            targets=known_with(targets),
        )
    yield _above_check(differences)
    yield _coverage_check(intervals, evaluation.interval_level)
    kept.finish()


def _evaluated_network(
    models: "ModelRegistry", request: TrainingRequest | None
) -> tuple[TrainingSettings, int | None, tuple[Target, ...]]:
    """The settings to evaluate, how many genes batches of counts are modelled with, and what is learnt."""
    from tcell_assets.science.model.trained_model import targets_of_manifest

    current = models.current()
    if request is not None or current is None:
        request = request or TrainingRequest()
        return request.training, request.n_genes, known_targets()
    manifest = models.manifest(current)
    settings = TrainingSettings.from_json(manifest["settings"])
    return settings, len(manifest["genes"]), targets_of_manifest(manifest)


def _possible_schemes(
    wells: "pd.DataFrame", evaluation: EvaluationSettings
) -> "tuple[list[Scheme], int, list[str]]":
    """The schemes to run, how many folds they have together, and why others are left out.

    Raises:
        ValueError: A scheme that was asked for has too few groups.
    """
    from tcell_assets.science.evaluation.folds import ALWAYS_TRAINING, assign_folds

    possible: list[Scheme] = []
    n_folds, left_out = 0, []
    for scheme in evaluation.schemes or SCHEMES:
        try:
            folds = assign_folds(wells, scheme, evaluation.n_folds, evaluation.seed)
        except ValueError as error:
            if evaluation.schemes:
                raise
            left_out.append(str(error))
            continue
        possible.append(scheme)
        n_folds += len(set(folds) - {ALWAYS_TRAINING})
    return possible, n_folds, left_out


def _count_fits(report: Callable[[int], None]) -> Callable[[str, str, int], None]:
    """A callback that is told of every fit as it starts and reports how many are done."""
    started = 0

    def fit_starts(scheme: str, model: str, fold: int) -> None:
        nonlocal started
        report(started)
        started += 1

    return fit_starts


def _above_check(differences: "pd.DataFrame") -> dg.AssetCheckResult:
    from tcell_assets.science.evaluation.model_evaluation import best_in_words, warnings_in_words

    judged = INTERVAL_SCHEME in set(differences["scheme"])
    found = warnings_in_words(differences, INTERVAL_SCHEME)
    if not judged:
        found = ["metabolites were not held out, so nothing is known of metabolites the model has not seen"]
    return dg.AssetCheckResult(
        asset_key="model_comparison",
        check_name=ABOVE_CHECK,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join([*best_in_words(differences, INTERVAL_SCHEME), *found]),
    )


def _coverage_check(intervals: "pd.DataFrame", level: float) -> dg.AssetCheckResult:
    judged = intervals[(intervals["model"] == INTERVAL_MODEL) & (intervals["scheme"] == INTERVAL_SCHEME)]
    judged = judged.set_index("target")
    covered, tails = judged["coverage"], judged[["coverage_low_tail", "coverage_high_tail"]]
    words = ", ".join(
        f"{target} {covered[target]:.1%} (lowest tenth {low:.0%}, highest {high:.0%})"
        for target, (low, high) in zip(tails.index, tails.to_numpy(), strict=True)
    )
    # A tail without a well has no coverage and is no reason to warn.
    in_tails = not bool((tails < level - TAIL_TOLERANCE).any(axis=None))
    return dg.AssetCheckResult(
        asset_key="prediction_intervals",
        check_name=COVERAGE_CHECK,
        passed=len(covered) > 0 and in_tails and bool(((covered - level).abs() <= COVERAGE_TOLERANCE).all()),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"held-out metabolites covered: {words}; stated {level:.0%}"
        if words
        else "metabolites were not held out, so the coverage for new ones is unknown",
        metadata={f"coverage_{target}": float(coverage) for target, coverage in covered.items()},
    )


@table_asset(
    "ensemble_members",
    owners=OWNERS,
    deps=["trained_model", "expression_matrix", "count_matrix", "well_metadata", "well_qc"],
    op_tags=GPU_OP_TAGS,
    pool=GPU_POOL,
)
def ensemble_members(
    context: dg.AssetExecutionContext,
    config: Launchpad[EnsembleSettings],
    storage: Storage,
    compute: TransformerCompute,
) -> TableResult:
    """Train the current model's settings from other seeds on its own training batches; none of them becomes current."""
    import pandas as pd

    from tcell_assets.science.model.gene_summary import save_reference
    from tcell_assets.science.model.trained_model import load_model, save_model

    lake, models, n_members = storage.lake(), storage.models(), config.settings().members
    current = load_model(models.folder(models.resolve("")))
    members = [current]
    for number in range(1, n_members):
        settings = replace(current.settings, seed=current.settings.seed + number)
        data, fit, _ = training_input(lake, settings, len(current.genes), current.targets)
        if data.batch_hashes != current.batch_hashes:
            raise dg.Failure(
                f"the batches have changed since {current.version} was trained, so an ensemble of it cannot be "
                "trained. Train again first.",
                allow_retries=False,
            )
        with progress_of(
            context.log.info, f"member {number + 1} of {n_members}", settings.epochs, "epochs"
        ) as bar:
            member = compute.train(data, settings, storage.local_folder("checkpoints"), bar.training)

        reference = training_reference(data, member)

        def save(folder: "UPath", member: Any = member, fit: Any = fit, reference: Any = reference) -> None:
            save_reference(reference, folder)
            if fit is not None:
                save_fit(fit, folder)
            save_model(member, folder)

        models.add(member.version, save)
        members.append(member)
    table = pd.DataFrame(
        {
            "member_version": [member.version for member in members],
            "seed": [member.seed for member in members],
            "validation_loss": [_best_validation_loss(member.history) for member in members],
            "model_version": current.version,
        }
    )
    return table_result(
        "ensemble_members",
        table,
        {"preview": preview(table), "next": "score the batches again to see the spread in well_predictions"},
        model_version=current.version,
        training_batches=current.batch_hashes,
    )


def _best_validation_loss(history: "pd.DataFrame") -> float:
    return float(history.loc[history["is_best"] & (history["split"] == "val"), "total"].iloc[0])
