"""Asset checks: what must hold before a model becomes current, and before a batch is scored with it."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from tcell_assets.defs.partitions import screening_batches
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import Lake

if TYPE_CHECKING:
    from tcell_assets.defs.resources import TransformerCompute
    from tcell_assets.science.evaluation.skill import HeldOutSkill
    from tcell_assets.science.model.new_data import Finding
    from tcell_assets.science.model.trained_model import TrainedModel
    from tcell_assets.science.model.training import TrainingData

FINITE_LOSSES = "finite_losses"
NOT_WORSE = "validation_loss_not_worse"
HAS_SKILL = "better_than_the_mean"
PREDICTIONS = "well_predictions"
SCORED_BY_CURRENT = "scored_by_current_model"
MODEL_HAS_SKILL = "model_better_than_the_mean"

PROMOTION_CHECKS = [
    dg.AssetCheckSpec(FINITE_LOSSES, asset="trained_model", description="Every epoch's losses are finite."),
    dg.AssetCheckSpec(
        NOT_WORSE,
        asset="trained_model",
        description="The candidate's validation loss exceeds the current model's, on the same wells, by no more than "
        "the tolerance. A candidate that fails stays on disk and does not become current.",
    ),
    dg.AssetCheckSpec(
        HAS_SKILL,
        asset="trained_model",
        description="The candidate predicts at least one target of its held-out wells better than their mean. One that "
        "does not becomes current only where the run's configuration asks for it (`promote_without_skill`).",
    ),
]


def batch_check(asset: str, name: str, description: str, blocking: bool = False) -> dg.AssetCheckSpec:
    """Return a check of a batch table that keeps a result for every batch."""
    with warnings.catch_warnings():
        # Without the partition a check would show the last batch alone; Dagster calls this a preview feature.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, blocking=blocking, partitions_def=screening_batches
        )


SCORING_CHECKS = [
    batch_check(
        PREDICTIONS,
        "model_genes_present",
        "Every gene of the model is measured; missing ones are named. Blocks scoring.",
    ),
    batch_check(
        PREDICTIONS,
        "value_kind_as_trained",
        "Values look like what the model was trained on, VST or counts. Blocks scoring.",
    ),
    batch_check(PREDICTIONS, "dmso_wells_present", "The batch has usable DMSO wells. Blocks scoring."),
    batch_check(
        PREDICTIONS,
        "no_drift_from_training",
        "Gene means of the batch and of its DMSO wells lie near the training wells'. A warning unless the run's "
        "configuration makes it block.",
    ),
    batch_check(
        PREDICTIONS,
        MODEL_HAS_SKILL,
        "The model was better than the mean on the wells held out of its training. A warning.",
    ),
    batch_check(
        PREDICTIONS,
        SCORED_BY_CURRENT,
        "The predictions were made by the current model; others are out of date. A warning.",
    ),
]


def new_data_checks(
    context: dg.AssetExecutionContext, findings: Sequence[Finding]
) -> Iterator[dg.AssetCheckResult]:
    """Yield the guards' findings as checks of the batch.

    Raises:
        dagster.Failure: A blocking guard did not pass; nothing of the batch is scored then.
    """
    for finding in findings:
        severity = dg.AssetCheckSeverity.ERROR if finding.blocks else dg.AssetCheckSeverity.WARN
        yield from selected(
            context,
            dg.AssetCheckResult(
                asset_key=PREDICTIONS,
                check_name=finding.guard,
                passed=finding.passed,
                severity=severity,
                description=finding.text,
                metadata=dict(finding.numbers),
            ),
        )
        if not finding.passed and not finding.blocks:
            context.log.warning(f"{finding.guard}: {finding.text}")
    blocking = [finding for finding in findings if finding.blocks and not finding.passed]
    if blocking:
        raise dg.Failure(
            f"batch {context.partition_key} is not scored:\n"
            + "\n".join(f"  {finding.guard}: {finding.text}" for finding in blocking),
            # The same batch and model meet the same guards.
            allow_retries=False,
        )


def selected(context: dg.AssetExecutionContext, result: dg.AssetCheckResult) -> Iterator[dg.AssetCheckResult]:
    """Yield a check result if the run asks for it: a run of one table alone leaves out the others' checks."""
    if result.check_name in {key.name for key in context.selected_asset_check_keys}:
        yield result


def skill_check(skill: HeldOutSkill) -> dg.AssetCheckResult:
    """Return the promotion check of a candidate's skill on its held-out wells."""
    return dg.AssetCheckResult(
        asset_key="trained_model",
        check_name=HAS_SKILL,
        passed=not skill.is_none,
        description=skill.sentence,
        metadata={f"r2_{target.target}": target.r2 for target in skill.targets},
    )


def model_skill_check(version: str, skill: HeldOutSkill | None) -> dg.AssetCheckResult:
    """Return the check that a batch was scored by a model that has learnt something."""
    said = "was trained before its skill was measured" if skill is None else f"was {skill.sentence}"
    return dg.AssetCheckResult(
        asset_key=PREDICTIONS,
        check_name=MODEL_HAS_SKILL,
        passed=skill is None or not skill.is_none,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{version} {said}",
    )


