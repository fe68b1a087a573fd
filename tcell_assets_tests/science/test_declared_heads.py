"""Targets beyond the published five are learnt by heads of their own, and models keep what they were trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tcell_assets.science.evaluation.model_comparison import validation_loss
from tcell_assets.science.model.loss import Loss
from tcell_assets.science.model.network import ExpressionTransformer
from tcell_assets.science.model.scoring import build_network, resolve_head, score_wells
from tcell_assets.science.model.trained_model import (
    TrainedModel,
    content_version,
    load_model,
    save_model,
    targets_beyond_published,
)
from tcell_assets.science.model.training import train
from tcell_assets.science.model.training_data import TrainingData
from tcell_assets.settings import SettingsError
from tcell_assets.targets import TARGETS, Target, names_of
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    expression_frame,
    small_model,
    small_screen,
    small_settings,
)

EXHAUSTION = Target("exhaustion", "regression", weight=0.5)
CYCLING = Target("cycling", "binary")


def screen_with(*targets: Target, wells: int = 80) -> TrainingData:
    """A small screen with further targets that its genes tell."""
    data = small_screen(wells=wells)
    signal = data.expression[:, :3].sum(axis=1) - data.expression[:, 3:6].sum(axis=1)
    values = {"exhaustion": 300 + 40 * signal, "cycling": (signal > 0).astype(float)}
    return dataclasses.replace(
        data,
        wells=data.wells.assign(**{target.name: values[target.name] for target in targets}),
        targets=(*TARGETS, *targets),
    )


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    settings = small_settings(epochs=30, learning_rate=1e-2, use_zscore=True, linear_path=True)
    return train(screen_with(EXHAUSTION, CYCLING), settings, ONE_THREAD)


@pytest.mark.parametrize("target", [*TARGETS, EXHAUSTION, CYCLING], ids=lambda target: target.name)
def test_the_loss_of_every_target_reaches_its_head_and_the_latent(target: Target) -> None:
    targets = (*TARGETS, EXHAUSTION, CYCLING)
    torch.manual_seed(0)
    network = ExpressionTransformer(small_settings().network, 12, targets)
    known = np.zeros((6, len(targets)), dtype=bool)
    known[:, targets.index(target)] = True
    loss = Loss(targets, small_settings())
    values = torch.where(torch.from_numpy(known), 1.0, torch.nan)

    terms = loss.of_wells(network(torch.randn(6, 12)), values)
    (terms * torch.from_numpy(loss.weights(known))).sum().backward()

    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    for name in (f"{target.head}_head.weight", "latent_mlp.3.weight", "gene_embedding.weight"):
        assert gradients[name].abs().max() > 0, name


def test_the_losses_of_declared_targets_fall(model: TrainedModel) -> None:
    held_out = model.history.query("split == 'val'")
    assert held_out["loss_exhaustion"].min() < 0.5 * held_out["loss_exhaustion"].iloc[0]
    assert held_out["loss_cycling"].min() < 0.8 * held_out["loss_cycling"].iloc[0]


def test_a_term_weighs_what_was_declared(model: TrainedModel) -> None:
    history = model.history
    published = history["mse"] + history["bce"] + 0.2 * history["reg"]
    expected = published + 0.5 * history["loss_exhaustion"] + history["loss_cycling"]
    np.testing.assert_allclose(history["total"], expected, rtol=1e-12)


def test_a_number_is_predicted_in_its_unit_and_a_label_as_a_probability(model: TrainedModel) -> None:
    data = screen_with(EXHAUSTION, CYCLING)
    predictions = score_wells(model, expression_frame(data), ONE_THREAD).predictions
    assert np.corrcoef(predictions["pred_exhaustion"], data.wells["exhaustion"])[0, 1] > 0.8
    assert abs(predictions["pred_exhaustion"].mean() - 300) < 40
    np.testing.assert_allclose(
        predictions["pred_cycling"], 1 / (1 + np.exp(-predictions["logit_cycling"].astype(float))), rtol=1e-5
    )


def test_two_models_are_compared_by_every_target_they_share(model: TrainedModel) -> None:
    data = screen_with(EXHAUSTION, CYCLING)
    held_out = data.wells[data.wells["well_id"].isin(model.split.query("split == 'val'")["well_id"])]
    expression = expression_frame(data).loc[held_out["well_id"]]
    predictions = score_wells(model, expression, ONE_THREAD).predictions
    loss = validation_loss(predictions, held_out, model.trained_heads, model)
    reported = model.history.query("split == 'val' and epoch == @model.best_epoch")["total"].iloc[0]
    assert loss == pytest.approx(reported, rel=1e-5)


def test_a_linear_start_knows_every_target() -> None:
    data = screen_with(EXHAUSTION, CYCLING)
    settings = small_settings(
        "ridge_start", epochs=1, inner_fraction=0.0, learning_rate=1e-30, weight_decay=0.0
    )
    started = train(data, settings, ONE_THREAD)
    predictions = score_wells(started, expression_frame(data), ONE_THREAD).predictions
    assert np.corrcoef(predictions["pred_exhaustion"], data.wells["exhaustion"])[0, 1] > 0.9
    assert np.corrcoef(predictions["logit_cycling"], data.wells["cycling"])[0, 1] > 0.6


def test_a_linear_start_needs_a_latent_for_every_target() -> None:
    with pytest.raises(SettingsError, match="a latent of at least 7"):
        train(screen_with(EXHAUSTION, CYCLING), small_settings("ridge_start", latent=6), ONE_THREAD)


def test_auto_explains_a_declared_target_where_nothing_of_the_published_two_is_known() -> None:
    data = screen_with(EXHAUSTION)
    unknown = data.wells.assign(is_activated=np.nan, activation_score=np.nan)
    model = train(dataclasses.replace(data, wells=unknown), small_settings(epochs=1), ONE_THREAD)
    assert resolve_head(model, "auto") == "exhaustion"


def test_a_declared_target_known_of_no_well_is_said_and_stays_empty() -> None:
    said: list[str] = []
    data = screen_with(EXHAUSTION)
    data = dataclasses.replace(data, wells=data.wells.assign(exhaustion=np.nan))
    model = train(data, small_settings(), ONE_THREAD, on_progress=lambda p: said.append(p.text))
    assert any("no training well has exhaustion" in text and "untrained" in text for text in said)
    assert score_wells(model, expression_frame(data), ONE_THREAD).predictions["pred_exhaustion"].isna().all()


def test_a_target_whose_weight_is_zero_is_said_and_counts_as_untrained() -> None:
    said: list[str] = []
    settings = small_settings(activation_weight=0.0)
    model = train(small_screen(), settings, ONE_THREAD, on_progress=lambda p: said.append(p.text))
    assert any("the weight of activation_score in the loss is 0" in text for text in said)
    assert "activation_score" not in model.trained_heads


def test_a_model_keeps_its_targets_on_disk(model: TrainedModel, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.targets == model.targets
    data = screen_with(EXHAUSTION, CYCLING)
    pd.testing.assert_frame_equal(
        score_wells(loaded, expression_frame(data), ONE_THREAD).predictions,
        score_wells(model, expression_frame(data), ONE_THREAD).predictions,
    )


def test_a_model_that_says_nothing_of_its_targets_has_the_published_five(tmp_path: Path) -> None:
    """Manifests from before targets could be declared have the legacy score's scale by name, and no targets."""
    model = small_model()
    save_model(model, tmp_path)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["targets"]
    mean, standard_deviation = manifest.pop("scales")["activation_score"]
    manifest |= {"activation_mean": mean, "activation_standard_deviation": standard_deviation}
    path.write_text(json.dumps(manifest))

    loaded = load_model(tmp_path)

    assert names_of(loaded.targets) == manifest["target_order"]
    expression = expression_frame(small_screen())
    pd.testing.assert_frame_equal(
        score_wells(loaded, expression, ONE_THREAD).predictions,
        score_wells(model, expression, ONE_THREAD).predictions,
    )


