"""The compounds of a screen: where each stands, and what identifies it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pandas as pd


def described_compounds(
    wells: pd.DataFrame, identifiers: Mapping[str, pd.DataFrame], kinds: Sequence[str]
) -> pd.DataFrame:
    """Sum up wells a compound and join what the batches say identifies it.

    Args:
        wells: `batch, compound, condition` of every treated well.
        identifiers: By batch: `compound` and a column a kind, text or None.
        kinds: Names of the identifiers, such as `pubchem_cid`.

    Returns:
        `compound, n_conditions, n_wells, n_batches`, the kinds and `contradictory`, sorted by compound. An identifier
        of which two batches say different things is None, and `contradictory` says which and what.
    """
    grouped = wells.groupby("compound", sort=True)
    table = pd.DataFrame(
        {
            "n_conditions": grouped["condition"].nunique().astype("int32"),
            "n_wells": grouped.size().astype("int32"),
            "n_batches": grouped["batch"].nunique().astype("int32"),
        }
    )
    said = pd.concat(
        [frame.assign(batch=batch) for batch, frame in identifiers.items()]
        or [pd.DataFrame(columns=["compound", "batch", *kinds])],
        ignore_index=True,
    )
    doubts: dict[Hashable, list[str]] = {}
    for kind in kinds:
        known = said[said[kind].notna()]
        values = {compound: tuple(dict.fromkeys(own)) for compound, own in known.groupby("compound")[kind]}
        for compound in (compound for compound, different in values.items() if len(different) > 1):
            own = known[known["compound"] == compound]
            words = ", ".join(
                f"{value} ({batch})" for batch, value in zip(own["batch"], own[kind], strict=True)
            )
            doubts.setdefault(compound, []).append(f"{kind}: {words}")
        table[kind] = [
            values[compound][0] if len(values.get(compound, ())) == 1 else None for compound in table.index
        ]
    table["contradictory"] = [
        "; ".join(doubts[compound]) if compound in doubts else None for compound in table.index
    ]
    return table.rename_axis("compound").reset_index()
