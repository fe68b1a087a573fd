"""What the platform should do next: which batches need what, and whether to train. Decisions only, no Dagster.

Sensors, schedules and `tcell backfill` ask here, so that all of them mean the same by "new", "changed" and "stale".
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tcell_assets.installation.configuration import OperationSettings
from tcell_assets.lake.archive import forgotten_batches
from tcell_assets.lake.judge import Behind, Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.stages import INGEST, SCORE
from tcell_assets.lake.staleness import (
    LANDED_TABLES,
    ingested_from,
    model_trained_on,
    trained_on,
    training_difference,
    training_set,
)
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES, tables_made_by
from tcell_assets.landing.arrivals import FolderScan, content_key, scan_folder
from tcell_assets.landing.fingerprint import BatchFolders, list_batches

# A sensor's tick must answer within 60 s; what is left over is looked at in the next one.
SECONDS_TO_HASH = 20.0
# Every landed file is hashed within a month, a share of the batches a night.
DAYS_TO_LOOK = 30
SECONDS_OF_A_DAY = 86_400


class Known(NamedTuple):
    """What the sensor remembers of a batch: its folder's stamp and content, and how often it asked for it."""

    stamp: str
    content: str
    requests: int


@dataclass(frozen=True)
class Arrival:
    """A batch to ingest: its content and how often it was asked for, this time included."""

    batch: str
    content: str
    request: int

    @property
    def run_key(self) -> str:
        """A key no other request has: Dagster never starts a second run of one key, failed runs included."""
        return f"{self.batch}:{self.content}" + (f":{self.request}" if self.request > 1 else "")


@dataclass(frozen=True)
class Arrivals:
    """What one look at the landing zone found.

    Attributes:
        arrivals: New and changed batches to ingest now.
        known: What to remember for the next look.
        waiting: Batches that are not complete yet, with the reason.
        left_over: Batches that may be new and are looked at next time.
        unchanged: How many batches hold nothing new.
        refused: Folders that are no batch, with the reason.
    """

    arrivals: tuple[Arrival, ...]
    known: Mapping[str, Known]
    waiting: Mapping[str, str]
    left_over: tuple[str, ...]
    unchanged: int
    refused: Mapping[str, str]

    def summary(self) -> str:
        """Say in a line why nothing, or nothing more, is asked for."""
        parts = [f"{self.unchanged} batches hold nothing new"]
        parts += [f"{batch} waits: {reason}" for batch, reason in self.waiting.items()]
        parts += [f"next time: {', '.join(self.left_over)}"] if self.left_over else []
        parts += [f"folder {name} {reason}" for name, reason in self.refused.items()]
        return "; ".join(parts)


def landed_batches(data: Path, lake: Lake) -> BatchFolders:
    """Return the batch folders of the landing zone without those of forgotten batches, which are named as refused."""
    folders = list_batches(data)
    forgotten = forgotten_batches(lake)
    kept = tuple(batch for batch in folders.batches if batch not in forgotten)
    left = {batch: "was forgotten" for batch in folders.batches if batch in forgotten}
    return replace(folders, batches=kept, refused={**folders.refused, **left})


def vanished_batches(data: Path, lake: Lake) -> list[str]:
    """Return the batches of the lake whose landing folder is gone: nothing can make their tables anew."""
    landed = set(list_batches(data).batches)
    return [batch for batch in lake.batches("well_metadata") if batch not in landed]


