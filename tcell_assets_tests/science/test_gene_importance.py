"""The ranking of genes over batches equals the published global formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.model.gene_importance import importance_stability, rank_genes


def table(saliency: np.ndarray, **changed: object) -> pd.DataFrame:
    """A batch's importance from its wells × genes Gradient×Input values."""
    columns = {
        "gene": [f"GENE{index}" for index in range(saliency.shape[1])],
        "importance": np.abs(saliency).mean(axis=0),
        "signed_importance": saliency.mean(axis=0),
        "n_wells": len(saliency),
        "head": "is_activated",
        "method": "gradient_x_input",
        "model_version": "v1",
    }
    return pd.DataFrame({**columns, **changed})


@pytest.fixture
def saliency() -> np.ndarray:
    return np.random.default_rng(614).normal(size=(97, 12))


def test_batches_of_any_size_give_the_mean_over_all_wells(saliency: np.ndarray) -> None:
    parts = {"tc1": saliency[:80], "tc2": saliency[80:96], "tc3": saliency[96:]}
    ranking = rank_genes({batch: table(part) for batch, part in parts.items()}).set_index("gene")
    expected = [sum(abs(value) for value in saliency[:, gene]) / 97 for gene in range(12)]
    signed = [sum(saliency[:, gene]) / 97 for gene in range(12)]
    order = [f"GENE{index}" for index in range(12)]
    np.testing.assert_allclose(ranking.loc[order, "importance"], expected, rtol=1e-12)
    np.testing.assert_allclose(ranking.loc[order, "signed_importance"], signed, rtol=0, atol=1e-14)
    assert set(ranking["n_wells"]) == {97}


def test_the_most_important_gene_ranks_first_and_ties_go_by_name() -> None:
    ranking = rank_genes({"tc1": table(np.array([[1.0, 3.0, 1.0]]))})
    assert ranking[["rank", "gene"]].to_numpy().tolist() == [[1, "GENE1"], [2, "GENE0"], [3, "GENE2"]]


def test_the_order_of_genes_within_a_batch_changes_nothing(saliency: np.ndarray) -> None:
    ordered = rank_genes({"tc1": table(saliency[:50]), "tc2": table(saliency[50:])})
    shuffled = rank_genes(
        {"tc1": table(saliency[:50]), "tc2": table(saliency[50:]).sample(frac=1, random_state=0)}
    )
    pd.testing.assert_frame_equal(shuffled, ordered)


@pytest.mark.parametrize("column", ["head", "method", "model_version"])
def test_batches_that_differ_in_head_method_or_model_are_refused(saliency: np.ndarray, column: str) -> None:
    with pytest.raises(ValueError, match=f"differ in {column}: .*other in tc2"):
        rank_genes({"tc1": table(saliency), "tc2": table(saliency, **{column: "other"})})


def test_a_batch_that_does_not_state_its_model_is_not_mixed_with_one_that_does(saliency: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not stated in tc2"):
        rank_genes({"tc1": table(saliency), "tc2": table(saliency).drop(columns="model_version")})


def test_batches_over_different_genes_are_refused_by_name(saliency: np.ndarray) -> None:
    with pytest.raises(ValueError, match="GENE11"):
        rank_genes({"tc1": table(saliency), "tc2": table(saliency[:, :11])})


def test_importance_that_is_not_finite_is_refused(saliency: np.ndarray) -> None:
    broken = saliency.copy()
    broken[0, 4] = np.nan
    with pytest.raises(ValueError, match="batch tc1: not finite for GENE4"):
        rank_genes({"tc1": table(broken)})


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="no batch"):
        rank_genes({})


def rankings() -> dict[str, pd.DataFrame]:
    return {
        "seed 1": rank_genes({"tc1": table(np.array([[3.0, 2.0, 1.0]]))}),
        "seed 2": rank_genes({"tc1": table(np.array([[1.0, 2.0, 4.0]]))}),
    }


def test_stability_is_mean_and_spread_of_importance_and_rank_over_members() -> None:
    stability = importance_stability(rankings(), top=1).set_index("gene")
    assert stability["mean_importance"]["GENE2"] == 2.5
    assert stability["sd_importance"]["GENE2"] == pytest.approx(4.5**0.5)
    assert stability["mean_rank"].tolist() == [2.0, 2.0, 2.0]
    assert stability["sd_rank"]["GENE1"] == 0.0
    assert stability["share_in_top"].to_dict() == {"GENE0": 0.5, "GENE1": 0.0, "GENE2": 0.5}


def test_one_member_says_nothing_of_stability() -> None:
    with pytest.raises(ValueError, match="at least 2 members, found 1"):
        importance_stability({"seed 1": rankings()["seed 1"]})


def test_members_that_explain_different_heads_are_refused() -> None:
    members = rankings()
    members["seed 2"] = members["seed 2"].assign(head="tscore")
    with pytest.raises(ValueError, match="differ in head"):
        importance_stability(members)
