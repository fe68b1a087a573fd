"""The compounds of a screen: wells summed up, identifiers joined, and what batches disagree about left out in words."""

from __future__ import annotations

import pandas as pd

from tcell_assets.science.screen.compounds import described_compounds

WELLS = pd.DataFrame(
    {
        "batch": ["b1", "b1", "b1", "b2"],
        "compound": ["Inosine", "Inosine", "Uridine", "Inosine"],
        "condition": ["Inosine 1 uM", "Inosine 10 uM", "Uridine", "Inosine 1 uM"],
    }
)
KINDS = ("pubchem_cid", "mechanism")


def _identifiers(*rows: tuple[str, str | None, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["compound", *KINDS], dtype=object)


def test_a_compound_is_one_row_over_its_conditions_and_batches() -> None:
    table = described_compounds(WELLS, {"b1": _identifiers(("Inosine", "6021", None))}, KINDS)
    assert table["compound"].tolist() == ["Inosine", "Uridine"]
    assert table[["n_conditions", "n_wells", "n_batches"]].to_numpy().tolist() == [[2, 3, 2], [1, 1, 1]]
    assert table["pubchem_cid"].tolist() == ["6021", None]
    assert table["contradictory"].tolist() == [None, None]


def test_what_only_one_batch_says_is_taken_and_what_two_say_differently_is_left_out_in_words() -> None:
    said = {
        "b1": _identifiers(("Inosine", "6021", "purine")),
        "b2": _identifiers(("Inosine", "6022", None), ("Another", "1", "x")),
    }
    first = described_compounds(WELLS, said, KINDS).iloc[0]
    assert first["pubchem_cid"] is None
    assert first["mechanism"] == "purine"
    assert first["contradictory"] == "pubchem_cid: 6021 (b1), 6022 (b2)"


def test_without_any_identifier_every_compound_is_still_there() -> None:
    table = described_compounds(WELLS, {}, KINDS)
    assert table["compound"].tolist() == ["Inosine", "Uridine"]
    assert table[list(KINDS)].isna().all(axis=None)
