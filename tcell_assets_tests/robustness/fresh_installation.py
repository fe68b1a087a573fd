"""What a fresh installation makes of the same landing files with the same model: what a longer life is held against."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import dagster as dg
import numpy as np
import pandas as pd

from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.definitions import build_defs
from tcell_assets.defs.resources import TransformerCompute
from tcell_assets.exports.annotated_data import ExportError, annotated_screen
from tcell_assets.exports.report import screen_report
from tcell_assets.installation.status import Status, look
from tcell_assets.lake.judge import Judge, Place
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.stages import SCORE, SCREEN
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES, tables_made_by
from tcell_assets.landing.files import LandingFile
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.operations.small_installation import CORE_INGEST, make_configuration

BATCHES = ("tc1", "tc2", "tc3")
GENES = 32
WELLS = 24
# Edits of a batch's files that keep every size: as landed, other counts, another activation score.
EDITS = (0, 1, 2)
EDITED_WELLS = 5
SCORE_TABLES = list(tables_made_by(SCORE))
SCREEN_TABLES = list(tables_made_by(SCREEN))
# Numbers play no part here: the fewest draws make every table as well as the many.
CHEAP: dict[str, dict[str, Any]] = {
    "position_audit": {"trees": 1, "permutations": 1, "folds": 2},
    "check_quality": {"permutations": 1},
    "screen_position_audit": {"trees": 1, "permutations": 1, "folds": 2},
    "hit_calls": {"draws": 200},
    "phenotype_correlation": {"draws": 20},
}


@dataclass(frozen=True)
class Content:
    """What a landing folder holds: the wells of one simulated batch, and which edit of them."""

    source: str
    edit: int = 0


@dataclass(frozen=True)
class Ingested:
    """What a batch was read from, and whether the model has scored it."""

    content: Content
    is_scored: bool


@dataclass
class Reference:
    """What a fresh installation has made: the data version of each table, the report's figures, the exported file."""

    tables: dict[Place, str]
    folder: Path
    report: dict[str, Any] = field(default_factory=dict)
    exported: dict[str, Any] = field(default_factory=dict)


@cache
def _simulated() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Wells and counts of each batch: some DMSO wells, and the same metabolites in all of them."""
    screen = simulate_screen(SimulationSettings(n_genes=GENES, n_batches=3, n_plates=1, dmso_wells=18))
    counts = pd.DataFrame(
        screen.counts.toarray().astype(int), index=screen.vst.index, columns=screen.vst.columns
    )
    treated = sorted(screen.wells.loc[~screen.wells["is_dmso"], "metabolite"].unique())[: WELLS - 6]
    chosen = screen.wells[screen.wells["is_dmso"] | screen.wells["metabolite"].isin(treated)]
    return {
        str(batch): (wells.reset_index(drop=True), counts.loc[wells["well_id"]])
        for batch, wells in chosen.groupby("batch")
    }


@cache
def files_of(name: str, content: Content) -> Mapping[str, bytes]:
    """Return the files of a batch of this name; all edits of a source have the same sizes."""
    wells, counts = _simulated()[content.source]
    edited = counts.clip(upper=9999).copy()
    gene = int(np.argmax(edited.to_numpy().mean(axis=0)))
    edited.iloc[:EDITED_WELLS, gene] = 1000 + 500 * (content.edit == 1)
    named = wells["well_id"].str.replace(content.source, name, regex=False)
    scores = wells["activation_score"].abs().clip(0, 9).copy()
    scores.iloc[0] = 1.0 + (content.edit == 2)
    tables = {
        "plate_map.csv": wells[["plate", "well", "metabolite", "is_dmso"]],
        "targets.csv": pd.DataFrame({"well_id": named, "activation_score": scores.map("{:.4f}".format)}),
        "counts.csv": edited.set_axis(named).rename_axis("well_id").reset_index(),
    }
    return {file: table.to_csv(index=False).encode() for file, table in tables.items()}


def land(data: Path, name: str, content: Content) -> None:
    """Put a batch there as a whole new folder."""
    shutil.rmtree(data / name, ignore_errors=True)
    (data / name).mkdir(parents=True)
    for file, text in files_of(name, content).items():
        (data / name / file).write_bytes(text)


def edit_alike(data: Path, name: str, content: Content) -> None:
    """Overwrite a batch's files in place and put their times back: names, sizes and times stay."""
    for file, text in files_of(name, content).items():
        path = data / name / file
        status = path.stat()
        assert status.st_size == len(text)
        if path.read_bytes() != text:
            path.write_bytes(text)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@cache