def scored_by_current_check(version: str, current: str | None) -> dg.AssetCheckResult:
    """Return the check that a freshly scored batch was scored by the current model."""
    return dg.AssetCheckResult(
        asset_key=PREDICTIONS,
        check_name=SCORED_BY_CURRENT,
        passed=version == current,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"scored by {version}; current is {current}",
    )


def report_stale_predictions(
    instance: dg.DagsterInstance, lake: Lake, models: ModelRegistry, current: str
) -> list[str]:
    """Show on every batch that another model scored it, and return those batches.

    Called when the current model changes: the batches' own runs cannot know of it. An observation, as Dagster keeps
    one run-less result a check and batch and refuses the second.
    """
    stale = []
    judge = Judge(lake, models, model=current)
    for batch in lake.batches(PREDICTIONS):
        reason, lineage = judge.reason(PREDICTIONS, batch), judge.lineage(PREDICTIONS, batch)
        if reason is not None and lineage is not None and lineage.model_version != current:
            version = str(lineage.model_version)
            stale.append(batch)
            instance.report_runless_asset_event(
                dg.AssetObservation(
                    PREDICTIONS,
                    partition=batch,
                    metadata={"out_of_date": True, "scored_by": version, "current_model": current},
                )
            )
    return stale


def promotion_checks(
    models: ModelRegistry,
    candidate: TrainedModel,
    data: TrainingData,
    compute: TransformerCompute,
    tolerance: float,
    skill: HeldOutSkill,
) -> list[dg.AssetCheckResult]:
    """Judge a candidate: finite losses, no worse than the current model, and better than the mean."""
    from tcell_assets.science.evaluation.model_comparison import has_finite_losses

    finite = has_finite_losses(candidate.history)
    return [
        dg.AssetCheckResult(
            asset_key="trained_model",
            check_name=FINITE_LOSSES,
            passed=finite,
            description="every loss is finite" if finite else "a loss is not finite; see training_history",
        ),
        _not_worse(models, candidate, data, compute, tolerance),
        skill_check(skill),
    ]


def _not_worse(
    models: ModelRegistry,
    candidate: TrainedModel,
    data: TrainingData,
    compute: TransformerCompute,
    tolerance: float,
) -> dg.AssetCheckResult:
    from tcell_assets.science.evaluation.model_comparison import compare_models
    from tcell_assets.science.model.trained_model import load_model

    version = models.current()
    if version is None:
        return _passed_unmeasured("no model is current, so there is nothing to compare with")
    if version == candidate.version:
        return _passed_unmeasured("the candidate is the current model: same data, settings and weights")
    current = load_model(models.folder(version))
    unmeasured = set(current.genes) - set(data.genes)
    if unmeasured:
        return _passed_unmeasured(
            f"the current model {version} needs {len(unmeasured)} genes that the training batches do not share, so it "
            "cannot score them and is not compared"
        )
    comparison = compare_models(candidate, current, data, compute.score)
    passed = comparison.is_not_worse(tolerance)
    return dg.AssetCheckResult(
        asset_key="trained_model",
        check_name=NOT_WORSE,
        passed=passed,
        description=f"loss {comparison.candidate_loss:.4g}, current model {version} {comparison.current_loss:.4g}, "
        f"tolerance {tolerance:.0%}, on {comparison.n_wells} wells: {comparison.wells}",
        metadata={
            "candidate_loss": comparison.candidate_loss,
            "current_loss": comparison.current_loss,
            "current_model": version,
            "tolerance": tolerance,
            "wells": comparison.n_wells,
            "heads": ", ".join(comparison.heads),
        },
    )


def _passed_unmeasured(reason: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key="trained_model", check_name=NOT_WORSE, passed=True, description=reason
    )


def promote_candidate(
    models: ModelRegistry, version: str, checks: Sequence[dg.AssetCheckResult], without_skill: bool = False
) -> str:
    """Make a candidate current if its checks pass, and return a sentence that says what was done and why.

    `without_skill` lets one pass that is no better than the mean.

    A version that was current before and was replaced is never brought back by itself: somebody moved away from it.
    """
    if models.current() == version:
        return f"{version} is the current model already: same data, settings and weights"
    failed = [
        check
        for check in checks
        if not check.passed and not (without_skill and check.check_name == HAS_SKILL)
    ]
    by_hand = f"`tcell models promote {version}` makes it current all the same"
    if failed:
        reasons = "; ".join(f"{check.check_name}: {check.description}" for check in failed)
        return f"{version} stays a candidate, {models.current()} stays current. {reasons}. {by_hand}"
    if version in {promotion.version for promotion in models.promotions()}:
        return f"{version} was current before and was replaced; it stays a candidate. {by_hand}"
    why = "; ".join(f"{check.check_name}: {check.description}" for check in checks)
    how = "checks passed" if all(check.passed for check in checks) else "asked for without skill"
    promotion = models.promote(version, who=getpass.getuser(), why=f"{how}: {why}")
    return f"{version} is current now; before: {promotion.previous or 'none'}"
