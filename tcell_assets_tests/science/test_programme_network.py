"""The programme network: its programmes are the data's, its members' mean is its prediction, its training resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tcell_assets.science.model.attribution import dmso_baseline, integrated_gradients
from tcell_assets.science.model.ensemble import combine_members
from tcell_assets.science.model.member_scoring import score_members
from tcell_assets.science.model.member_training import fold_members
from tcell_assets.science.model.programme_axes import programme_axes
from tcell_assets.science.model.schedule import learning_rate_share
from tcell_assets.science.model.scoring import build_network, score_wells
from tcell_assets.science.model.settings import TrainingSettings, settings_for_preset
from tcell_assets.science.model.trained_model import TrainedModel, load_model, save_model
from tcell_assets.science.model.training import Progress, train
from tcell_assets_tests.science.small_screens import ONE_THREAD, expression_frame, small_screen

DATA = small_screen(wells=120)


def small(**overrides: object) -> TrainingSettings:
    return settings_for_preset("recommended", **{"epochs": 6, "members": 3, **overrides})


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return train(DATA, small(), ONE_THREAD)


def test_programmes_are_the_planted_ones_and_noise_has_none() -> None:
    """Six programmes of 20 genes each of their own: every axis is of one of them, whatever the genes' order."""
    random = np.random.default_rng(3)
    planted = np.kron(np.eye(6), np.ones(20))
    expression = random.normal(size=(400, 6)) @ planted + random.normal(size=(400, 120))
    scaled = (expression - expression.mean(axis=0)) / expression.std(axis=0)
    axes = programme_axes(scaled, most=32)
    assert axes.shape == (6, 120)
    share = np.square(axes) @ planted.T
    assert (share.max(axis=1) / share.sum(axis=1) > 0.95).all()
    assert sorted(share.argmax(axis=1)) == list(range(6))
    scores = scaled @ axes.T
    np.testing.assert_allclose(scores.std(axis=0), scores.std(axis=0).mean(), rtol=1e-5)
    assert len(programme_axes(random.normal(size=(400, 120)), most=32)) == 4


def test_programmes_are_found_among_more_genes_than_wells() -> None:
    random = np.random.default_rng(4)
    planted = np.kron(np.eye(5), np.ones(40))
    expression = random.normal(size=(80, 5)) @ planted + random.normal(size=(80, 200))
    scaled = (expression - expression.mean(axis=0)) / expression.std(axis=0)
    share = np.square(programme_axes(scaled, most=5)) @ planted.T
    assert (share.max(axis=1) / share.sum(axis=1) > 0.9).all()
    assert sorted(share.argmax(axis=1)) == list(range(5))


def test_the_prediction_is_the_mean_of_the_members_and_a_linear_map_of_the_latent(
    model: TrainedModel,
) -> None:
    expression = expression_frame(DATA)
    members = score_members(model, expression, ONE_THREAD)
    scores = score_wells(model, expression, ONE_THREAD)
    assert list(members) == ["member 1", "member 2", "member 3"]
    combined = combine_members(members, model.targets)
    for name in ("pred_tscore", "pred_cytotrace", "pred_pseudotime"):
        np.testing.assert_allclose(scores.predictions[name], combined[name], rtol=1e-4, atol=1e-4)
    assert (combined["sd_tscore"] > 0).all()
    network = build_network(model)
    latents = torch.from_numpy(scores.latents.filter(regex=r"^z_\d+$").to_numpy(dtype=np.float32))
    head = model.target("tscore").head
    position = network.targets_of_head[head].index("tscore")
    read = network.head(head)(latents)[:, position].numpy()
    np.testing.assert_allclose(read, scores.predictions["pred_tscore"], rtol=1e-4, atol=1e-5)


