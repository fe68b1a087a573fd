"""Counts, VST and what is neither are told apart by their numbers, at every depth tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import sparse

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.value_kinds import judge_values
from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization, transform
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.landing.folders import (
    REAL_PLATE,
    expression_of,
    only_problem_of,
    plate_map_rows,
    write_rows,
)
from tcell_assets_tests.landing.folders import WELLS as SIX_WELLS

Matrix = npt.NDArray[np.float64]


def sparse_counts() -> Matrix:
    return np.asarray(_simulated("sparse"))


def clean_counts() -> Matrix:
    return np.asarray(_simulated("clean"))


def deep_counts() -> Matrix:
    """384 wells of 2 000 genes with hardly a zero: log1p of these cannot be told by its zeros."""
    chance = np.random.default_rng(614)
    mean = chance.lognormal(6, 1.5, 2000) * chance.lognormal(0, 0.3, (384, 1))
    return chance.negative_binomial(5, 5 / (5 + mean)).astype(np.float64)


def real_counts() -> Matrix:
    if not REAL_PLATE.exists():
        pytest.skip(f"{REAL_PLATE} is not there")
    return pd.read_csv(REAL_PLATE / "counts.csv", index_col=0).to_numpy(np.float64)


def _simulated(preset: str) -> Matrix:
    settings = SimulationSettings(preset=preset, n_genes=200, n_batches=2, n_plates=1)  # type: ignore[arg-type]
    return simulate_screen(settings).counts.toarray().astype(np.float64)


COUNTS = pytest.mark.parametrize("draw", [sparse_counts, clean_counts, deep_counts, real_counts])


def with_umi(draw: object) -> Matrix:
    counts = draw()  # type: ignore[operator]
    return np.asarray(counts[counts.sum(axis=1) > 0])


def cpm(counts: Matrix) -> Matrix:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True) * 1e6)


def vst(counts: Matrix) -> Matrix:
    genes, wells = [f"G{n}" for n in range(counts.shape[1])], [f"w{n}" for n in range(len(counts))]
    fit = fit_variance_stabilization(counts, genes, wells)
    return np.asarray(transform(counts, genes, wells, fit).to_numpy(np.float64))


def z_scores(values: Matrix) -> Matrix:
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9))


@COUNTS
def test_counts_and_their_vst_are_told(draw: object) -> None:
    counts = with_umi(draw)
    assert judge_values(counts).kind == "counts"
    assert judge_values(sparse.csr_matrix(counts)).kind == "counts"
    assert judge_values(vst(counts)).kind == "vst"
    assert judge_values(vst(counts)[:24]).kind == "vst"


@COUNTS
def test_cpm_and_counts_of_equal_depth_are_no_log_values(draw: object) -> None:
    counts = with_umi(draw)
    assert judge_values(cpm(counts)).kind == "linear"
    assert judge_values(cpm(counts).round(2)).kind == "linear"
    assert judge_values(cpm(counts) / 1e4).kind == "linear"


@COUNTS
def test_fractions_are_told_by_their_sum(draw: object) -> None:
    assert judge_values(cpm(with_umi(draw)) / 1e6).kind == "fractions"


@COUNTS
@pytest.mark.parametrize("base", [np.e, 2.0, 10.0])
def test_log1p_of_normalised_counts_is_no_vst(draw: object, base: float) -> None:
    counts = with_umi(draw)
    depth = np.median(counts.sum(axis=1))
    for normalised in (cpm(counts), cpm(counts) / 1e6 * depth):
        assert judge_values((np.log1p(normalised) / np.log(base)).round(4)).kind == "log1p"
        as_sparse = sparse.csr_matrix(np.log1p(normalised) / np.log(base))
        if as_sparse.nnz < 0.9 * counts.size:
            assert judge_values(as_sparse).kind == "log1p"


@COUNTS
def test_z_scores_are_told_on_a_whole_screen_and_on_one_plate_of_it(draw: object) -> None:
    scaled = z_scores(vst(with_umi(draw)))
    assert judge_values(scaled).kind == "z-scores"
    assert judge_values(scaled.clip(-10, 10).round(3)).kind == "z-scores"
    assert judge_values(scaled[:96]).kind == "z-scores"


def test_values_centred_on_each_gene_but_not_scaled_are_told_too() -> None:
    values = vst(clean_counts())
    assert judge_values(values - values.mean(axis=0)).kind == "z-scores"
    assert judge_values(values - np.median(values, axis=0)).kind == "z-scores"


@COUNTS
@pytest.mark.parametrize("n_reference", [4, 16])
def test_fold_changes_against_a_few_wells_are_no_vst(draw: object, n_reference: int) -> None:
    values = vst(with_umi(draw))
    assert judge_values(values - values[:n_reference].mean(axis=0)).kind == "z-scores"
    logs = np.log2(cpm(with_umi(draw)) + 1)
    assert judge_values(logs - logs[:n_reference].mean(axis=0)).kind == "z-scores"


@COUNTS
def test_rounded_cpm_are_no_counts_and_counts_drawn_down_to_one_depth_are(draw: object) -> None:
    counts = with_umi(draw)
    assert judge_values(cpm(counts).round()).kind == "linear"
    assert judge_values(sparse.csr_matrix(cpm(counts).round())).kind == "linear"
    chance = np.random.default_rng(614)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert judge_values(chance.multinomial(5_000, shares).astype(np.float64)).kind == "counts"


def test_a_few_wells_are_called_z_scores_only_where_every_gene_is_centred() -> None:
    values = np.random.default_rng(614).normal(0.3, 1.0, (8, 12))
    assert judge_values(values).kind == "vst"
    assert judge_values(z_scores(values)).kind == "z-scores"


def test_log2_of_deep_raw_counts_behaves_like_vst_and_is_read() -> None:
    counts = clean_counts()
    few_zeros = counts[:, (counts > 0).mean(axis=0) > 0.99]
    assert judge_values(np.log2(few_zeros + 1)).kind == "vst"


def landed(folder: Path, values: Matrix, name: str = "expression.csv", settings: str = "") -> Path:
    write_rows(folder / "plate_map.csv", plate_map_rows())
    genes = [f"GENE{number}" for number in range(values.shape[1])]
    rows = [[f"P1_{well}", *row] for well, row in zip(SIX_WELLS, values.tolist(), strict=True)]
    write_rows(folder / name, [["well_id", *genes], *rows])
    if settings:
        (folder / "screen.yaml").write_text(settings)
    return folder


SIX_WELLS_OF_COUNTS = np.random.default_rng(614).poisson(30.0, (6, 40)).astype(np.float64)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (cpm(SIX_WELLS_OF_COUNTS), "CPM, TPM or other normalised counts"),
        (np.log1p(cpm(SIX_WELLS_OF_COUNTS)) * (SIX_WELLS_OF_COUNTS > 25), "log1p"),
        (z_scores(SIX_WELLS_OF_COUNTS), "z-scores"),
        (cpm(SIX_WELLS_OF_COUNTS) / 1e6, "fractions"),
    ],
)
def test_other_values_are_refused_in_one_sentence_with_numbers_and_what_to_land(
    tmp_path: Path, values: Matrix, found: str
) -> None:
    text = only_problem_of(landed(tmp_path / "tc1", values))
    assert found in text
    assert "neither UMI counts nor VST (smallest" in text
    assert "Land the raw UMI counts as counts.csv" in text


def test_cpm_called_counts_are_refused_in_one_sentence_too(tmp_path: Path) -> None:
    text = only_problem_of(landed(tmp_path / "tc1", cpm(SIX_WELLS_OF_COUNTS), "counts.csv"))
    assert "holds CPM, TPM" in text


def test_rounded_cpm_called_counts_are_refused_unless_screen_yaml_states_counts(tmp_path: Path) -> None:
    chance = np.random.default_rng(614).gamma(1.0, 1.0, (6, 40))
    folder = landed(tmp_path / "tc1", cpm(chance).round(), "counts.csv")
    text = only_problem_of(folder)
    assert "whole numbers, but every well sums to 1e+06 within" in text
    assert "if these are raw counts after all, state value_kind: counts in screen.yaml" in text
    (folder / "screen.yaml").write_text("value_kind: counts\n")
    assert read_batch(folder).value_kind == "counts"


def test_vst_called_counts_is_told_how_to_be_called(tmp_path: Path) -> None:
    text = only_problem_of(landed(tmp_path / "tc1", np.log2(SIX_WELLS_OF_COUNTS + 0.5), "counts.csv"))
    assert "call the file expression.csv" in text


def test_who_states_vst_is_believed_and_the_doubt_is_noted(tmp_path: Path) -> None:
    scaled = z_scores(SIX_WELLS_OF_COUNTS)
    batch = read_batch(landed(tmp_path / "tc1", scaled, settings="value_kind: vst\n"))
    np.testing.assert_allclose(expression_of(batch).to_numpy(), scaled, rtol=1e-6, atol=1e-6)
    assert any("looks like z-scores" in note for note in batch.notes)


def test_nobody_can_state_that_values_beyond_any_logarithm_are_vst(tmp_path: Path) -> None:
    folder = landed(tmp_path / "tc1", cpm(SIX_WELLS_OF_COUNTS), settings="value_kind: vst\n")
    assert "no log2 of a count exceeds 32" in only_problem_of(folder)
