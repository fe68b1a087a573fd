"""The state of every batch and of the screen in words: model, what is behind, what failed or waits and why, next step.

`tcell status` and the head of the report say the same: both ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tcell_assets.installation.operations import landing_zone
from tcell_assets.lake.copies import screen_sentences
from tcell_assets.lake.judge import NOT_THERE, SCORED_BATCHES, Behind, Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.stages import INGEST, SCORE
from tcell_assets.lake.staleness import LANDED_TABLES
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import tables_made_by

CURRENT = "current"


@dataclass(frozen=True)
class BatchStatus:
    """The state of one batch.

    Attributes:
        batch: The batch.
        state: current, behind, failed, waits, landed (not read yet), ingested (no model to score with), or gone (its
            landing folder).
        model: The model that scored it, empty before.
        why: What is behind, failed or waits, and why; empty where nothing is.
        next_step: The command or act that mends it; empty where nothing is to be done.
    """

    batch: str
    state: str
    model: str
    why: str
    next_step: str


@dataclass(frozen=True)
class Status:
    """The state of an installation.

    Attributes:
        model: The current model.
        batches: Every batch of the landing zone and of the lake.
        screen: Tables over the screen that are behind.
        asked_for: Tables that are behind and that are made only when somebody asks for them.
        copies: Data that two batches hold, in words.
    """

    model: str | None
    batches: tuple[BatchStatus, ...]
    screen: tuple[Behind, ...]
    asked_for: tuple[Behind, ...]
    copies: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether nothing is behind, failed or waiting."""
        return not self.screen and all(batch.state in (CURRENT, "ingested") for batch in self.batches)

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "model": self.model,
            "batches": [asdict(batch) for batch in self.batches],
            "screen": [_as_json(table) for table in self.screen],
            "asked_for": [_as_json(table) for table in self.asked_for],
            "copies": list(self.copies),
        }


def _as_json(table: Behind) -> dict[str, str | None]:
    return {
        "table": table.asset,
        "batch": table.batch,
        "why": table.reason.text,
        "next_step": table.command,
    }


def look(
    data: Path,
    lake: Lake,
    models: ModelRegistry,
    settle_seconds: float,
    now: float,
    failures: Mapping[str, str] | None = None,
) -> tuple[Status, Judge]:
    """Return the state of an installation, and the judge that was asked.

    Args:
        data: Landing zone.
        lake: The tables.
        models: The models.
        settle_seconds: How long a folder must lie still before it counts as copied.
        now: Unix time.
        failures: Batches whose last run failed, with what it said.
    """
    landed, waiting = landing_zone(data, lake, settle_seconds, now)
    judge = Judge(lake, models, landed)
    batches = sorted({*landed, *lake.batches("well_metadata"), *lake.batches("expression_matrix")})
    states = tuple(
        _state_of(judge, batch, waiting.get(batch), (failures or {}).get(batch)) for batch in batches
    )
    screen = [found for found in judge.behind(judge.screen_places()) if found.reason.kind != "batch"]
    asked_for = judge.behind(judge.made_when_asked_for())
    return Status(judge.model, states, tuple(screen), tuple(asked_for), tuple(screen_sentences(lake))), judge


def _state_of(judge: Judge, batch: str, waits: str | None, failure: str | None) -> BatchStatus:
    lineage = judge.lineage(SCORED_BATCHES, batch)
    model = str(lineage.model_version) if lineage is not None else ""
    stages = (INGEST, SCORE) if judge.model else (INGEST,)
    behind = judge.behind([(asset, batch) for asset in tables_made_by(*stages)])
    is_read = all(judge.lineage(asset, batch) for asset in LANDED_TABLES)

    def status(state: str, why: str, next_step: str) -> BatchStatus:
        return BatchStatus(batch, state, model, why, next_step)

    if judge.landed is not None and batch not in judge.landed:
        return status(
            "gone",
            "its landing folder is gone, its tables stay in the screen",
            f"put the folder back, or run `tcell forget {batch}`",
        )
    if waits is not None:
        return status("waits", waits, "none: it is read when the copy has ended")
    if not behind:
        return status(CURRENT if judge.model else "ingested", "", "")
    if failure is not None:
        return status("failed", failure, f"mend what it says, then `tcell backfill --batches {batch}`")
    if not is_read:
        return status("landed", "not read yet", f"tcell backfill --batches {batch}")
    return status("behind", in_words(behind), f"tcell backfill --batches {batch}")


def in_words(behind: list[Behind], most: int = 3) -> str:
    """Return what is behind and why, each reason once with the tables it holds for."""
    tables_of: dict[str, list[str]] = {}
    for found in behind:
        # A table that is as good as its inputs says nothing that these do not say themselves.
        if found.reason.kind != "upstream":
            tables_of.setdefault(found.reason.text, []).append(found.asset)
    parts = [
        f"{tables[0]}{f' and {len(tables) - 1} more tables' if len(tables) > 1 else ''} "
        f"{reason if reason != NOT_THERE else 'not made yet'}"
        for reason, tables in tables_of.items()
    ]
    shown = parts[:most] or [behind[0].reason.text]
    return "; ".join(shown) + (f"; and {len(parts) - most} more reasons" if len(parts) > most else "")
