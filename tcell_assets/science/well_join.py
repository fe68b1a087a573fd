"""The one checked join: tables of wells are matched on `well_id`, never by their order."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd


def some_names(names: Collection[str], limit: int = 5) -> str:
    """Names for an error message: the first `limit` in sorted order and how many there are beyond."""
    ordered = sorted(str(name) for name in names)
    shown = ", ".join(ordered[:limit])
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def rows_for_wells(table: pd.DataFrame, well_ids: Collection[str], table_name: str) -> pd.DataFrame:
    """Rows of a table in the order of the wells asked for.

    Args:
        table: One row a well, `well_id` a plain column.
        well_ids: Wells wanted, each one once.
        table_name: What an error calls the table.

    Returns:
        The rows, indexed by `well_id`, in the order of `well_ids`.

    Raises:
        ValueError: A well occurs twice in the table, or a wanted well is missing from it.
    """
    identifiers = table["well_id"]
    if not identifiers.is_unique:
        repeated = set(identifiers[identifiers.duplicated()])
        raise ValueError(
            f"{table_name}: well_id must be unique, found more than once: {some_names(repeated)}. "
            "Remove the repeated rows."
        )
    missing = set(well_ids) - set(identifiers)
    if missing:
        raise ValueError(
            f"{table_name}: {len(missing)} well(s) have no row: {some_names(missing)}. "
            "Materialize the table for the batches these wells belong to."
        )
    return table.set_index("well_id").loc[list(well_ids)]


def usable_wells(usable: pd.Series | None, well_ids: Collection[str]) -> pd.Series:
    """Which wells may enter a centre or a score.

    Args:
        usable: Booleans indexed by `well_id` (the verdict of quality control), or None where every well may.
        well_ids: Wells the verdict is needed for.

    Returns:
        Booleans indexed by `well_id`, in the order of `well_ids`.

    Raises:
        ValueError: A well has no verdict.
    """
    wanted = list(well_ids)
    if usable is None:
        return pd.Series(True, index=pd.Index(wanted, name="well_id"), dtype=bool)
    missing = set(wanted) - set(usable.index)
    if missing:
        raise ValueError(
            f"usable: {len(missing)} well(s) have no verdict: {some_names(missing)}. "
            "Pass one boolean a well, indexed by well_id."
        )
    return usable.loc[wanted].astype(bool)
