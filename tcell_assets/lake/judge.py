"""The one judge of whether a table is current: by the lake's, the pointer's and the package's state, no clock.

A table is current when its footer's inputs are the lake's, its model is the pointer's, its code is the package's, and
its batch still exists with the content it was read from. Nights, sensors, backfills, the screen job, the report, the
exports, queries and the doctor ask here and nowhere else, so that all of them mean the same by "behind".

Tables written before footers named their inputs are judged by what they do say: the content of the landing folder, the
batch they were computed from, the model and the code. A screen table of that time says nothing of its batches; it
counts as behind until it is made again (`tcell backfill` does), and exports only say so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tcell_assets.lake.copies import changed_copies
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.reads import ABSENT, split_input_name
from tcell_assets.lake.stages import ATTRIBUTE, EXPLAIN, SCORE, SCREEN, TRAIN
from tcell_assets.lake.staleness import BATCH_HASH, PLATE_FILES_HASH, of_another_fit
from tcell_assets.lake.store import Lake, Lineage, MissingTableError
from tcell_assets.lake.tables import TABLES, tables_made_by
from tcell_assets.system.files import StorageError

NOT_THERE = "not there yet"
UNSAID = "does not say what it was made from (written by an older version)"
# `upstream`: the table is as good as its inputs, and one of those is behind; making it again alone mends nothing.
Kind = Literal["missing", "damaged", "code", "batch", "model", "inputs", "unsaid", "upstream"]
# A table, and its batch where it has one a batch.
Place: TypeAlias = "tuple[str, str | None]"
# Tables whose wells a screen table sums up.
SCORED_BATCHES = "latent_embeddings"
INGESTED_BATCHES = "well_metadata"
# The table in which wells fail that another batch holds too.
COPIES_TABLE = "well_qc"


@dataclass(frozen=True)
class Reason:
    """Why a table is not current, as a kind to decide by and in words."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Behind:
    """A table that is not current: why, and the command that mends it."""

    asset: str
    batch: str | None
    reason: Reason

    @property
    def command(self) -> str:
        """The command that makes the table anew."""
        return TABLES[self.asset].command(self.batch)

    @property
    def sentence(self) -> str:
        """The finding in one line."""
        of_batch = f" of {self.batch}" if self.batch else ""
        return f"{self.asset}{of_batch}: {self.reason.text}; {self.command}"


