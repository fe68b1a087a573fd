"""Training does what the method says, twice the same, survives a kill, and stops with names."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tcell_assets.science.model.checkpoint import (
    KEPT,
    Checkpoint,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.network import ExpressionTransformer, NetworkOutput
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.model.training import Progress, TrainingData, TrainingError, split_wells, train
from tcell_assets.settings import SettingsError
from tcell_assets_tests.science.numpy_network import numpy_forward
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    expression_frame,
    small_model,
    small_screen,
    small_settings,
)

# A step this small leaves every weight where it is, so that losses can be recomputed from the final weights.
NO_STEP = 1e-30


def with_wells(data: TrainingData, **columns: object) -> TrainingData:
    return dataclasses.replace(data, wells=data.wells.assign(**columns))  # type: ignore[arg-type]


def assert_same_weights(one: TrainedModel, other: TrainedModel) -> None:
    for name in one.weights:
        np.testing.assert_array_equal(one.weights[name], other.weights[name], err_msg=name)
        np.testing.assert_array_equal(one.last_weights[name], other.last_weights[name], err_msg=name)


def assert_equal_up_to_rounding(one: TrainedModel, other: TrainedModel) -> None:
    np.testing.assert_allclose(one.history["total"], other.history["total"], rtol=1e-5)
    for name, value in other.last_weights.items():
        # Softmax ignores a constant added to every key: the bias of the keys has no gradient but rounding, which
        # Adam turns into full steps.
        if not name.endswith("query_key_value.bias"):
            np.testing.assert_allclose(one.last_weights[name], value, rtol=0, atol=1e-5, err_msg=name)


def losses(model: TrainedModel) -> pd.DataFrame:
    return model.history.drop(columns="seconds")


class TestLoss:
    """The loss is the published one."""

    def test_an_epoch_loss_is_a_mean_over_wells_of_the_published_terms(self) -> None:
        data = small_screen(wells=60)
        # 48 training wells in batches of 32 and 16: a mean of batch means would weigh the second twice.
        model = small_model(
            data, epochs=1, batch_size=32, learning_rate=NO_STEP, weight_decay=0.0, dropout=0.0
        )
        output = numpy_forward(model.weights, data.expression[:, gene_order(data, model)], heads=2, layers=2)

        split = model.split.set_index("well_id")["split"].reindex(data.wells["well_id"]).to_numpy()
        truth = data.wells[["tscore", "cytotrace", "pseudotime"]].to_numpy()
        label = data.wells["is_activated"].to_numpy()
        legacy = data.wells["activation_score"].to_numpy()
        legacy = (legacy - legacy[split == "train"].mean()) / legacy[split == "train"].std()
        probability = 1 / (1 + np.exp(-output["is_activated"]))
        mse = ((output["scores"] - truth) ** 2).mean(axis=1)
        bce = -(label * np.log(probability) + (1 - label) * np.log(1 - probability))
        reg = (output["activation_score"] - legacy) ** 2
        for part in ("train", "val"):
            row = model.history.query("split == @part").iloc[0]
            wells = split == part
            assert row["mse"] == pytest.approx(mse[wells].mean(), rel=1e-5)
            assert row["bce"] == pytest.approx(bce[wells].mean(), rel=1e-5)
            assert row["reg"] == pytest.approx(reg[wells].mean(), rel=1e-5)
            assert row["total"] == pytest.approx((mse + bce + 0.2 * reg)[wells].mean(), rel=1e-5)

    def test_unknown_targets_take_no_part_in_the_loss(self) -> None:
        data = small_screen()
        cytotrace = data.wells["cytotrace"].where(data.wells.index % 3 == 0)
        known = small_model(
            with_wells(data, cytotrace=cytotrace), learning_rate=NO_STEP, dropout=0.0, weight_decay=0.0
        )
        output = numpy_forward(known.weights, data.expression[:, gene_order(data, known)], heads=2, layers=2)
        truth = data.wells.assign(cytotrace=cytotrace)[["tscore", "cytotrace", "pseudotime"]].to_numpy()
        in_training = (
            known.split.set_index("well_id")["split"].reindex(data.wells["well_id"]) == "train"
        ).to_numpy()

        expected = np.nanmean((output["scores"] - truth)[in_training] ** 2)

        assert known.history.query("split == 'train'")["mse"].iloc[0] == pytest.approx(expected, rel=1e-5)

    def test_computing_a_batch_in_pieces_changes_only_rounding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = small_model(dropout=0.0, epochs=2)
        monkeypatch.setattr(Compute, "wells_at_once", lambda self, batch_size, genes: 3)
        pieces = small_model(dropout=0.0, epochs=2)
        assert_equal_up_to_rounding(pieces, whole)

    def test_the_legacy_score_is_predicted_in_its_own_unit(self) -> None:
        data = small_screen()
        model = small_model(data, epochs=40, learning_rate=1e-2, use_zscore=True, linear_path=True)
        predicted = score_wells(model, expression_frame(data), ONE_THREAD).predictions["pred_activation"]
        known = data.wells["activation_score"]
        in_training = model.split.set_index("well_id")["split"].reindex(data.wells["well_id"]) == "train"
        assert model.scales["activation_score"].mean == pytest.approx(known[in_training.to_numpy()].mean())
        assert np.corrcoef(predicted, known)[0, 1] > 0.8
        # The score lies around 40; predictions in standardised units would lie around 0.
        assert abs(predicted.mean() - known.mean()) < 0.5 * known.std()


def gene_order(data: TrainingData, model: TrainedModel) -> list[int]:
    return [data.genes.index(gene) for gene in model.genes]


class TestHeadsWithoutTarget:
    """A target that nobody measured trains nothing."""

    def test_a_target_known_nowhere_leaves_its_head_untrained_and_says_so(self) -> None:
        said: list[str] = []
        data = with_wells(small_screen(), activation_score=np.nan)
        model = train(data, small_settings(), ONE_THREAD, on_progress=lambda p: said.append(p.text))
        assert model.trained_heads == ("tscore", "cytotrace", "pseudotime", "is_activated")
        assert any("activation_score" in text and "untrained" in text for text in said)
        assert model.history["reg"].isna().all()
        totals = model.history["mse"] + model.history["bce"]
        np.testing.assert_allclose(model.history["total"], totals)

    def test_an_untrained_head_keeps_its_initial_weights_but_for_weight_decay(self) -> None:
        data = with_wells(small_screen(), activation_score=np.nan)
        model = small_model(data, weight_decay=0.0)
        torch.manual_seed(614)
        initial = ExpressionTransformer(small_settings().network, 12).head("activation_score").weight
        np.testing.assert_array_equal(
            model.last_weights["activation_score_head.weight"], initial.detach().numpy()
        )

    def test_wells_without_any_target_are_left_out_of_training(self) -> None:
        data = small_screen()
        unknown = data.wells.index % 5 == 0
        targets = ["tscore", "cytotrace", "pseudotime", "is_activated", "activation_score"]
        wells = data.wells.copy()
        wells.loc[unknown, targets] = np.nan
        model = small_model(dataclasses.replace(data, wells=wells))
        assert set(model.split["well_id"]) == set(data.wells["well_id"][~unknown])


class TestSplit:
    """Who is held out, and what may be fitted on whom."""

    def test_the_split_is_stratified_by_label(self) -> None:
        wells = pd.DataFrame(
            {"well_id": [f"w{i:03d}" for i in range(100)], "is_activated": [1.0] * 30 + [0.0] * 70}
        )
        split = split_wells(wells, small_settings())
        held_out = wells[split == "val"]
        assert len(held_out) == 20
        assert held_out["is_activated"].sum() == 6

    def test_the_split_depends_on_the_wells_and_not_on_their_order(self) -> None:
        wells = small_screen().wells
        shuffled = wells.sample(frac=1, random_state=0)
        pd.testing.assert_series_equal(
            split_wells(shuffled, small_settings()).sort_index(),
            split_wells(wells, small_settings()).sort_index(),
        )

    def test_too_few_wells_to_split_is_an_error(self) -> None:
        with pytest.raises(TrainingError, match="1 wells cannot be split"):
            small_model(small_screen(wells=1))

    def test_the_scaler_is_fitted_on_the_training_wells_alone(self) -> None:
        data = small_screen()
        model = small_model(data, use_zscore=True)
        in_training = (
            model.split.set_index("well_id")["split"].reindex(data.wells["well_id"]) == "train"
        ).to_numpy()
        values = data.expression[in_training][:, gene_order(data, model)].astype(np.float64)
        assert model.gene_mean is not None
        assert model.gene_standard_deviation is not None
        np.testing.assert_allclose(model.gene_mean, values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(model.gene_standard_deviation, values.std(axis=0), rtol=1e-12)


class TestBestEpoch:
    """The best epoch is kept, and chosen by the wells that may choose it."""

    def test_best_weights_are_a_copy_and_differ_from_the_last(self) -> None:
        # Steps of 0.05 are far too long: the loss leaves its best epoch soon.
        model = small_model(epochs=8, learning_rate=0.05)
        assert model.best_epoch < 8
        assert any((model.weights[name] != model.last_weights[name]).any() for name in model.weights)

    def test_the_best_weights_are_those_of_the_epoch_that_history_names(self) -> None:
        data = small_screen()
        model = small_model(data, epochs=6, learning_rate=0.05, dropout=0.0)
        held_out = model.history.query("split == 'val'").set_index("epoch")
        assert model.best_epoch == held_out["total"].idxmin()
        assert set(model.history.query("is_best")["epoch"]) == {model.best_epoch}

        until_best = small_model(data, epochs=model.best_epoch, learning_rate=0.05, dropout=0.0)
        for name, value in until_best.last_weights.items():
            np.testing.assert_array_equal(model.weights[name], value, err_msg=name)

    def test_early_stopping_looks_at_training_wells_only(self) -> None:
        data = small_screen(wells=100)
        settings = small_settings(epochs=40, inner_fraction=0.2, patience=3, learning_rate=0.03)
        said: list[str] = []
        model = train(data, settings, ONE_THREAD, on_progress=lambda p: said.append(p.text))
        inner = model.history.query("split == 'inner'").set_index("epoch")["total"]
        assert model.best_epoch == inner.idxmin()
        assert inner.index.max() == model.best_epoch + 3
        assert any(f"no better inner loss since epoch {model.best_epoch}" in text for text in said)

        held_out = (
            model.split.set_index("well_id")["split"].reindex(data.wells["well_id"]) == "val"
        ).to_numpy()
        other = data.wells.copy()
        other.loc[held_out, ["tscore", "cytotrace", "pseudotime", "activation_score"]] *= -3
        assert_same_weights(model, train(dataclasses.replace(data, wells=other), settings, ONE_THREAD))


class TestRepeatability:
    """The same data and seed give the same model."""

    def test_the_same_seed_gives_the_same_weights_and_version(self) -> None:
        one, other = small_model(), small_model()
        assert_same_weights(one, other)
        pd.testing.assert_frame_equal(losses(one), losses(other))
        assert one.version == other.version

    def test_another_seed_gives_another_model(self) -> None:
        assert small_model().version != small_model(seed=615).version

    def test_the_order_of_wells_and_genes_in_the_data_does_not_matter(self) -> None:
        data = small_screen()
        random = np.random.default_rng(5)
        rows, columns = random.permutation(len(data.wells)), random.permutation(len(data.genes))
        shuffled = dataclasses.replace(
            data,
            expression=np.ascontiguousarray(data.expression[rows][:, columns]),
            genes=tuple(data.genes[i] for i in columns),
            wells=data.wells.iloc[rows].reset_index(drop=True),
        )
        one = small_model(data, use_zscore=True, linear_path=True)
        other = small_model(shuffled, use_zscore=True, linear_path=True)
        for name, value in one.weights.items():
            # Only the scaler's sums run in another order: float64 rounding, then one float32 step.
            np.testing.assert_allclose(other.weights[name], value, rtol=0, atol=1e-5, err_msg=name)
        assert one.genes == other.genes

    def test_one_and_two_threads_give_the_same_metrics(self) -> None:
        data = small_screen(wells=60, genes=24)
        settings = small_settings(epochs=3, d_model=64)
        one = train(data, settings, Compute(threads=1))
        two = train(data, settings, Compute(threads=2))
        np.testing.assert_allclose(two.history["total"], one.history["total"], rtol=0, atol=1e-3)

    def test_training_leaves_the_callers_random_numbers_alone(self) -> None:
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        small_model(epochs=1)
        torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


KILLED_TRAINING = """
import os, signal, sys
from pathlib import Path
from tcell_assets.science.model.training import train
from tcell_assets_tests.science.small_screens import ONE_THREAD, small_screen, small_settings