def find_arrivals(
    data: Path,
    lake: Lake,
    known: Mapping[str, Known],
    settings: OperationSettings,
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> Arrivals:
    """Find the batches whose content is not in the lake and was not asked for before.

    Args:
        data: Landing zone.
        lake: Knows from which content a batch was ingested, by whomever.
        known: What the last look left in `Arrivals.known`.
        settings: Settle time and the largest number of arrivals at once.
        now: Unix time.
        clock: Measures how long hashing has taken.
    """
    folders = landed_batches(data, lake)
    remembered = dict(known)
    arrivals: list[Arrival] = []
    waiting: dict[str, str] = {}
    left_over: list[str] = []
    started = clock()
    for batch in folders.batches:
        scan = scan_folder(data / batch)
        reason = scan.waits_for(now, settings.settle_seconds)
        if reason is not None:
            waiting[batch] = reason
            continue
        before = remembered.get(batch)
        if before is not None and before.stamp == scan.stamp:
            continue
        if len(arrivals) >= settings.requests_per_tick or clock() - started > SECONDS_TO_HASH:
            left_over.append(batch)
            continue
        after = _look_closer(data / batch, lake, scan, before)
        remembered[batch] = after
        if after.requests > (before.requests if before else 0):
            arrivals.append(Arrival(batch, after.content, after.requests))
    touched = len(arrivals) + len(waiting) + len(left_over)
    return Arrivals(
        tuple(arrivals),
        remembered,
        waiting,
        tuple(left_over),
        len(folders.batches) - touched,
        folders.refused,
    )


def _look_closer(folder: Path, lake: Lake, scan: FolderScan, before: Known | None) -> Known:
    """Return what to remember of a folder with an unknown stamp; one request more where its content is new."""
    requests = before.requests if before else 0
    ingested = ingested_from(lake, folder.name)
    if ingested is not None and ingested.stamp == scan.stamp:
        return Known(scan.stamp, ingested.content_hash, requests)
    content = content_key(folder, scan.stamp)
    if before is not None and before.content == content:
        return before._replace(stamp=scan.stamp)
    if ingested is not None and ingested.content_hash == content:
        return Known(scan.stamp, content, requests)
    return Known(scan.stamp, content, requests + 1)


@dataclass(frozen=True)
class Work:
    """What a batch needs.

    Attributes:
        batch: The batch.
        content: Content of its landing folder, or None where there is none to compare with.
        stale: Tables out of date, each with the reason.
    """

    batch: str
    content: str | None
    stale: Mapping[str, str]

    @property
    def needs_ingest(self) -> bool:
        """Whether the batch must be read again; it is then scored again too."""
        return any(TABLES[table].made_by == INGEST for table in self.stale)

    @property
    def reason(self) -> str:
        """Why, each reason once."""
        return ", ".join(dict.fromkeys(self.stale.values()))


@dataclass(frozen=True)
class Survey:
    """What the whole screen needs.

    Attributes:
        work: What batches need, one entry a batch that needs something.
        waiting: Batches whose copies have not ended, with the reason.
        n_batches: Batches looked at.
        screen: Screen tables that a run of the screen job would mend.
        asked_for: Tables that are behind and that are made only when somebody asks for them.
    """

    work: tuple[Work, ...]
    waiting: Mapping[str, str]
    n_batches: int
    screen: tuple[Behind, ...] = ()
    asked_for: tuple[Behind, ...] = ()


def survey(data: Path, lake: Lake, models: ModelRegistry, settings: OperationSettings, now: float) -> Survey:
    """Return what every batch of the landing zone and of the lake needs to be current.

    A batch whose copy has not ended, or whose folder is gone, is not read, but scored as it stands in the lake where
    its model or its scores' code is old.
    """
    landed, waiting = landing_zone(data, lake, settings.settle_seconds, now, looks_monthly=True)
    batches = sorted({*landed, *lake.batches("expression_matrix")})
    judge = Judge(lake, models, {**dict.fromkeys(batches), **landed})
    needs = [what_batch_needs(judge, batch) for batch in batches]
    return Survey(
        tuple(work for work in needs if work.stale),
        waiting,
        len(batches),
        tuple(judge.screen_needs()),
        tuple(judge.behind(judge.made_when_asked_for())),
    )


def landing_zone(
    data: Path, lake: Lake, settle_seconds: float, now: float, looks_monthly: bool = False
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the content of every landing folder, None where a copy goes on, and why those wait.

    Args:
        data: Landing zone.
        lake: Knows what was ingested.
        settle_seconds: How long a folder must have been quiet.
        now: Unix time.
        looks_monthly: Also hash the folders that are due today (see `is_due`), as nights do.
    """
    contents: dict[str, str | None] = {}
    waiting: dict[str, str] = {}
    for batch in landed_batches(data, lake).batches:
        scan = scan_folder(data / batch)
        reason = scan.waits_for(now, settle_seconds)
        contents[batch] = (
            None
            if reason
            else landed_content(data / batch, lake, scan, hashes_anyway=looks_monthly and is_due(batch, now))
        )
        if reason is not None:
            waiting[batch] = reason
    return contents, waiting


def what_batch_needs(judge: Judge, batch: str, assets: Collection[str] | None = None) -> Work:
    """Return what one batch needs, by default of all its routine tables; without a model nothing can be scored."""
    content = (judge.landed or {}).get(batch)
    stages = (INGEST, SCORE) if judge.model else (INGEST,)
    wanted = [asset for asset in tables_made_by(*stages) if assets is None or asset in assets]
    behind = judge.behind([(asset, batch) for asset in wanted])
    if content is None:
        # Nothing can be read anew, so only what the network makes of the batch as it stands.
        own = [found for found in behind if found.reason.kind not in ("upstream", "batch")]
        is_whole = all(judge.lineage(asset, batch) for asset in LANDED_TABLES)
        behind = [found for found in own if is_whole and TABLES[found.asset].made_by == SCORE]
    return Work(batch, content, {found.asset: found.reason.text for found in behind})


def is_due(batch: str, now: float) -> bool:
    """Return whether this day is the one in `DAYS_TO_LOOK` on which a batch's files are hashed though nothing changed.

    The name spreads the batches over the days, so that a night hashes its share and nothing has to be remembered.
    """
    return (zlib.crc32(batch.encode()) + int(now // SECONDS_OF_A_DAY)) % DAYS_TO_LOOK == 0


def landed_content(folder: Path, lake: Lake, scan: FolderScan, hashes_anyway: bool = False) -> str:
    """Return the content of a landing folder; its files are read where the lake does not know the stamp.

    Args:
        folder: The landing folder.
        lake: Knows from which content and stamp the batch was ingested.
        scan: The folder now.
        hashes_anyway: Read the files whatever the stamp says: a disk may give back other bytes than were written.
    """
    ingested = ingested_from(lake, folder.name)
    if ingested is not None and ingested.stamp == scan.stamp and not hashes_anyway:
        return ingested.content_hash
    return content_key(folder, scan.stamp)


@dataclass(frozen=True)
class TrainingDecision:
    """Whether to train, and why or why not."""

    train: bool
    reason: str


def decide_training(lake: Lake, models: ModelRegistry) -> TrainingDecision:
    """Train when the training set is not the current model's and no other version was trained on it already.

    The second condition keeps a candidate that failed its checks, or was rolled back from, from being trained again
    every week: the same data and settings give the same model.
    """
    batches = training_set(lake)
    if not batches:
        return TrainingDecision(False, "no ingested batch has targets")
    current = models.current()
    difference = (
        training_difference(trained_on(models, current), batches) if current else "no model is current"
    )
    if not difference:
        return TrainingDecision(False, f"{current} was trained on exactly these {len(batches)} batches")
    other = model_trained_on(models, batches)
    if other is not None:
        return TrainingDecision(
            False, f"{other} was trained on these batches already and is not current (`tcell models list`)"
        )
    return TrainingDecision(True, difference)
