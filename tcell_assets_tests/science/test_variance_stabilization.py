"""What the variance-stabilising transformation promises."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tcell_assets.science.counts.variance_stabilization import (
    KEEP_ALL_GENES,
    GeneFilter,
    VarianceStabilization,
    closed_form,
    fit_variance_stabilization,
    transform,
)


def gamma_poisson_counts(
    n_wells: int, n_genes: int, depth: float, a0: float = 0.08, a1: float = 1.5, seed: int = 0
) -> np.ndarray:
    generator = np.random.default_rng(seed)
    share = generator.lognormal(0.0, 1.5, n_genes)
    mean = depth * share / share.sum() * generator.lognormal(0.0, 0.3, n_wells)[:, None]
    # The trend is a property of the gene at size factor 1, not of the single well's mean.
    dispersion = a0 + a1 / (depth * share / share.sum())
    return generator.poisson(generator.gamma(1 / dispersion, mean * dispersion))


def names(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(n)]


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return gamma_poisson_counts(60, 300, depth=20_000)


WELLS = names("tc1_A1_W", 60)
GENES = names("GENE", 300)


def test_the_closed_form_is_that_of_pydeseq2(counts: np.ndarray) -> None:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference

    dense = counts[:, counts.min(axis=0) > 0][:, :60]
    design = pd.DataFrame({"condition": ["x", "y"] * 30}, index=WELLS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = DeseqDataSet(
            counts=pd.DataFrame(dense, index=WELLS),
            metadata=design,
            design="~condition",
            quiet=True,
            inference=DefaultInference(n_cpus=1),
        )
        dataset.vst_fit(use_design=False)
        expected = dataset.vst_transform()
    a0, a1 = dataset.uns["vst_trend_coeffs"]
    assert np.abs(closed_form(dataset.layers["normed_counts"], a0, a1) - expected).max() < 1e-4


def test_transform_divides_by_total_over_reference_and_applies_the_formula(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS, KEEP_ALL_GENES)
    normalised = counts / (counts.sum(axis=1, keepdims=True) / np.median(counts.sum(axis=1)))
    by_hand = np.log2(
        (
            1
            + fit.a1
            + 2 * fit.a0 * normalised
            + 2 * np.sqrt(fit.a0 * normalised * (1 + fit.a1 + fit.a0 * normalised))
        )
        / (4 * fit.a0)
    )
    # float32 keeps 24 bits: values up to 16 differ by at most 1e-6.
    np.testing.assert_allclose(transform(counts, GENES, WELLS, fit), by_hand, atol=2e-6)


def test_the_trend_of_simulated_counts_is_found_again() -> None:
    many = gamma_poisson_counts(300, 2000, depth=40_000, a0=0.08, a1=1.5, seed=3)
    fit = fit_variance_stabilization(many, names("G", 2000), names("W", 300))
    assert fit.a0 == pytest.approx(0.08, rel=0.25)
    assert fit.a1 == pytest.approx(1.5, rel=0.25)


def test_genes_that_respond_to_treatment_do_not_bend_the_trend() -> None:
    quiet = gamma_poisson_counts(200, 1000, depth=40_000, seed=4)
    answering = quiet.copy()
    answering[:40, :100] *= 6
    genes, wells = names("G", 1000), names("W", 200)
    alone = fit_variance_stabilization(quiet, genes, wells)
    among = fit_variance_stabilization(answering, genes, wells)
    assert among.a0 == pytest.approx(alone.a0, rel=0.5)


def test_one_well_alone_equals_the_well_in_its_batch_exactly(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS, n_genes=100)
    batch = transform(counts, GENES, WELLS, fit)
    for well in (0, 17, 59):
        alone = transform(counts[[well]], GENES, [WELLS[well]], fit)
        pd.testing.assert_frame_equal(alone, batch.iloc[[well]], check_exact=True)


def test_the_fit_wells_transformed_again_after_storage_differ_by_zero(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS, n_genes=100)
    stored = VarianceStabilization.from_dict(json.loads(json.dumps(fit.to_dict())))
    assert stored == fit
    again = fit_variance_stabilization(counts, GENES, WELLS, n_genes=100)
    pd.testing.assert_frame_equal(
        transform(counts, GENES, WELLS, stored), transform(counts, GENES, WELLS, again), check_exact=True
    )


@pytest.mark.parametrize("depth", [20_000, 1_500, 100])
def test_sparse_and_dense_input_give_the_same_finite_values(depth: int) -> None:
    plate = gamma_poisson_counts(96, 2000, depth=depth)
    genes, wells = names("G", 2000), names("W", 96)
    from_dense = transform(plate, genes, wells, fit_variance_stabilization(plate, genes, wells))
    compressed = sparse.csr_matrix(plate)
    from_sparse = transform(compressed, genes, wells, fit_variance_stabilization(compressed, genes, wells))
    assert np.isfinite(from_sparse.to_numpy()).all()
    pd.testing.assert_frame_equal(from_dense, from_sparse, check_exact=True)


def test_a_place_stored_twice_in_a_sparse_matrix_counts_as_the_sum(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS)
    halves = counts // 2
    doubled = sparse.hstack([sparse.csr_matrix(halves), sparse.csr_matrix(counts - halves)], format="csr")
    doubled = sparse.csr_matrix((doubled.data, doubled.indices % 300, doubled.indptr), shape=counts.shape)
    pd.testing.assert_frame_equal(transform(doubled, GENES, WELLS, fit), transform(counts, GENES, WELLS, fit))


def test_an_empty_well_gets_the_value_of_a_zero_count(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS)
    empty = transform(np.zeros((1, 300)), GENES, ["tc1_A1_H12"], fit)
    np.testing.assert_allclose(empty, np.log2((1 + fit.a1) / (4 * fit.a0)), rtol=1e-6)


def test_permuting_genes_and_wells_changes_no_value(counts: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    gene_order, well_order = generator.permutation(300), generator.permutation(60)
    genes, wells = [GENES[i] for i in gene_order], [WELLS[i] for i in well_order]
    fit = fit_variance_stabilization(counts, GENES, WELLS, n_genes=80)
    permuted_fit = fit_variance_stabilization(counts[well_order][:, gene_order], genes, wells, n_genes=80)
    assert permuted_fit.fit_wells_hash == fit.fit_wells_hash
    permuted = transform(counts[well_order][:, gene_order], genes, wells, permuted_fit)
    original = transform(counts, GENES, WELLS, fit)
    assert set(permuted.columns) == set(original.columns)
    np.testing.assert_allclose(permuted.loc[WELLS, original.columns], original, atol=1e-5)


def test_the_most_variable_genes_are_those_of_the_transformed_training_wells(counts: np.ndarray) -> None:
    everything = fit_variance_stabilization(counts, GENES, WELLS, KEEP_ALL_GENES)
    variance = transform(counts, GENES, WELLS, everything).astype(np.float64).var()
    fit = fit_variance_stabilization(counts, GENES, WELLS, KEEP_ALL_GENES, n_genes=20)
    assert list(fit.modelled_genes) == list(variance.sort_values(ascending=False).index[:20])


def test_a_given_gene_list_is_taken_in_its_order(counts: np.ndarray) -> None:
    listed = ["GENE7", "GENE3", "GENE250"]
    fit = fit_variance_stabilization(counts, GENES, WELLS, listed_genes=listed)
    assert list(transform(counts, GENES, WELLS, fit).columns) == listed


def test_genes_below_the_filter_leave_the_frozen_list() -> None:
    plate = np.tile([5, 0, 40], (20, 1))
    plate[0, 1] = 1
    fit = fit_variance_stabilization(
        plate, ["SEEN", "RARE", "COMMON"], names("W", 20), GeneFilter(minimum_wells=2, minimum_total=10)
    )
    assert fit.genes == ("SEEN", "COMMON")


def test_a_batch_that_lacks_a_gene_is_refused_by_the_gene_name(counts: np.ndarray) -> None:
    fit = fit_variance_stabilization(counts, GENES, WELLS, KEEP_ALL_GENES)
    with pytest.raises(ValueError, match="1 of the 300 genes of the fit are missing: GENE299"):
        transform(counts[:, :299], GENES[:299], WELLS, fit)


@pytest.mark.parametrize(("value", "shown"), [(-1.0, "-1"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_value_that_is_no_count_is_refused_with_its_well_and_gene(
    counts: np.ndarray, value: float, shown: str
) -> None:
    spoiled = counts.astype(float)
    spoiled[4, 9] = value
    with pytest.raises(ValueError, match=f"first {shown} in well tc1_A1_W4, gene GENE9"):
        fit_variance_stabilization(spoiled, GENES, WELLS)


def test_a_transposed_matrix_is_refused(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape 300 × 60"):
        fit_variance_stabilization(counts.T, GENES, WELLS)