def kill(progress):
    if progress.kind == "step" and progress.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

train(small_screen(), small_settings(epochs=5), ONE_THREAD, Path(sys.argv[1]), kill)
"""


class StoppedError(Exception):
    """A test has seen enough of a training."""


def stop_after(epoch: int) -> Callable[[Progress], None]:
    """Return a listener that ends a training in the epoch that follows."""

    def stop(progress: Progress) -> None:
        if progress.kind == "step" and progress.epoch == epoch + 1:
            raise StoppedError

    return stop


class TestResume:
    """A killed training goes on as if never stopped."""

    def test_a_killed_training_continues_to_the_very_same_weights(self, tmp_path: Path) -> None:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_TRAINING, tmp_path], check=False, cwd=Path.cwd()
        )
        assert killed.returncode == -signal.SIGKILL

        said: list[str] = []
        resumed = train(
            small_screen(),
            small_settings(epochs=5),
            ONE_THREAD,
            tmp_path,
            lambda p: said.append(f"{p.epoch} {p.text}"),
        )

        unbroken = small_model(epochs=5)
        assert any("resumed after epoch 2 of 5" in text for text in said)
        assert not any(text.startswith(("1 epoch", "2 epoch")) for text in said)
        assert_same_weights(resumed, unbroken)
        pd.testing.assert_frame_equal(losses(resumed), losses(unbroken))
        assert resumed.version == unbroken.version

    def test_early_stopping_survives_a_resume(self, tmp_path: Path) -> None:
        settings = small_settings(epochs=40, inner_fraction=0.2, patience=3, learning_rate=0.03)
        data = small_screen(wells=100)

        with pytest.raises(StoppedError):
            train(data, settings, ONE_THREAD, tmp_path, stop_after(4))
        assert_same_weights(train(data, settings, ONE_THREAD, tmp_path), train(data, settings, ONE_THREAD))

    @pytest.mark.parametrize("change", ["settings", "targets", "hashes", "genes"])
    def test_a_checkpoint_of_another_training_is_neither_resumed_nor_overwritten(
        self, tmp_path: Path, change: str
    ) -> None:
        data, settings = small_screen(), small_settings(epochs=2)
        train(data, settings, ONE_THREAD, tmp_path)
        (first,) = tmp_path.iterdir()
        before = first.read_bytes()
        if change == "settings":
            settings = small_settings(epochs=2, learning_rate=1e-4)
        elif change == "targets":
            data = with_wells(data, tscore=data.wells["tscore"] + 1)
        elif change == "hashes":
            data = dataclasses.replace(data, batch_hashes={"tc1": "other", "tc2": "hash-2"})
        else:
            data = dataclasses.replace(data, genes=("OTHER", *data.genes[1:]))
        said: list[str] = []

        model = train(data, settings, ONE_THREAD, tmp_path, lambda p: said.append(p.text))

        assert not any("resumed" in text for text in said)
        assert_same_weights(model, train(data, settings, ONE_THREAD))
        assert first.read_bytes() == before

    def test_a_checkpoint_under_the_name_of_another_training_is_not_resumed(self, tmp_path: Path) -> None:
        train(small_screen(), small_settings(epochs=2), ONE_THREAD, tmp_path)
        (first,) = tmp_path.iterdir()
        train(small_screen(), small_settings(epochs=1), ONE_THREAD, tmp_path)
        (second,) = set(tmp_path.iterdir()) - {first}
        first.replace(second)
        said: list[str] = []
        model = train(
            small_screen(), small_settings(epochs=1), ONE_THREAD, tmp_path, lambda p: said.append(p.text)
        )
        assert any("of another training; training starts afresh" in text for text in said)
        assert_same_weights(model, small_model(epochs=1))

    def test_the_checkpoints_of_the_last_trainings_are_kept_and_older_ones_are_not(
        self, tmp_path: Path
    ) -> None:
        weights = {"a": np.zeros(1, dtype=np.float32)}
        for number in range(KEPT + 2):
            identity = {"number": number}
            write_checkpoint(tmp_path, Checkpoint(identity, 1, 1, 0.5, [], weights, weights, weights))
            os.utime(checkpoint_path(tmp_path, identity), (number, number))
        kept = [read_checkpoint(tmp_path, {"number": number}) is not None for number in range(KEPT + 2)]
        assert kept == [False] * 2 + [True] * KEPT

    def test_a_damaged_checkpoint_is_not_resumed(self, tmp_path: Path) -> None:
        settings = small_settings(epochs=2)
        train(small_screen(), settings, ONE_THREAD, tmp_path)
        (path,) = tmp_path.iterdir()
        path.write_bytes(path.read_bytes()[:-10])
        said: list[str] = []
        model = train(small_screen(), settings, ONE_THREAD, tmp_path, lambda p: said.append(p.text))
        assert any("damaged" in text for text in said)
        assert_same_weights(model, small_model(epochs=2))

    def test_a_crash_while_writing_leaves_the_previous_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StoppedError):
            train(small_screen(), small_settings(epochs=2), ONE_THREAD, tmp_path, stop_after(1))
        (path,) = tmp_path.iterdir()
        before = path.read_bytes()

        def crash(self: Path, target: Path) -> Path:
            raise OSError("no space left on device")

        monkeypatch.setattr(Path, "replace", crash)
        with pytest.raises(OSError, match="no space"):
            train(small_screen(), small_settings(epochs=2), ONE_THREAD, tmp_path)
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_bytes() == before

    def test_a_finished_training_run_again_trains_nothing(self, tmp_path: Path) -> None:
        first = train(small_screen(), small_settings(), ONE_THREAD, tmp_path)
        steps: list[Progress] = []
        again = train(
            small_screen(),
            small_settings(),
            ONE_THREAD,
            tmp_path,
            lambda p: steps.append(p) if p.kind == "step" else None,
        )
        assert steps == []
        assert again.version == first.version


class TestRefusals:
    """What cannot be trained on is refused with names."""

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_expression_that_is_not_finite_names_wells_and_genes(self, value: float) -> None:
        data = small_screen()
        data.expression[7, 3] = value
        with pytest.raises(TrainingError, match=r"not finite in wells tc2_A1_007, genes GENE3;"):
            small_model(data)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"is_activated": 2.0}, r"is_activated is 2.0 in wells .* labels are 0 or 1"),
            ({"tscore": np.inf}, r"tscore is inf in wells .* must be finite"),
            ({"well_id": "same"}, "well ids occur twice: same"),
            ({"activation_score": 3.0}, "activation_score is 3 in every training well"),
        ],
    )
    def test_targets_that_cannot_be_learnt_are_named(self, columns: dict[str, object], message: str) -> None:
        with pytest.raises(TrainingError, match=message):
            small_model(with_wells(small_screen(), **columns))

    def test_data_without_any_target_is_refused(self) -> None:
        nothing = dict.fromkeys(
            ["tscore", "cytotrace", "pseudotime", "is_activated", "activation_score"], np.nan
        )
        with pytest.raises(TrainingError, match="no well has a target"):
            small_model(with_wells(small_screen(), **nothing))

    def test_a_missing_target_column_is_named(self) -> None:
        data = small_screen()
        with pytest.raises(TrainingError, match="no column tscore"):
            small_model(dataclasses.replace(data, wells=data.wells.drop(columns="tscore")))

    def test_shapes_that_do_not_fit_are_refused(self) -> None:
        data = small_screen()
        with pytest.raises(TrainingError, match=r"\(60, 12\).*59 wells"):
            small_model(dataclasses.replace(data, wells=data.wells.iloc[1:]))

    def test_duplicate_genes_are_named(self) -> None:
        data = small_screen()
        with pytest.raises(TrainingError, match="genes occur twice: GENE1"):
            small_model(dataclasses.replace(data, genes=("GENE1", *data.genes[1:])))

    def test_float64_expression_is_refused_rather_than_copied(self) -> None:
        data = small_screen()
        with pytest.raises(TrainingError, match="float64; give float32"):
            small_model(dataclasses.replace(data, expression=data.expression.astype(np.float64)))

    def test_a_loss_that_is_not_finite_names_epoch_batch_and_wells(self) -> None:
        data = small_screen()
        data.expression[7] = 3e38
        with pytest.raises(
            TrainingError, match=r"epoch 1, batch \d+: the loss is (nan|inf) \(wells tc2_A1_007\)"
        ):
            small_model(data)

    def test_a_gradient_that_is_not_finite_names_epoch_batch_and_parameters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forward = ExpressionTransformer.forward

        def poisoned(self: ExpressionTransformer, expression: torch.Tensor) -> NetworkOutput:
            output = forward(self, expression)
            if output.latent.requires_grad:
                output.latent.register_hook(lambda gradient: gradient * float("nan"))
            return output

        monkeypatch.setattr(ExpressionTransformer, "forward", poisoned)
        with pytest.raises(
            TrainingError, match=r"epoch 1, batch 1: the gradient of .* genes GENE0, .* wells tc"
        ):
            small_model()

    def test_more_genes_than_full_attention_can_afford_are_refused_before_training(self) -> None:
        with pytest.raises(SettingsError, match="induced"):
            small_model(full_attention_gene_limit=5)


class TestProgress:
    """A running training says how it fares."""

    def test_every_step_and_epoch_reports_speed_and_time_left(self) -> None:
        reports: list[Progress] = []
        train(small_screen(), small_settings(), ONE_THREAD, on_progress=reports.append)
        steps = [report for report in reports if report.kind == "step"]
        epochs = [report for report in reports if report.kind == "epoch"]
        assert len(steps) == 3 * 3
        assert [report.epoch for report in epochs] == [1, 2, 3]
        assert all(report.wells_per_second > 0 and report.seconds_left >= 0 for report in steps + epochs)
        assert epochs[-1].fraction == 1
        assert {"train", "val"} == set(epochs[0].losses)
        assert "wells/s" in epochs[0].text

    def test_memory_that_runs_out_halves_the_wells_at_once_and_keeps_the_batch(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plenty = small_model(dropout=0.0, epochs=1)
        forward = ExpressionTransformer.forward

        def crowded(self: ExpressionTransformer, expression: torch.Tensor) -> NetworkOutput:
            if len(expression) > 4:
                raise torch.OutOfMemoryError
            return forward(self, expression)

        monkeypatch.setattr(ExpressionTransformer, "forward", crowded)
        said: list[str] = []
        model = train(
            small_screen(),
            small_settings(dropout=0.0, epochs=1),
            ONE_THREAD,
            on_progress=lambda p: said.append(p.text),
        )
        assert any("4 wells at once" in text for text in said)
        assert_equal_up_to_rounding(model, plenty)

    def test_a_single_well_that_does_not_fit_into_memory_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crowded(self: ExpressionTransformer, expression: torch.Tensor) -> NetworkOutput:
            raise torch.OutOfMemoryError

        monkeypatch.setattr(ExpressionTransformer, "forward", crowded)
        with pytest.raises(TrainingError, match=r"one well of 12 genes does not fit .*induced"):
            small_model()


def test_a_model_learns_the_targets_of_a_small_screen() -> None:
    data = small_screen(wells=120)
    model = train(
        data, small_settings("ridge_start", epochs=30, learning_rate=1e-2, linear_start="zero"), ONE_THREAD
    )
    held_out = model.history.query("split == 'val'").set_index("epoch")["total"]
    assert held_out[model.best_epoch] < 0.5 * held_out[1]


def test_the_model_carries_its_provenance() -> None:
    data = dataclasses.replace(small_screen(), genes_left_out=("ONLY_IN_TC1",))
    model = small_model(data)
    assert model.genes_left_out == ("ONLY_IN_TC1",)
    assert model.batch_hashes == data.batch_hashes
    assert model.compute == ONE_THREAD
    assert model.library_versions["torch"] == torch.__version__
    latents = score_wells(model, expression_frame(data), ONE_THREAD)
    in_training = (latents.predictions["split"] == "train").to_numpy()
    expected = latents.latents.loc[in_training].filter(regex=r"^z_\d\d$").mean(axis=0)
    np.testing.assert_allclose(model.training_latent_mean, expected, rtol=0, atol=1e-5)