def test_a_member_never_learns_from_the_metabolites_that_it_holds_out() -> None:
    wells = DATA.wells
    training = np.flatnonzero(np.arange(len(wells)) % 5 != 0)
    held = fold_members(wells, training, 5, seed=1).held_out
    assert (held[:, training].sum(axis=0) == 1).all()
    assert not np.delete(held, training, axis=1).any()
    treated = ~wells["is_dmso"].to_numpy()
    for member in held:
        inside = set(wells["metabolite"][member & treated])
        learnt = np.zeros(len(wells), dtype=bool)
        learnt[training] = True
        assert not inside & set(wells["metabolite"][learnt & ~member & treated])


def test_the_epoch_is_chosen_by_members_on_wells_they_did_not_learn_from(model: TrainedModel) -> None:
    history = model.history
    assert set(history["split"]) == {"train", "inner", "val"}
    inner = history[history["split"] == "inner"].set_index("epoch")["total"]
    assert model.best_epoch == inner.idxmin()


def test_a_model_saved_and_loaded_says_the_same(model: TrainedModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    expression = expression_frame(DATA)
    pd.testing.assert_frame_equal(
        score_wells(loaded, expression, ONE_THREAD).predictions,
        score_wells(model, expression, ONE_THREAD).predictions,
    )


def test_a_resumed_training_gives_the_weights_of_an_unbroken_one(model: TrainedModel, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.kind == "epoch" and progress.epoch == 3:
            raise StopError

    with pytest.raises(StopError):
        train(DATA, small(), ONE_THREAD, tmp_path, stop)
    resumed = train(DATA, small(), ONE_THREAD, tmp_path)
    assert resumed.version == model.version
    for name, values in model.last_weights.items():
        np.testing.assert_array_equal(resumed.last_weights[name], values)


def test_before_its_first_step_every_member_says_what_ridge_says_of_its_own_wells() -> None:
    """On targets linear in the expression that is nearly the truth."""
    started = train(DATA, small(epochs=1, learning_rate=1e-30, weight_decay=0.0), ONE_THREAD)
    predictions = score_wells(started, expression_frame(DATA), ONE_THREAD).predictions
    held_out = (predictions["split"] == "val").to_numpy()
    truth = DATA.wells["tscore"].to_numpy()
    assert np.corrcoef(predictions["pred_tscore"][held_out], truth[held_out])[0, 1] > 0.98


def test_it_learns_an_interaction_of_programmes_that_ridge_cannot() -> None:
    random = np.random.default_rng(7)
    programmes = random.normal(size=(400, 6))
    expression = programmes @ np.kron(np.eye(6), np.ones(10)) + random.normal(size=(400, 60))
    screen = small_screen(wells=400, genes=60)
    wells = screen.wells.assign(tscore=programmes[:, 0] * programmes[:, 1])
    data = replace(screen, expression=expression.astype(np.float32), wells=wells)
    model = train(data, settings_for_preset("recommended", members=2, epochs=30), ONE_THREAD)
    predictions = score_wells(model, expression_frame(data), ONE_THREAD).predictions
    held_out = (predictions["split"] == "val").to_numpy()
    assert np.corrcoef(predictions["pred_tscore"][held_out], wells["tscore"][held_out])[0, 1] > 0.5


def test_integrated_gradients_are_complete_on_all_members(model: TrainedModel) -> None:
    pytest.importorskip("captum")
    expression = expression_frame(DATA)
    baseline = dmso_baseline(expression, DATA.wells, model)
    told = integrated_gradients(model, expression.iloc[:3], baseline, ONE_THREAD, head="tscore")
    assert (told.wells["completeness_error"] < 1e-3).all()
    assert len(told.importance) == len(model.genes)


def test_without_attention_it_still_trains() -> None:
    model = train(DATA, small(attention="none", epochs=2), ONE_THREAD)
    assert not [name for name in model.weights if "layers" in name]


def test_the_learning_rate_rises_over_a_tenth_and_falls_to_zero() -> None:
    settings = small()
    shares = [learning_rate_share(settings, step, 100) for step in range(1, 101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == pytest.approx(1.0)
    assert shares[-1] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(shares[9:]) < 0).all()
    assert learning_rate_share(settings_for_preset("published"), 7, 100) == 1.0
