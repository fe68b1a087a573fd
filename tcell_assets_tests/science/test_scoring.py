"""One pass gives predictions, latents and Gradient×Input that the formulas, not the code, say are right."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.gene_importance import rank_genes
from tcell_assets.science.model.scoring import (
    ScoringError,
    WellScores,
    resolve_head,
    score_chunks,
    score_wells,
)
from tcell_assets.science.model.trained_model import ModelError, TrainedModel
from tcell_assets.science.model.training import train
from tcell_assets_tests.science.numpy_network import numpy_forward
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    expression_frame,
    small_model,
    small_screen,
    small_settings,
)

DATA = small_screen()
EXPRESSION = expression_frame(DATA)
HEADS = ("tscore", "cytotrace", "pseudotime", "is_activated", "activation_score")


@pytest.fixture(scope="module", params=["raw", "zscore", "zscore and linear path"])
def model(request: pytest.FixtureRequest) -> TrainedModel:
    return small_model(DATA, use_zscore="zscore" in request.param, linear_path="linear" in request.param)


@pytest.fixture(scope="module")
def without_legacy() -> TrainedModel:
    return small_model(dataclasses.replace(DATA, wells=DATA.wells.assign(activation_score=np.nan)))


def numpy_scores(model: TrainedModel, expression: pd.DataFrame) -> dict[str, np.ndarray]:
    """Every head as exported, by the float64 oracle, from the model's own files alone."""
    values = expression[list(model.genes)].to_numpy(dtype=np.float64)
    output = numpy_forward(
        model.weights,
        values,
        heads=2,
        layers=2,
        mean=model.gene_mean,
        standard_deviation=model.gene_standard_deviation,
    )
    return {
        "tscore": output["scores"][:, 0],
        "cytotrace": output["scores"][:, 1],
        "pseudotime": output["scores"][:, 2],
        "is_activated": output["is_activated"],
        "activation_score": output["activation_score"] * model.scales["activation_score"].standard_deviation
        + model.scales["activation_score"].mean,
        "latent": output["latent"],
    }


def latents_of(scores: WellScores) -> np.ndarray:
    return scores.latents.filter(regex=r"^z_\d\d$").to_numpy()


