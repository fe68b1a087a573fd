"""`tcell doctor`: is this installation well, and what to do about what is not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from tcell_assets.commands.platform import Platform
    from tcell_assets.installation.configuration import Configuration
    from tcell_assets.lake.store import Lake

# A batch of 384 wells × 40 000 genes with everything made of it takes 0.2 GB; below this, runs soon fail.
LEAST_FREE_GIB = 2.0
MOST_BEHIND = 5
PINNED = ("dagster", "dagster-webserver", "torch")


@dataclass(frozen=True)
class Finding:
    """One line of the report: fine, worth knowing, or to be mended, with the command or step that mends it."""

    state: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""


@click.command("doctor", epilog="Examples:\n\n  tcell doctor\n\n  tcell doctor --deep")
@click.option("--deep", is_flag=True, help="Read every table and model and check it against its hash.")
def doctor_command(deep: bool) -> None:
    """Look the installation over and name a fix for each finding; exit code 1 if something is to be mended."""
    findings = []
    for finding in examine(deep):
        findings.append(finding)
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[finding.state]
        click.echo(f"{mark}  {finding.text}" + (f"\n         → {finding.fix}" if finding.fix else ""))
    problems = sum(finding.state == "problem" for finding in findings)
    click.echo(f"{problems} to mend" if problems else "all is well")
    if problems:
        sys.exit(1)


def examine(deep: bool) -> Iterator[Finding]:
    """Yield the findings of every examination; one that fails is itself a finding, and the others go on."""
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.installation.configuration import load_configuration

    yield from _packages()
    yield from _examined("torch", _compute)
    configuration = load_configuration()
    yield from _examined("disk", partial(_disk, configuration.dagster_home))
    try:
        with open_platform(configuration) as platform:
            yield Finding(
                "ok", f"DAGSTER_HOME {configuration.dagster_home} opens; leftovers of killed runs are swept"
            )
            yield from _examined("daemon", partial(_daemon, platform))
            yield from _examined("alerts", partial(_alerts, platform.configuration))
            yield from _examined("storage", partial(_storage, platform, deep))
            yield from _examined("privacy", partial(_privacy, platform))
            yield from _examined("landing zone", partial(_landing_zone, platform))
    except Exception as error:
        yield Finding(
            "problem",
            f"DAGSTER_HOME {configuration.dagster_home} does not open: {error}",
            "check DAGSTER_HOME, the folder's permissions and its dagster.yaml",
        )


def _examined(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:
        yield Finding("problem", f"{name}: {error}", "see the message")


def _packages() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    required = {
        name.partition("==")[0]: name.partition("==")[2].partition(";")[0].strip()
        for name in metadata.requires("tcell-assets") or []
        if "==" in name and "extra" not in name
    }
    for name in PINNED:
        installed = metadata.version(name)
        wanted = required.get(name, installed)
        # A CUDA or CPU build adds a suffix: 2.13.0+cpu is 2.13.0.
        if installed.partition("+")[0] != wanted:
            yield Finding("problem", f"{name} {installed}, tested with {wanted}", "run `make install`")
    yield Finding(
        "ok", f"Python {version}, " + ", ".join(f"{name} {metadata.version(name)}" for name in PINNED)
    )


def _compute() -> Iterator[Finding]:
    from tcell_assets.science.model.compute import resolve_compute

    compute = resolve_compute()
    yield Finding("ok", f"the network runs on {compute.device} in {compute.precision}: {compute.reason}")


def _disk(folder: Path) -> Iterator[Finding]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    fix = "" if free >= LEAST_FREE_GIB else "free some space, or move TCELL_STORAGE to a larger disk"
    yield Finding("problem" if fix else "ok", f"{free:.1f} GiB free at {existing}", fix)
    if not os.access(existing, os.W_OK):
        yield Finding(
            "problem", f"{existing} cannot be written to", f"chown or chmod {existing} for this user"
        )


def _privacy(platform: Platform) -> Iterator[Finding]:
    from upath import UPath

    from tcell_assets.system.files import is_local

    root = UPath(platform.configuration.storage)
    if "TCELL_UMASK" in os.environ or not is_local(root):
        return
    written = [Path(root.path) / part for part in ("lake", "models")]
    others = [str(folder) for folder in written if folder.exists() and folder.stat().st_mode & 0o077]
    if others:
        yield Finding(
            "note",
            f"{', '.join(others)} can be read by other users of this machine",
            f"chmod -R go= {root.path}, or set TCELL_UMASK to share it on purpose (deploy/README.md)",
        )


def _daemon(platform: Platform) -> Iterator[Finding]:
    from tcell_assets.installation.dagster_internals import daemons_are_alive

    if daemons_are_alive(platform.instance):
        yield Finding("ok", "the daemon is alive")
    else:
        yield Finding(
            "note", "no daemon: no schedule, sensor, backfill or retry happens", "start it with `tcell ui`"
        )
    settings = Path(platform.instance.root_directory) / "dagster.yaml"
    if "LocalRunLauncher" not in settings.read_text():
        yield Finding(
            "problem",
            f"{settings} does not name the run launcher that notices killed runs",
            "copy the section run_launcher from the project's storage/dagster.yaml",
        )


def _alerts(configuration: Configuration) -> Iterator[Finding]:
    from tcell_assets.installation.alerts import last_delivery

    last = last_delivery(configuration.dagster_home)
    count = len(configuration.alerts)
    if not count:
        yield Finding(
            "note", "nobody is told of a failed run", "set TCELL_ALERTS, then run `tcell alerts test`"
        )
    elif last is None:
        yield Finding("note", f"no message was sent yet to the {count} of TCELL_ALERTS", "tcell alerts test")
    elif last.problem:
        yield Finding(
            "problem",
            f"the last alert was not delivered: {last.problem}",
            "mend TCELL_ALERTS or the service, then run `tcell alerts test`",
        )
    else:
        yield Finding("ok", f"failed runs are told to {count}; the last message arrived: {last.title}")


def _storage(platform: Platform, deep: bool) -> Iterator[Finding]:
    from tcell_assets.lake.judge import Judge
    from tcell_assets.lake.tables import TABLES

    lake = platform.storage.lake()
    tables, damaged = 0, 0
    for asset, batch in _tables(lake):
        tables += 1
        try:
            if deep:
                lake.verify(asset, batch)
            else:
                lake.lineage(asset, batch)
        except OSError as error:
            damaged += 1
            yield Finding("problem", str(error), f"rebuild it: {TABLES[asset].command(batch)}")
    how = "content hashes checked" if deep else "footers read; --deep checks the contents"
    if not damaged:
        yield Finding("ok", f"lake: {tables} tables whole ({how})")
    judge = Judge(lake, platform.storage.models())
    behind = [found for found in judge.behind(list(_tables(lake))) if found.reason.kind != "damaged"]
    for found in behind[:MOST_BEHIND]:
        yield Finding(
            "note",
            f"not current: {found.asset}{f' of {found.batch}' if found.batch else ''}: {found.reason.text}",
            found.command,
        )
    if len(behind) > MOST_BEHIND:
        yield Finding("note", f"{len(behind)} tables in all are not current", "`tcell status` says why")
    yield from _models(platform, deep)


def _tables(lake: Lake) -> Iterator[tuple[str, str | None]]:
    from tcell_assets.lake.tables import TABLES

    for asset, table in TABLES.items():
        if table.partitioned:
            yield from ((asset, batch) for batch in lake.batches(asset))
        elif lake.exists(asset):
            yield asset, None


def _models(platform: Platform, deep: bool) -> Iterator[Finding]:
    models = platform.storage.models()
    versions = models.versions()
    for fault in models.damaged().values():
        yield Finding("problem", fault, "see the message")
    if deep:
        from tcell_assets.science.model.trained_model import ModelError, load_model

        for version in versions:
            try:
                load_model(models.folder(version))
            except ModelError as error:
                yield Finding(
                    "problem",
                    f"model {version}: {error}",
                    "restore its folder from a backup, or delete it and run `tcell train`: the same data and settings "
                    "give the same version",
                )
    current = models.current()
    if current is None:
        yield Finding(
            "note", "no model is current", "run `tcell train` once batches with targets are ingested"
        )
    elif current in models.damaged():
        yield Finding("problem", f"the current model {current} cannot be used", "run `tcell models rollback`")
    elif current not in versions:
        yield Finding("problem", models.gone(current), "run `tcell models rollback`")
    else:
        yield Finding("ok", f"{len(versions)} models, current {current}")


def _landing_zone(platform: Platform) -> Iterator[Finding]:
    from tcell_assets.installation.operations import vanished_batches
    from tcell_assets.lake.archive import forgotten_batches
    from tcell_assets.lake.copies import changed_copies, screen_sentences
    from tcell_assets.landing.fingerprint import list_batches

    data = platform.configuration.data
    if not data.is_dir():
        yield Finding(
            "note", f"the landing zone {data} does not exist", f"mkdir -p {data}, or set TCELL_DATA"
        )
        return
    folders = list_batches(data)
    for name, fault in folders.refused.items():
        yield Finding("problem", f"{data}: folder {name!r} is no batch, it {fault}", "rename the folder")
    yield Finding("ok", f"landing zone {data}: {len(folders.batches)} batches")
    lake = platform.storage.lake()
    for batch in vanished_batches(data, lake):
        yield Finding(
            "problem",
            f"the landing folder of {batch} is gone, and its tables still count",
            f"put {data / batch} back, or run `tcell forget {batch}`",
        )
    for note in forgotten_batches(lake).values():
        yield Finding("note", note.sentence())
    for sentence in screen_sentences(lake):
        yield Finding(
            "note",
            f"{sentence}; copies count nowhere",
            "set `duplicates: allow` in screen.yaml where they are meant, or `tcell forget` the copy",
        )
    for batch, reason in changed_copies(lake).items():
        yield Finding("problem", f"{batch}: {reason}", f"tcell ingest {batch}")