def _definitions(root: Path) -> dg.Definitions:
    return build_defs(make_configuration(root), {"compute": TransformerCompute(device="cpu", threads=1)})


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Platform]:
    """Yield an installation below `root` with an instance in memory."""
    os.environ.pop("DAGSTER_HOME", None)
    configuration = make_configuration(root)
    with dg.DagsterInstance.ephemeral(tempdir=str(root)) as instance:
        yield Platform(configuration, instance, _definitions(root))


def run(platform: Platform, job: str, batch: str | None, selection: list[str]) -> str:
    """Run a job with the cheapest settings and return what it said if it failed, else nothing."""
    platform.register_landed_batches()
    steps = {op.name for op in platform.definitions.resolve_job_def(job).nodes}
    made = set(selection)
    config = {
        name: {"config": values}
        for name, values in CHEAP.items()
        if name in steps and (name in made or (name == "check_quality" and "well_qc" in made))
    }
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            platform.run(job, batch, {"ops": config}, selection)
    except RunFailedError as error:
        return str(error)
    return ""


def ingest(platform: Platform, batch: str) -> str:
    """Ingest a batch."""
    return run(platform, "ingest", batch, CORE_INGEST)


def score(platform: Platform, batch: str) -> str:
    """Score a batch with the current model."""
    return run(platform, "score", batch, SCORE_TABLES)


def sum_up(platform: Platform) -> str:
    """Make the tables over the screen."""
    return run(platform, "screen", None, SCREEN_TABLES)


