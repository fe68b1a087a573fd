"""How sure a prediction is: the spread over an ensemble or a model's own members, and the conformal interval."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tcell_assets.defs.assets.model_input import load_fit, scoring_input
from tcell_assets.defs.resources import Storage, TransformerCompute
from tcell_assets.targets import Target, scores

if TYPE_CHECKING:
    import pandas as pd

    from tcell_assets.science.evaluation.settings import Scheme
    from tcell_assets.science.model.settings import TrainingSettings
    from tcell_assets.science.model.trained_model import TrainedModel

# Intervals allow for the novelty that matters to a screen: a metabolite no model has seen.
INTERVAL_MODEL = "transformer"
INTERVAL_SCHEME: "Scheme" = "leave_metabolite_out"


def settings_hash(settings: "TrainingSettings", targets: Sequence[Target]) -> str:
    """Return a hash of what a training is set to, its seed left out: the seed is the chance evaluated over."""
    from tcell_assets.science.model.trained_model import targets_beyond_published

    values: dict[str, Any] = settings.as_json()
    for name in ("seed", "preset"):
        del values[name]
    if beyond := targets_beyond_published(targets):
        values["targets"] = beyond
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def with_uncertainty(
    predictions: "pd.DataFrame",
    model: "TrainedModel",
    batch: str,
    storage: Storage,
    compute: TransformerCompute,
    log: Callable[[str], object],
) -> "pd.DataFrame":
    """Return predictions of a batch with `sd_…`, `low_…` and `high_…`; columns whose source was not made are empty."""
    extended = predictions.assign(**_intervals(predictions, model, storage, log))
    spread = _spread(predictions, model, batch, storage, compute, log)
    columns = [target.spread for target in model.targets]
    columns += [column for target in scores(model.targets) for column in (target.low, target.high)]
    return extended.assign(**spread).reindex(columns=[*predictions.columns, *columns])


def _intervals(
    predictions: "pd.DataFrame", model: "TrainedModel", storage: Storage, log: Callable[[str], object]
) -> "Mapping[str, pd.Series[Any]]":
    from tcell_assets.science.evaluation.conformal import with_intervals

    lake = storage.lake()
    if not lake.exists("prediction_intervals"):
        log("no prediction intervals: the evaluate job has not run")
        return {}
    radii = lake.read("prediction_intervals")
    # Residuals of an average of several networks are smaller than those of the one network that predicts here.
    radii = radii[
        (radii["n_members"] == 1) & (radii["settings_hash"] == settings_hash(model.settings, model.targets))
    ]
    radii = radii[(radii["model"] == INTERVAL_MODEL) & (radii["scheme"] == INTERVAL_SCHEME)]
    if radii.empty or lake.lineage("prediction_intervals").training_batches != model.batch_hashes:
        log(
            f"no prediction intervals: the evaluation was not of single networks with the settings and training "
            f"batches of {model.version} and metabolites held out; run the evaluate job"
        )
        return {}
    extended = with_intervals(predictions, radii, INTERVAL_MODEL, INTERVAL_SCHEME, model.targets)
    return {str(column): extended[column] for column in extended if column not in predictions}


def _spread(
    predictions: "pd.DataFrame",
    model: "TrainedModel",
    batch: str,
    storage: Storage,
    compute: TransformerCompute,
    log: Callable[[str], object],
) -> "Mapping[str, pd.Series[Any]]":
    from tcell_assets.science.model.ensemble import combine_members
    from tcell_assets.science.model.trained_model import load_model

    lake, models = storage.lake(), storage.models()
    lake.depends_on("ensemble_members")
    members = {model.version: predictions}
    if lake.exists("ensemble_members") and lake.lineage("ensemble_members").model_version == model.version:
        for version in lake.read("ensemble_members")["member_version"]:
            if version not in members:
                folder = models.folder(version)
                member = load_model(folder)
                _, expression = scoring_input(lake, batch, member.genes, load_fit(folder))
                members[version] = compute.score(member, expression).predictions
    elif model.settings.network.members > 1:
        _, expression = scoring_input(lake, batch, model.genes, load_fit(models.folder(model.version)))
        members = compute.score_members(model, expression)
    else:
        log(f"no standard deviations: the ensemble job has not run for {model.version}")
        return {}
    combined = combine_members(members, model.targets).set_index("well_id").loc[predictions["well_id"]]
    return {
        target.spread: combined[target.spread].set_axis(predictions.index)
        for target in model.targets
        if target.spread in combined
    }
