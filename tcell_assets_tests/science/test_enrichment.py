"""Enrichment finds the set that was put on top, and says what is wrong with a GMT file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.screen.enrichment import bundled_gene_sets, enrich_ranking, read_gene_sets

SETS = {
    "raised": [f"UP{i}" for i in range(20)],
    "lowered": [f"DOWN{i}" for i in range(20)],
    "tiny": ["UP0", "UP1"],
}


@pytest.fixture
def ranking() -> pd.DataFrame:
    """300 genes, one set's importance shifted up and one's down."""
    genes = SETS["raised"] + SETS["lowered"] + [f"GENE{i}" for i in range(260)]
    values = np.random.default_rng(614).normal(size=300)
    values[:20] += 2.0
    values[20:40] -= 2.0
    return pd.DataFrame({"gene": genes, "signed_importance": values})


def test_raised_and_lowered_sets_are_found_with_their_sign(ranking: pd.DataFrame) -> None:
    table = enrich_ranking(ranking, SETS, permutations=200).set_index("gene_set")
    assert table["normalized_enrichment_score"]["raised"] > 1.5
    assert table["normalized_enrichment_score"]["lowered"] < -1.5
    assert (table["q_value"] < 0.05).all()
    assert set(table["leading_edge"]["raised"].split(";")) <= set(SETS["raised"])


def test_no_p_value_is_smaller_than_the_permutations_can_tell(ranking: pd.DataFrame) -> None:
    assert enrich_ranking(ranking, SETS, permutations=200)["p_value"].min() >= 1 / 201


def test_the_same_seed_gives_the_same_table(ranking: pd.DataFrame) -> None:
    once, again = (enrich_ranking(ranking, SETS, permutations=100) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


def test_sets_that_share_no_genes_with_the_ranking_are_an_error_in_words(ranking: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="same kind of gene names"):
        enrich_ranking(ranking, {"mouse": [f"Up{i}" for i in range(20)]})


def test_the_bundled_programmes_are_activation_and_resting() -> None:
    sets = bundled_gene_sets()
    assert {"IL2RA", "CD69", "IFNG"} <= set(sets["activation"])
    assert {"IL7R", "CCR7", "SELL"} <= set(sets["resting"])
    assert not set(sets["activation"]) & set(sets["resting"])


def test_a_gmt_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("ONE\thttp://x\tA\tB\tA\n\nTWO\t\tC\t\n", encoding="utf-8")
    assert read_gene_sets(path) == {"ONE": ["A", "B"], "TWO": ["C"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ONE\tx\tA\nTWO,x,B\n", "line 2: 'TWO,x,B' has no genes"),
        ("ONE\tx\tA\nONE\tx\tB\n", "line 2: gene set 'ONE' stands there twice"),
        ("\n", "no gene set found"),
    ],
)
def test_a_broken_gmt_file_is_an_error_that_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_gene_sets(path)