class Oracle:
    """A second installation that knows nothing of the first one's past; what it made once it remembers.

    Args:
        root: A folder of its own.
        mended: Puts the package's code right while a reference is made, where the first installation's is broken on
            purpose.
    """

    def __init__(self, root: Path, mended: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self.root, self.mended = root, mended
        self._known: dict[object, Reference] = {}

    def of(
        self, contents: Mapping[str, Ingested], models: ModelRegistry, model: str | None, with_screen: bool
    ) -> Reference:
        """Return what a fresh installation makes of these batches, in this order, with this model."""
        key = (tuple(contents.items()), model)
        with self.mended():
            if key not in self._known:
                self._known[key] = self._batches(contents, models, model)
            known = self._known[key]
            if with_screen and not any(batch is None for _, batch in known.tables):
                with self._at(known.folder) as platform:
                    sum_up(platform)
                    known.tables |= versions_in(platform.storage.lake(), SCREEN_TABLES)
                    self._keep(known.folder)
            return known

    def shown(self, reference: Reference) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the figures of a fresh installation's report and its exported file."""
        if not reference.report:
            with self.mended(), self._at(reference.folder) as platform:
                status, judge = look_at(platform, time.time())
                reference.report = report_data(report_of(platform, status))
                reference.exported = export_of(platform, judge)
        return reference.report, reference.exported

    def _batches(
        self, contents: Mapping[str, Ingested], models: ModelRegistry, model: str | None
    ) -> Reference:
        before, last = dict(list(contents.items())[:-1]), list(contents.items())[-1:]
        folder = self.of(before, models, model, False).folder if last else None
        with self._at(folder) as platform:
            if model is not None and folder is None:
                platform.storage.models().root.mkdir(parents=True, exist_ok=True)
                shutil.copytree(
                    Path(models.folder(model).path), Path(platform.storage.models().root.path) / model
                )
                platform.storage.models().promote(model, "the oracle", "the same model")
            for name, batch in last:
                land(platform.configuration.data, name, batch.content)
                ingest(platform, name)
                if batch.is_scored:
                    score(platform, name)
            kept = self.root / "kept" / str(len(self._known))
            self._keep(kept)
            return Reference(versions_in(platform.storage.lake(), [*CORE_INGEST, *SCORE_TABLES]), kept)

    @contextlib.contextmanager
    def _at(self, folder: Path | None) -> Iterator[Platform]:
        fresh = self.root / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        if folder is not None:
            shutil.copytree(folder, fresh)
        with opened(fresh) as platform:
            yield platform

    def _keep(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "fresh", folder)


def versions_in(lake: Lake, assets: list[str]) -> dict[Place, str]:
    return {
        (asset, batch): lake.lineage(asset, batch).data_version
        for asset in assets
        for batch in (lake.batches(asset) if TABLES[asset].partitioned else [None] * lake.exists(asset))
    }


def look_at(platform: Platform, now: float) -> tuple[Status, Judge]:
    return look(platform.configuration.data, platform.storage.lake(), platform.storage.models(), 0.0, now)


def report_of(platform: Platform, status: Status) -> str:
    return screen_report(platform.storage.lake(), platform.storage.models(), status).decode()


def report_data(report: str) -> dict[str, Any]:
    """Return what a report's figures are drawn from."""
    found = re.search(r'<script id="report-data" type="application/json">(.*?)</script>', report, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def export_of(platform: Platform, judge: Judge, as_is: bool = False) -> dict[str, Any]:
    """Return what an export holds, or {} where there is nothing to export; see `annotated_screen` for refusals."""
    try:
        data = annotated_screen(platform.storage.lake(), platform.storage.models(), False, judge, as_is)
    except ExportError:
        return {}
    return {
        "wells": data.obs.to_csv(),
        "genes": list(data.var_names),
        "values": np.asarray(data.X).tobytes(),
        "latent": np.asarray(data.obsm["X_latent"]).tobytes() if "X_latent" in data.obsm else b"",
        "hits": data.uns["hits"].to_csv() if "hits" in data.uns else "",
    }


def claims_of(judge: Judge) -> list[Place]:
    """Return the routine tables that are there and that the judge calls current."""
    assets = [*CORE_INGEST, *(SCORE_TABLES if judge.model else ())]
    places: list[Place] = [(asset, batch) for asset in assets for batch in judge.lake.batches(asset)]
    places += [(asset, None) for asset in SCREEN_TABLES if judge.lake.exists(asset)]
    return [place for place in places if judge.reason(*place) is None]


def batches_in_screen(judge: Judge) -> list[str]:
    """Return the batches that screen tables sum up: those the model scored, before there is one the ingested ones."""
    return judge.batches("latent_embeddings") if judge.model else judge.lake.batches("well_metadata")


def quietly(act: Callable[[], object]) -> None:
    """Do what a command does without what it prints or refuses."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(click.ClickException):
        act()


class LifeError(AssertionError):
    """An installation shows something as current that it is not."""


def require(is_so: bool, sentence: str) -> None:
    """Refuse a life in which this is not so.

    Raises:
        LifeError: It is not.
    """
    if not is_so:
        raise LifeError(sentence)


@contextlib.contextmanager
def at_look(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Do something before the n-th landed file is hashed, which is after it was parsed; yields the looks so far."""
    looks: list[int] = []
    digest = LandingFile.digest

    def after_act(self: LandingFile) -> str:
        looks.append(1)
        if len(looks) == number + 1:
            act()
        return digest(self)

    LandingFile.digest = after_act  # type: ignore[method-assign]
    try:
        yield looks
    finally:
        LandingFile.digest = digest  # type: ignore[method-assign]


@contextlib.contextmanager
def code_raised(asset: str) -> Iterator[None]:
    """Have the package's code for a table be another for the block."""
    declared = vars(TABLES)["_declared"]
    before = declared[asset]
    declared[asset] = replace(before, code_version="raised")
    try:
        yield
    finally:
        declared[asset] = before