def test_predictions_and_latents_equal_the_float64_oracle(model: TrainedModel) -> None:
    scores = score_wells(model, EXPRESSION, ONE_THREAD)
    expected = numpy_scores(model, EXPRESSION)
    predictions = scores.predictions
    for head, column in [
        ("tscore", "pred_tscore"),
        ("cytotrace", "pred_cytotrace"),
        ("pseudotime", "pred_pseudotime"),
        ("is_activated", "activation_logit"),
    ]:
        np.testing.assert_allclose(predictions[column], expected[head], rtol=0, atol=1e-5, err_msg=column)
    # In its own unit the legacy score lies around 40 with a spread of about 7: float32 rounding scales with it.
    np.testing.assert_allclose(
        predictions["pred_activation"], expected["activation_score"], rtol=0, atol=1e-4
    )
    probability = 1 / (1 + np.exp(-expected["is_activated"]))
    np.testing.assert_allclose(predictions["activation_probability"], probability, rtol=0, atol=1e-5)
    np.testing.assert_allclose(latents_of(scores), expected["latent"], rtol=0, atol=1e-5)
    norm = np.linalg.norm(expected["latent"], axis=1)
    np.testing.assert_allclose(scores.latents["latent_norm"], norm, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_importance_is_gradient_times_input_by_finite_differences(model: TrainedModel, head: str) -> None:
    wells = EXPRESSION.iloc[:6]
    importance = score_wells(model, wells, ONE_THREAD, head).importance
    assert importance is not None

    step = 1e-5
    wells = wells.astype(np.float64)
    attribution = np.empty((len(wells), len(model.genes)))
    for column, gene in enumerate(model.genes):
        mean, spread = 0.0, 1.0
        if model.gene_mean is not None and model.gene_standard_deviation is not None:
            mean, spread = model.gene_mean[column], model.gene_standard_deviation[column]
        up, down = (wells.assign(**{gene: wells[gene] + sign * step}) for sign in (1.0, -1.0))
        gradient = (numpy_scores(model, up)[head] - numpy_scores(model, down)[head]) / (2 * step)
        # The formula's x is the network's input: the scaled value, with the gradient by the scaled value.
        attribution[:, column] = (wells[gene] - mean) / spread * (gradient * spread)

    assert tuple(importance["gene"]) == model.genes
    scale = np.abs(attribution).max()
    np.testing.assert_allclose(
        importance["importance"], np.abs(attribution).mean(axis=0), rtol=1e-3, atol=1e-5 * scale
    )
    np.testing.assert_allclose(
        importance["signed_importance"], attribution.mean(axis=0), rtol=1e-3, atol=1e-5 * scale
    )
    assert set(importance["n_wells"]) == {6}
    assert set(importance["head"]) == {head}
    assert set(importance["method"]) == {"gradient_x_input"}


def test_explaining_a_head_changes_no_prediction(model: TrainedModel) -> None:
    plain = score_wells(model, EXPRESSION, ONE_THREAD)
    explained = score_wells(model, EXPRESSION, ONE_THREAD, "auto")
    pd.testing.assert_frame_equal(plain.predictions, explained.predictions, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(plain.latents, explained.latents, rtol=0, atol=1e-6)
    assert plain.importance is None


def test_one_well_alone_scores_as_in_its_batch(model: TrainedModel) -> None:
    together = score_wells(model, EXPRESSION, ONE_THREAD)
    alone = score_wells(model, EXPRESSION.iloc[[17]], ONE_THREAD)
    pd.testing.assert_frame_equal(
        alone.latents, together.latents.iloc[[17]].reset_index(drop=True), rtol=0, atol=1e-5
    )
    # 1e-4 for the legacy score in its own unit, see above.
    pd.testing.assert_frame_equal(
        alone.predictions, together.predictions.iloc[[17]].reset_index(drop=True), rtol=0, atol=1e-4
    )


def test_the_batch_size_changes_nothing(model: TrainedModel) -> None:
    large = score_wells(model, EXPRESSION, ONE_THREAD, "auto")
    small = score_wells(model, EXPRESSION, dataclasses.replace(ONE_THREAD, batch_size=7), "auto")
    np.testing.assert_allclose(latents_of(small), latents_of(large), rtol=0, atol=1e-5)
    assert large.importance is not None
    assert small.importance is not None
    np.testing.assert_allclose(small.importance["importance"], large.importance["importance"], rtol=1e-4)


def test_the_order_of_wells_and_genes_does_not_matter(model: TrainedModel) -> None:
    shuffled = EXPRESSION.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    expected = score_wells(model, EXPRESSION, ONE_THREAD, "auto")
    permuted = score_wells(model, shuffled, ONE_THREAD, "auto")
    for name in ("predictions", "latents"):
        left = getattr(permuted, name).set_index("well_id").loc[EXPRESSION.index]
        right = getattr(expected, name).set_index("well_id")
        pd.testing.assert_frame_equal(left, right, rtol=0, atol=1e-4 if name == "predictions" else 1e-5)
    assert expected.importance is not None
    assert permuted.importance is not None
    pd.testing.assert_frame_equal(permuted.importance, expected.importance, rtol=1e-4)


def test_the_scaler_is_always_applied() -> None:
    model = small_model(DATA, use_zscore=True)
    assert model.gene_mean is not None
    assert model.gene_standard_deviation is not None
    columns = list(model.genes)
    already_scaled = EXPRESSION[columns].sub(model.gene_mean).div(model.gene_standard_deviation + 1e-8)
    raw_model = dataclasses.replace(model, gene_mean=None, gene_standard_deviation=None)
    expected = latents_of(score_wells(raw_model, already_scaled, ONE_THREAD))
    np.testing.assert_allclose(
        latents_of(score_wells(model, EXPRESSION, ONE_THREAD)), expected, rtol=0, atol=1e-5
    )


def test_the_best_weights_score_not_the_last() -> None:
    model = small_model(DATA, epochs=8, learning_rate=0.05)
    assert model.best_epoch < 8
    expected = numpy_scores(model, EXPRESSION)["latent"]
    np.testing.assert_allclose(
        latents_of(score_wells(model, EXPRESSION, ONE_THREAD)), expected, rtol=0, atol=1e-4
    )
    last = numpy_scores(dataclasses.replace(model, weights=model.last_weights), EXPRESSION)["latent"]
    assert np.abs(last - expected).max() > 0.01


def test_every_prediction_says_which_split_its_well_was_in(model: TrainedModel) -> None:
    unseen = EXPRESSION.iloc[:2].set_axis(["tc9_A1_000", "tc9_A1_001"])
    predictions = score_wells(model, pd.concat([EXPRESSION, unseen]), ONE_THREAD).predictions
    by_well = predictions.set_index("well_id")["split"]
    expected = model.split.set_index("well_id")["split"]
    assert by_well.loc[expected.index].tolist() == expected.tolist()
    assert by_well.loc[unseen.index].tolist() == ["unseen", "unseen"]
    assert set(predictions["model_version"]) == {model.version}


def test_an_untrained_head_is_not_exported(without_legacy: TrainedModel) -> None:
    predictions = score_wells(without_legacy, EXPRESSION, ONE_THREAD).predictions
    assert predictions["pred_activation"].isna().all()
    assert predictions.drop(columns="pred_activation").notna().all(axis=None)


def test_an_untrained_label_exports_neither_logit_nor_probability() -> None:
    model = small_model(dataclasses.replace(DATA, wells=DATA.wells.assign(is_activated=np.nan)))
    predictions = score_wells(model, EXPRESSION, ONE_THREAD).predictions
    assert predictions[["activation_logit", "activation_probability"]].isna().all(axis=None)


def test_an_untrained_head_cannot_be_explained(without_legacy: TrainedModel) -> None:
    with pytest.raises(
        ScoringError, match=r"activation_score.*untrained.*trained are tscore, .*is_activated"
    ):
        score_wells(without_legacy, EXPRESSION, ONE_THREAD, "activation_score")


def test_auto_explains_the_legacy_score_where_trained_else_the_label(
    model: TrainedModel, without_legacy: TrainedModel
) -> None:
    assert resolve_head(model, "auto") == "activation_score"
    assert resolve_head(without_legacy, "auto") == "is_activated"


def test_auto_without_either_activation_head_is_an_error() -> None:
    wells = DATA.wells.assign(activation_score=np.nan, is_activated=np.nan)
    model = small_model(dataclasses.replace(DATA, wells=wells))
    with pytest.raises(ScoringError, match="neither activation_score nor is_activated"):
        resolve_head(model, "auto")


def test_a_head_that_does_not_exist_is_an_error_with_those_that_do(model: TrainedModel) -> None:
    with pytest.raises(ScoringError, match=r"'activation' does not exist .* trained are tscore"):
        resolve_head(model, "activation")


def test_missing_genes_stop_the_scoring(model: TrainedModel) -> None:
    with pytest.raises(ModelError, match="GENE4"):
        score_wells(model, EXPRESSION.drop(columns="GENE4"), ONE_THREAD)


def test_a_value_that_is_not_finite_names_well_and_gene(model: TrainedModel) -> None:
    broken = EXPRESSION.copy()
    broken.iloc[33, 4] = np.nan
    with pytest.raises(ScoringError, match=r"well tc2_A1_033, gene GENE4 is nan"):
        score_wells(model, broken, ONE_THREAD)


def test_no_wells_is_an_error_not_an_empty_success(model: TrainedModel) -> None:
    with pytest.raises(ScoringError, match="no wells"):
        score_wells(model, EXPRESSION.iloc[:0], ONE_THREAD)


def test_chunks_together_equal_the_whole(model: TrainedModel) -> None:
    whole = score_wells(model, EXPRESSION, ONE_THREAD, "tscore")
    chunks = (EXPRESSION.iloc[start : start + 25] for start in range(0, len(EXPRESSION), 25))
    parts = list(score_chunks(model, chunks, ONE_THREAD, "tscore"))
    predictions = pd.concat([part.predictions for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(predictions, whole.predictions, rtol=0, atol=1e-4)

    tables = {str(i): part.importance for i, part in enumerate(parts) if part.importance is not None}
    ranking = rank_genes(tables).set_index("gene")
    assert whole.importance is not None
    expected = whole.importance.set_index("gene").loc[ranking.index]
    np.testing.assert_allclose(ranking["importance"], expected["importance"], rtol=1e-5)
    np.testing.assert_allclose(
        ranking["signed_importance"], expected["signed_importance"], rtol=1e-4, atol=1e-7
    )


def test_chunks_are_asked_for_one_at_a_time(model: TrainedModel) -> None:
    asked: list[int] = []

    def chunks() -> object:
        for i in range(3):
            asked.append(i)
            yield EXPRESSION.iloc[:2]

    scores = score_chunks(model, chunks(), ONE_THREAD)  # type: ignore[arg-type]
    assert asked == []
    next(scores)
    assert asked == [0]


def test_progress_counts_wells_up_to_all_of_them(model: TrainedModel) -> None:
    done: list[int] = []
    score_wells(model, EXPRESSION, dataclasses.replace(ONE_THREAD, batch_size=25), on_progress=done.append)
    assert done == [25, 50, 60]


def test_bf16_agrees_with_fp32_across_wells_on_a_trained_model() -> None:
    data = small_screen(wells=100, genes=48)
    settings = small_settings(use_zscore=True, epochs=8, d_model=128, heads=4, feed_forward=512, latent=32)
    model = train(data, settings, ONE_THREAD)
    expression = expression_frame(data)
    fp32 = score_wells(model, expression, ONE_THREAD, "auto")
    bf16 = score_wells(model, expression, Compute(threads=1, precision="bf16"), "auto")
    for column in fp32.predictions.filter(regex="^pred_|logit"):
        assert np.corrcoef(fp32.predictions[column], bf16.predictions[column])[0, 1] >= 0.999, column
    assert fp32.importance is not None
    assert bf16.importance is not None
    agreement = spearmanr(fp32.importance["importance"], bf16.importance["importance"]).statistic
    assert agreement >= 0.999


SCORE_100_000_WELLS = """
import numpy as np, pandas as pd
from tcell_assets.science.model.scoring import score_chunks
from tcell_assets_tests.peak_memory import peak_kib
from tcell_assets_tests.science.small_screens import ONE_THREAD, small_model, small_screen

model = small_model(small_screen(genes=64), epochs=1)
random = np.random.default_rng(0)

def chunks(number):
    for chunk in range(number):
        index = [f"tc9_A1_{chunk}_{i}" for i in range(5_000)]
        values = random.normal(8, 1, size=(5_000, 64)).astype(np.float32)
        yield pd.DataFrame(values, index=index, columns=list(model.genes))

def score(number):
    wells = 0
    for scores in score_chunks(model, chunks(number), ONE_THREAD, "auto"):
        wells += len(scores.predictions)
    return wells

assert score(2) == 10_000
before = peak_kib()
assert score(20) == 100_000
grown = peak_kib() - before
# All wells in one forward would hold 400 MB in each of some twenty activations.
assert grown < 50_000, f"{grown} kB more than for 10 000 wells"
"""


@pytest.mark.slow
def test_100_000_wells_score_in_the_memory_of_one_chunk() -> None:
    subprocess.run([sys.executable, "-c", SCORE_100_000_WELLS], check=True)
