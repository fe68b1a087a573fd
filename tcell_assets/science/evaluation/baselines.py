"""The model beside ridge and logistic regression on the same split, so that nobody has to take its word."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.linear_models import logistic_regression, ridge_regression
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.trained_model import TrainedModel, align_genes
from tcell_assets.science.model.training_data import TrainingData


def compare_with_linear_baselines(data: TrainingData, model: TrainedModel, compute: Compute) -> pd.DataFrame:
    """Held-out R² and AUROC of the model and of the linear models a statistician would try first.

    Ridge (numbers) and logistic regression (labels) see the z-scored expression of the very training wells of the
    model and choose their penalty by cross-validation among them; all are judged on the model's held-out wells.

    Args:
        data: The data the model was trained on.
        model: The model.
        compute: Device and precision of the model's predictions.

    Returns:
        A row a trained target: `target, metric` (`r2` or `auroc`), `transformer, linear` (which of the two linear
        models it is says `linear_model`), `n_wells` held out. AUROC is NaN where only one label was held out.
    """
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = pd.DataFrame(data.expression, index=data.wells["well_id"].astype(str), columns=list(data.genes))
    frame = align_genes(frame, model)
    predictions = score_wells(model, frame, compute).predictions
    in_training = (predictions["split"] == "train").to_numpy()
    held_out = (predictions["split"] == "val").to_numpy()
    rows = []
    for target in (target for target in model.targets if target.name in model.trained_heads):
        truth = data.wells[target.name].to_numpy(dtype=float)
        fit, test = in_training & ~np.isnan(truth), held_out & ~np.isnan(truth)
        transformer = predictions[target.output].to_numpy(dtype=float)
        if target.is_binary:
            metric, name = roc_auc_score, "logistic"
            linear = make_pipeline(StandardScaler(), logistic_regression())
        else:
            metric, name = r2_score, "ridge"
            linear = make_pipeline(StandardScaler(), ridge_regression())
        linear.fit(frame.to_numpy()[fit], truth[fit])
        predict = linear.decision_function if target.is_binary else linear.predict
        can_be_judged = len(np.unique(truth[test])) > 1
        rows.append(
            {
                "target": target.name,
                "metric": "auroc" if target.is_binary else "r2",
                "transformer": metric(truth[test], transformer[test]) if can_be_judged else np.nan,
                "linear": metric(truth[test], predict(frame.to_numpy()[test])) if can_be_judged else np.nan,
                "linear_model": name,
                "n_wells": int(test.sum()),
            }
        )
    return pd.DataFrame(rows)