class Judge:
    """One look at an installation; what it has read it remembers, so ask a new one later.

    Args:
        lake: The tables.
        models: Says which model is current.
        landed: Content hash of every batch folder that is there, None where it is not known (a copy goes on). Without
            it landing folders are not compared.
        model: The model to judge by instead of the current one.
    """

    def __init__(
        self,
        lake: Lake,
        models: ModelRegistry,
        landed: Mapping[str, str | None] | None = None,
        model: str | None = None,
    ) -> None:
        self.lake, self.landed = lake, landed
        self.model = model or models.current()
        self._lineages: dict[Place, Lineage | StorageError | None] = {}
        self._reasons: dict[Place, Reason | None] = {}
        self._batches: dict[str, list[str]] = {}
        self._hashes: dict[str, str] = {}
        self._copies: dict[str, str] | None = None
        self._fit = self._fit_of(models)

    def reason(self, asset: str, batch: str | None = None) -> Reason | None:
        """Return why a table is not current, or None where it is."""
        place = (asset, batch)
        if place not in self._reasons:
            # A table that is being judged counts as current for those it was made from: no circle holds.
            self._reasons[place] = None
            self._reasons[place] = self._judge(asset, batch)
        return self._reasons[place]

    def behind(self, places: Collection[Place]) -> list[Behind]:
        """Return which of these tables are not current, in their order."""
        judged = ((asset, batch, self.reason(asset, batch)) for asset, batch in places)
        return [Behind(asset, batch, reason) for asset, batch, reason in judged if reason is not None]

    def lineage(self, asset: str, batch: str | None = None) -> Lineage | None:
        """Return the footer of a table, None where it is not there or cannot be read."""
        found = self._look(asset, batch)
        return found if isinstance(found, Lineage) else None

    def batches(self, asset: str) -> list[str]:
        """Return the batches of a table, for downstream of the model those of the judged model alone."""
        if asset not in self._batches:
            there = self.lake.batches(asset)
            if TABLES[asset].made_by in (SCORE, ATTRIBUTE):
                there = [batch for batch in there if self._is_of_model(asset, batch)]
            self._batches[asset] = there
        return self._batches[asset]

    def screen_places(self) -> list[Place]:
        """Return the screen tables that are there or can be made now, in the order of the flow."""
        possible = self._possible_screen_tables()
        return [
            (asset, None) for asset in tables_made_by(SCREEN) if asset in possible or self.lake.exists(asset)
        ]

    def _possible_screen_tables(self) -> set[str]:
        """All once the model has scored a batch; before there is any model those that need none."""
        if self.batches(SCORED_BATCHES):
            return set(tables_made_by(SCREEN))
        if (
            self.model is None
            and self.lake.batches(INGESTED_BATCHES)
            and not self.lake.batches(SCORED_BATCHES)
        ):
            return {asset for asset in tables_made_by(SCREEN) if not TABLES[asset].needs_model}
        return set()

    def screen_needs(self) -> list[Behind]:
        """Return the screen tables that a run of the screen job would mend."""
        possible = [
            (asset, None) for asset in tables_made_by(SCREEN) if asset in self._possible_screen_tables()
        ]
        return [found for found in self.behind(possible) if found.reason.kind not in ("upstream", "batch")]

    def made_when_asked_for(self) -> list[Place]:
        """Return the tables that are there and that no night makes again."""
        return [
            (asset, batch)
            for asset, table in TABLES.items()
            if not table.made_by.is_routine
            for batch in (self.lake.batches(asset) if table.partitioned else [None])
            if batch is not None or self.lake.exists(asset)
        ]

    def state(self) -> str:
        """Return a hash of everything that was looked at, the same for the same state of the lake and its tables."""
        known = [
            [asset, batch, found.data_version if isinstance(found, Lineage) else str(found)]
            for (asset, batch), found in self._lineages.items()
        ]
        return hashlib.sha256(json.dumps([self.model, sorted(known, key=str)]).encode()).hexdigest()

    def _fit_of(self, models: ModelRegistry) -> str | None:
        try:
            return models.fit_hash(self.model) if self.model is not None else None
        except StorageError:
            # Whoever opens the model is told.
            return None

    def _is_of_model(self, asset: str, batch: str) -> bool:
        lineage = self.lineage(asset, batch)
        return lineage is not None and lineage.model_version == self.model

    def _look(self, asset: str, batch: str | None) -> Lineage | StorageError | None:
        place = (asset, batch)
        if place not in self._lineages:
            try:
                self._lineages[place] = self.lake.lineage(asset, batch)
            except MissingTableError:
                self._lineages[place] = None
            except StorageError as error:
                self._lineages[place] = error
        return self._lineages[place]

    def _judge(self, asset: str, batch: str | None) -> Reason | None:
        found = self._look(asset, batch)
        if found is None:
            return Reason("missing", NOT_THERE)
        if isinstance(found, StorageError):
            return Reason("damaged", str(found))
        for reason in self._doubts(found, asset, batch):
            return reason
        return None

    def _doubts(self, lineage: Lineage, asset: str, batch: str | None) -> Iterator[Reason]:
        table = TABLES[asset]
        if lineage.code_version != table.code_version:
            yield Reason("code", "made by older code")
        if batch is not None:
            yield from self._doubts_of_batch(lineage, batch)
        if asset == COPIES_TABLE and batch in self._changed_copies():
            yield Reason("inputs", self._changed_copies()[str(batch)])
        if asset == "expression_matrix" and of_another_fit(lineage, self._fit):
            yield Reason("inputs", f"its counts are stabilised by another fit than that of {self.model}")
        if lineage.model_version is not None and self.model not in (None, lineage.model_version):
            yield Reason("model", f"made with {lineage.model_version}, current is {self.model}")
        # A model is what it was trained on; whether to train anew is another question (`decide_training`).
        if table.made_by == TRAIN:
            return
        if lineage.inputs is not None:
            yield from self._doubts_of_inputs(lineage)
        elif table.made_by in (SCREEN, EXPLAIN):
            yield Reason("unsaid", UNSAID)
        elif batch is not None and lineage.details.get(
            BATCH_HASH, self._batch_hash(batch)
        ) != self._batch_hash(batch):
            yield Reason("inputs", "the batch was ingested anew")

    def _doubts_of_batch(self, lineage: Lineage, batch: str) -> Iterator[Reason]:
        if self.landed is None:
            return
        if batch not in self.landed:
            yield Reason("batch", f"the landing folder of {batch} is gone")
            return
        content = self.landed[batch]
        if content is not None and lineage.details.get(PLATE_FILES_HASH, content) != content:
            yield Reason("batch", "plate files have changed")

    def _changed_copies(self) -> dict[str, str]:
        """Batches whose copies of other batches' wells are others now than when they were judged."""
        if self._copies is None:
            self._copies = changed_copies(self.lake)
        return self._copies

    def _doubts_of_inputs(self, lineage: Lineage) -> Iterator[Reason]:
        for asset, summed in (lineage.batches or {}).items():
            now = set(self.batches(asset) if lineage.model_version else self.lake.batches(asset))
            for words, others in (("without", now - set(summed)), ("with", set(summed) - now)):
                if others:
                    gone = ", not in the screen now" if words == "with" else ""
                    yield Reason("inputs", f"made {words} {', '.join(sorted(others))}{gone}")
        for name, version in (lineage.inputs or {}).items():
            asset, batch = split_input_name(name)
            if asset not in TABLES:
                continue
            of_batch = f" of {batch}" if batch else ""
            found = self.lineage(asset, batch)
            if (found.data_version if found else ABSENT) != version:
                what = "is gone" if found is None else "is new" if version == ABSENT else "has changed"
                yield Reason("inputs", f"{asset}{of_batch} {what}")
            elif found is not None and TABLES[asset].made_by.is_routine:
                deeper = self.reason(asset, batch)
                if deeper is not None:
                    yield Reason("upstream", f"{asset}{of_batch} is behind: {deeper.text}")

    def _batch_hash(self, batch: str) -> str:
        if batch not in self._hashes:
            try:
                self._hashes[batch] = self.lake.batch_hash(batch)
            except (MissingTableError, StorageError):
                self._hashes[batch] = ""
        return self._hashes[batch]
