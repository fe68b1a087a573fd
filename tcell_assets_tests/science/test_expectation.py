"""What a training will take is said before it: the time within reach of what it then takes, and nothing is touched."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
import torch

from tcell_assets.science.model import expectation
from tcell_assets.science.model.expectation import duration, expect_training
from tcell_assets.science.model.settings import settings_for_preset
from tcell_assets.science.model.training import train
from tcell_assets.science.model.training_data import TrainingError
from tcell_assets_tests.science.small_screens import ONE_THREAD, small_screen

DATA = small_screen(wells=160, genes=64)


def test_the_time_is_that_of_all_epochs_with_their_steps_and_the_wells_that_are_only_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """128 training wells in 4 steps of 32, and 32 wells held out that cost a quarter each."""
    monkeypatch.setattr(expectation, "_measured", lambda *_: (0.01, 0.5))
    expected = expect_training(DATA, settings_for_preset("published", epochs=50), ONE_THREAD)
    assert expected.seconds == pytest.approx(50 * (0.01 * (128 + 0.25 * 32) + 4 * 0.5))
    assert (expected.wells, expected.genes, expected.epochs) == (160, 64, 50)
    assert 0.1 < expected.memory_gib < 32


@pytest.mark.slow
def test_the_time_said_is_about_what_the_training_takes() -> None:
    """Within a factor of 8: a shared machine halves a speed, and checks, tables and evaluations come on top."""
    settings = settings_for_preset("published", epochs=8)
    # The first training of a process loads what PyTorch compiles.
    train(DATA, replace(settings, epochs=1), ONE_THREAD)
    expected = expect_training(DATA, settings, ONE_THREAD)
    started = time.perf_counter()
    train(DATA, settings, ONE_THREAD)
    took = time.perf_counter() - started
    assert took / 8 < expected.seconds < took * 8


def test_the_line_names_wells_genes_device_time_and_memory() -> None:
    line = expect_training(DATA, settings_for_preset("recommended", epochs=2), ONE_THREAD).line()
    assert re.search(
        r"160 wells × 64 genes on cpu \(fp32\): (about|under) .* for at most 2 epochs, \d+\.\d GiB", line
    )
    assert "Faster" not in line


def test_a_training_of_hours_is_told_what_takes_less_and_what_that_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expectation, "_measured", lambda *_: (1.0, 0.0))
    said = {
        preset: expect_training(DATA, settings_for_preset(preset), ONE_THREAD).line()
        for preset in ("published", "ridge_start", "recommended")
    }
    assert "preset=recommended" in said["published"]
    assert "attention=induced" in said["ridge_start"]
    assert "R² .478 against .479" in said["ridge_start"]
    assert "Fewer members or epochs" in said["recommended"]


def test_a_measurement_leaves_the_random_state_and_the_training_as_they_were() -> None:
    settings = settings_for_preset("recommended", epochs=1)
    before = train(DATA, settings, ONE_THREAD).version
    state = torch.get_rng_state()
    expect_training(DATA, settings, ONE_THREAD)
    assert torch.equal(torch.get_rng_state(), state)
    assert train(DATA, settings, ONE_THREAD).version == before


def test_data_that_cannot_be_trained_on_are_refused_before_the_measurement() -> None:
    broken = replace(DATA, wells=DATA.wells.assign(tscore=float("inf")))
    with pytest.raises(TrainingError, match="tscore is inf"):
        expect_training(broken, settings_for_preset("recommended"), ONE_THREAD)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "under a second"), (40, "about 40 s"), (720, "about 12 min"), (9_000, "about 2.5 h")],
)
def test_a_duration_is_said_in_the_unit_people_think_in(seconds: float, words: str) -> None:
    assert duration(seconds) == words
