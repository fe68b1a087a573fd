"""Kills a full run again and again, with SIGKILL at random moments, and looks at what lies on the disk each time.

A program of its own, as every attempt is a fork of this process: what is slow, starting Python and importing torch,
happens once. Prints a JSON report that `test_kills.py` judges.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.installation.configuration import Configuration
from tcell_assets.installation.recovery import UNDER_WAY
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import is_leftover
from tcell_assets_tests.small_screen import configuration_in, simulate_into, train

BATCHES = ("tc1", "tc2")
EPOCHS = 4
OUTCOME = "outcome.json"
Stage = tuple[str, str | None]
STAGES: tuple[Stage, ...] = (
    *(("ingest", batch) for batch in BATCHES),
    ("train", None),
    *(("score", batch) for batch in BATCHES),
    ("screen", None),
)
# Wall time of an epoch, the one column that no two runs share.
WALL_TIME = {"training_history": ["seconds"]}


@dataclass
class Report:
    """What a storm of kills did.

    Attributes:
        seconds_undisturbed: One run of all stages.
        kills: How many runs were killed.
        kills_of: How many of each job.
        rounds: Installations that went through all stages.
        damage: Files that were torn, foreign or of other content after a kill.
        differences: What differed at the end of a round from an undisturbed run.
    """

    seconds_undisturbed: float = 0.0
    kills: int = 0
    kills_of: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    damage: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def open_and_run(configuration: Configuration, stages: Sequence[Stage]) -> None:
    """Do what a user's commands do, one stage after the other."""
    import torch

    # Sums over two threads round otherwise than over one.
    torch.set_num_threads(1)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
        for job, batch in stages:
            if job == "train":
                train(platform, epochs=EPOCHS)
            else:
                platform.run(job, batch)


def forked(work: Callable[[], object], kill_after: float | None = None) -> tuple[float, bool]:
    """Run `work` in a child, kill it after so many seconds, and return its time and whether it was killed.

    Raises:
        RuntimeError: The child ended by an error.
    """
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    ended = 0
    while not ended and (kill_after is None or time.monotonic() - started < kill_after):
        time.sleep(0.002)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    if not killed and os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError("a run failed by itself; its traceback stands above")
    return time.monotonic() - started, killed


def damage_in(configuration: Configuration) -> list[str]:
    """Return every file of the lake and the models that is torn, of another table, or none of ours."""
    from upath import UPath

    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.science.model.trained_model import load_model

    found = []
    lake = Lake(UPath(configuration.storage) / "lake")
    root = Path(configuration.storage) / "lake"
    expected = {lake.path(asset) for asset, table in TABLES.items() if not table.partitioned}
    expected |= {lake.path(a, batch) for a, table in TABLES.items() if table.partitioned for batch in BATCHES}
    for path in sorted(root.rglob("*")):
        if path.is_dir() or is_leftover(path):
            continue
        if UPath(path) not in expected:
            found.append(f"{path}: a foreign file")
            continue
        batched = path.parent != root
        try:
            lake.verify(path.parent.name if batched else path.stem, path.stem if batched else None)
        except Exception as error:
            found.append(f"{path}: {error}")
    models = ModelRegistry(UPath(configuration.storage) / "models")
    try:
        for version in models.versions():
            load_model(models.folder(version))
        if models.current() is not None:
            load_model(models.folder(models.resolve(None)))
    except Exception as error:
        found.append(f"models: {error}")
    return found


def contents(configuration: Configuration) -> dict[str, str]:
    """Return the content hash of every table, without what is wall time, and the current model's version."""
    from upath import UPath

    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.lake.store import content_hash

    lake = Lake(UPath(configuration.storage) / "lake")
    hashes = {"model": str(ModelRegistry(UPath(configuration.storage) / "models").current())}
    for asset, table in TABLES.items():
        for batch in lake.batches(asset) if table.partitioned else [None] * lake.exists(asset):
            values = lake.read_arrow(asset, batch).drop_columns(WALL_TIME.get(asset, []))
            hashes[f"{asset}/{batch or 'screen'}"] = content_hash(values)
    return hashes


def left_open(platform: Platform) -> list[str]:
    """Return the runs that are still under way, and pool slots that are still held."""
    import dagster as dg

    runs = platform.instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY))
    slots = platform.instance.event_log_storage.get_concurrency_run_ids()
    return [f"run {run.dagster_run.run_id} still under way" for run in runs] + [
        f"slot of {slot}" for slot in slots
    ]


def note_outcome(configuration: Configuration, expected: dict[str, str]) -> None:
    """Note for the parent what differs from an undisturbed run: contents, runs and slots still open, leftovers."""
    with open_platform(configuration) as platform:
        still_open = left_open(platform)
    leftovers = [str(path) for path in Path(configuration.storage).rglob("*") if is_leftover(path)]
    found = contents(configuration)
    names = sorted(expected.keys() | found.keys())
    differing = [name for name in names if expected.get(name) != found.get(name)]
    note(configuration.home / OUTCOME, differing + still_open + leftovers)


def note(path: Path, value: object) -> None:
    """Hand a value from a child to its parent."""
    path.write_text(json.dumps(value))


def run_and_time(configuration: Configuration) -> list[float]:
    """Run every stage undisturbed, each in a child, and return how long each took."""
    return [forked(partial(open_and_run, configuration, [stage]))[0] for stage in STAGES]


def storm(folder: Path, kills: int, seed: int) -> Report:
    """Kill each stage of a run at a random moment, let the next run complete it, and so on until there were enough."""
    report, chance = Report(), random.Random(seed)
    template, reference = configuration_in(folder / "template"), configuration_in(folder / "reference")
    simulate_into(template.data, n_batches=len(BATCHES), counts=True)
    forked(lambda: open_and_run(template, []))
    shutil.copytree(template.home, reference.home)

    def run_and_note_modules() -> None:
        open_and_run(reference, STAGES)
        note(folder / "expected.json", contents(reference))
        note(folder / "modules.json", [name for name in sorted(sys.modules) if not name.startswith("__")])

    forked(run_and_note_modules)
    expected = json.loads((folder / "expected.json").read_text())
    import_all(json.loads((folder / "modules.json").read_text()))
    report.damage += damage_in(reference)
    seconds = run_and_time(reference)
    report.seconds_undisturbed = round(sum(seconds), 2)
    while report.kills < kills:
        configuration = configuration_in(folder / f"round{report.rounds}")
        shutil.copytree(template.home, configuration.home)
        for stage, time_of_stage in zip(STAGES, seconds, strict=True):
            _, killed = forked(
                partial(open_and_run, configuration, [stage]), chance.uniform(0, time_of_stage)
            )
            report.kills += killed
            report.kills_of[stage[0]] = report.kills_of.get(stage[0], 0) + killed
            report.damage += damage_in(configuration)
            forked(partial(open_and_run, configuration, [stage]))
        forked(partial(note_outcome, configuration, expected))
        report.differences += json.loads((configuration.home / OUTCOME).read_text())
        report.damage += damage_in(configuration)
        shutil.rmtree(configuration.home)
        report.rounds += 1
    return report


def import_all(modules: list[str]) -> None:
    """Import once what each child would otherwise import anew: most of a run's 10 s."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    """Run a storm and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=614)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    report = storm(arguments.folder, arguments.kills, arguments.seed)
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
