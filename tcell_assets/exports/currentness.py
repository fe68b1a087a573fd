"""May these tables leave the lake together: only those of one model and of current inputs, or the file says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tcell_assets.lake.judge import Behind, Judge, Place
from tcell_assets.lake.store import Lake

# Screen tables that an export takes up beside those of the wells.
SCREEN_TABLES = ("hit_calls", "gene_importance_ranking")
MOST_LINES = 12


class BehindError(ValueError):
    """What was to be exported is not current; the message names it, the commands that mend it and `--as-is`."""


@dataclass(frozen=True)
class Doubt:
    """Something of an export that is not known to be current, with the command that mends it.

    A table of an older version that does not say what it was made from is told and exported all the same.
    """

    text: str
    refuses: bool = True


def doubts_of(judge: Judge, tables: Sequence[str], batches: Sequence[str]) -> list[Doubt]:
    """Return what of an export is not current, and which batches it leaves out.

    Args:
        judge: Judges by the exported model.
        tables: Tables of the wells.
        batches: Batches that are exported.
    """
    places: list[Place] = [(asset, batch) for batch in batches for asset in tables]
    places += [(asset, None) for asset in SCREEN_TABLES if judge.lake.exists(asset)]
    doubts = [Doubt(found.sentence, not _is_of_before(judge, found)) for found in judge.behind(places)]
    left_out = sorted(set(judge.lake.batches("well_metadata")) - set(batches))
    return doubts + [
        Doubt(f"{batch}: not scored by {judge.model}, left out; tcell backfill --batches {batch}")
        for batch in left_out
    ]


def _is_of_before(judge: Judge, found: Behind) -> bool:
    """Whether nothing is known against a table but that an older version wrote it."""
    lineage = judge.lineage(found.asset, found.batch)
    return lineage is not None and lineage.inputs is None and found.reason.kind in ("unsaid", "code")


def require_current(doubts: Sequence[Doubt]) -> None:
    """Refuse an export of what is not current.

    Raises:
        BehindError: Something is behind.
    """
    lines = [doubt.text for doubt in doubts if doubt.refuses]
    if not lines:
        return
    more = len(lines) - MOST_LINES
    listed = [*lines[:MOST_LINES], *([f"and {more} more (`tcell status`)"] if more > 0 else [])]
    raise BehindError(
        "not everything to export is current:\n  "
        + "\n  ".join(listed)
        + "\n--as-is writes it all the same, and the file says so"
    )


def is_of_model(lake: Lake, asset: str, version: str | None) -> bool:
    """Return whether a screen table is there and no other model's."""
    return lake.exists(asset) and lake.lineage(asset).model_version in (None, version)
