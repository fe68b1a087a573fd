"""On a GPU the engine gives what it gives on a CPU; needs a CUDA device, and says so where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tcell_assets.science.model.attribution import integrated_gradients
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.scoring import WellScores, score_wells
from tcell_assets.science.model.settings import NetworkSettings
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.model.training import Progress, train
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    expression_frame,
    small_model,
    small_screen,
    small_settings,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

FP32 = Compute(device="cuda", precision="fp32")
BF16 = Compute(device="cuda", precision="bf16")
OUTPUTS = ["pred_tscore", "pred_cytotrace", "pred_pseudotime", "activation_logit", "pred_activation"]


def _scored(model: TrainedModel, compute: Compute) -> WellScores:
    return score_wells(model, expression_frame(small_screen(wells=200, seed=1)), compute, "auto")


def test_training_on_a_gpu_follows_the_losses_of_a_cpu() -> None:
    """Without dropout, whose draws differ between devices; sums in another order move a loss by some 1e-5."""
    settings = small_settings(dropout=0.0)
    on_cpu, on_gpu = (train(small_screen(), settings, compute) for compute in (ONE_THREAD, FP32))
    np.testing.assert_allclose(on_gpu.history["total"], on_cpu.history["total"], rtol=1e-3)


def test_scores_of_a_gpu_in_fp32_are_those_of_a_cpu() -> None:
    model = small_model()
    on_cpu, on_gpu = _scored(model, ONE_THREAD), _scored(model, FP32)
    # The tolerance of a forward pass against float64, relative where the legacy score is in the tens.
    np.testing.assert_allclose(on_gpu.predictions[OUTPUTS], on_cpu.predictions[OUTPUTS], rtol=1e-5, atol=1e-5)
    assert on_cpu.importance is not None
    assert on_gpu.importance is not None
    np.testing.assert_allclose(
        on_gpu.importance["importance"], on_cpu.importance["importance"], rtol=1e-3, atol=1e-6
    )


def test_bf16_on_a_gpu_agrees_with_fp32_across_wells_on_a_trained_model() -> None:
    model = train(small_screen(wells=300, genes=40), small_settings(use_zscore=True, epochs=20), BF16)
    expression = expression_frame(small_screen(wells=300, genes=40))
    fp32, bf16 = (score_wells(model, expression, compute, "auto") for compute in (FP32, BF16))
    for column in OUTPUTS:
        assert np.corrcoef(fp32.predictions[column], bf16.predictions[column])[0, 1] >= 0.999, column
    assert fp32.importance is not None
    assert bf16.importance is not None
    assert spearmanr(fp32.importance["importance"], bf16.importance["importance"]).statistic >= 0.999


def test_deterministic_trainings_on_a_gpu_end_with_the_same_weights() -> None:
    compute = Compute(device="cuda", precision="bf16", deterministic=True)
    versions = {train(small_screen(), small_settings(), compute).version for _ in range(2)}
    assert len(versions) == 1, "a version is the hash of the weights"


def test_a_training_on_a_gpu_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """On a GPU the sums of an unbroken run may come in another order; the epochs must not be trained again."""

    class StoppedError(Exception):
        pass

    def stop_after_the_second_epoch(progress: Progress) -> None:
        if progress.kind == "epoch" and progress.epoch == 2:
            raise StoppedError

    settings = small_settings(epochs=4)
    whole = train(small_screen(), settings, FP32)
    with pytest.raises(StoppedError):
        train(small_screen(), settings, FP32, tmp_path, stop_after_the_second_epoch)
    said: list[str] = []
    resumed = train(small_screen(), settings, FP32, tmp_path, lambda progress: said.append(progress.text))
    assert any("resumed after epoch 2" in text for text in said)
    np.testing.assert_allclose(resumed.history["total"], whole.history["total"], rtol=1e-3)


def test_a_gpu_that_is_full_trains_fewer_wells_at_once_and_says_so() -> None:
    """The limit of 1.5 GiB holds a few of the 64 wells of 2 000 genes in fp32, and never all."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.5 * 2**30 / whole)
    said: list[str] = []
    published = NetworkSettings()
    shape = {name: getattr(published, name) for name in ("d_model", "heads", "layers", "feed_forward")}
    try:
        settings = small_settings(epochs=1, batch_size=64, **shape)
        data = small_screen(wells=96, genes=2_000)
        train(data, settings, FP32, on_progress=lambda progress: said.append(progress.text))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("out of cuda memory" in text for text in said)


def test_integrated_gradients_on_a_gpu_sum_to_the_difference_from_the_baseline() -> None:
    model = small_model()
    expression = expression_frame(small_screen(wells=5, seed=1))
    attribution = integrated_gradients(model, expression, expression.mean(), FP32, steps=200)
    spread = attribution.wells["output"].std()
    assert (attribution.wells["completeness_error"] < 0.05 * spread).all()