def test_the_weights_of_the_published_five_keep_their_names() -> None:
    heads = {name: value.shape for name, value in small_model().weights.items() if "_head." in name}
    assert heads == {
        "scores_head.weight": (3, 8),
        "scores_head.bias": (3,),
        "is_activated_head.weight": (1, 8),
        "is_activated_head.bias": (1,),
        "activation_score_head.weight": (1, 8),
        "activation_score_head.bias": (1,),
    }


def test_the_published_five_add_nothing_to_a_version_and_a_declared_target_does() -> None:
    model = small_model()
    content = (
        model.weights, model.settings, model.genes, model.gene_mean, model.gene_standard_deviation, model.split,
        model.batch_hashes,
    )  # fmt: skip
    assert content_version(*content) == content_version(*content, TARGETS) == model.version
    versions = {
        content_version(*content, (*TARGETS, dataclasses.replace(EXHAUSTION, weight=weight)))
        for weight in (0.5, 1.0)
    }
    assert len(versions | {model.version}) == 3
    assert targets_beyond_published(TARGETS) == []


def test_a_declaration_leaves_the_start_of_the_published_heads_as_it_was() -> None:
    """Heads are drawn in the order of their targets, so that a target behind the five moves none of theirs."""
    torch.manual_seed(614)
    five = ExpressionTransformer(small_settings().network, 12).state_dict()
    torch.manual_seed(614)
    six = ExpressionTransformer(small_settings().network, 12, (*TARGETS, EXHAUSTION)).state_dict()
    for name, value in five.items():
        torch.testing.assert_close(six[name], value, rtol=0, atol=0)


def test_a_network_has_a_head_for_each_target_of_its_model(model: TrainedModel) -> None:
    network = build_network(model)
    with torch.no_grad():
        output = network(torch.zeros(2, len(model.genes)))
    assert list(output.heads) == names_of(model.targets)
    assert output.stacked().shape == (2, 7)
