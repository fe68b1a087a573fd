"""How well the machine that tries lives sees: takes one mend after the other out of the package, and soaks.

    python -m benchmarks.lives unmend [NAME …] [--seconds 240]
    python -m benchmarks.lives soak --minutes 60

`unmend` breaks the running package in one place at a time, as it once was, and says after how many steps
`tcell_assets_tests/robustness/lives.py` notices. `soak` tries lives of the whole package and prints what it did.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tcell_assets.defs.resources import Storage
from tcell_assets.exports import annotated_data, report, report_figures
from tcell_assets.installation import operations, status
from tcell_assets.lake import archive, copies, judge, models
from tcell_assets.landing import arrivals, batch
from tcell_assets.landing import files as landing_files
from tcell_assets.system import files
from tcell_assets_tests.robustness.fresh_installation import LifeError, Oracle
from tcell_assets_tests.robustness.lives import Lives

EXAMPLES, STEPS = 4, 20
# Of the package, an attribute and what it is for the while: owner, name, value.
Patch = tuple[Any, str, Any]


@dataclass
class Broken:
    """A package that is broken in one place, and put right where a reference is made."""

    patches: list[Patch] = field(default_factory=list)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Break it for the block."""
        before = [(owner, name, vars(owner)[name]) for owner, name, _ in self.patches]
        _set(self.patches)
        try:
            yield
        finally:
            _set(before)

    @contextlib.contextmanager
    def mended(self) -> Iterator[None]:
        """Put it right for the block, where it is broken now."""
        broken = [(owner, name, vars(owner)[name]) for owner, name, _ in self.patches]
        _set(self.whole)
        try:
            yield
        finally:
            _set(broken)

    def __post_init__(self) -> None:
        self.whole = [(owner, name, vars(owner)[name]) for owner, name, _ in self.patches]


def _set(patches: list[Patch]) -> None:
    for owner, name, value in patches:
        setattr(owner, name, value)


def _without_doubt(is_taken_out: Callable[[judge.Reason], bool]) -> list[Patch]:
    """The judge without one of its reasons."""
    doubts = judge.Judge._doubts

    def fewer(self: judge.Judge, *place: Any) -> Iterator[judge.Reason]:
        return (reason for reason in doubts(self, *place) if not is_taken_out(reason))

    return [(judge.Judge, "_doubts", fewer)]


def _says(*words: str) -> list[Patch]:
    return _without_doubt(lambda reason: any(word in reason.text for word in words))


def _sizes_and_times_alone() -> list[Patch]:
    look_at_file = arrivals._Seen.look_at_file

    def fewer(self: Any, path: str, name: str) -> None:
        look_at_file(self, path, name)
        if self.files and self.files[-1][0] == name:
            self.files[-1] = (*self.files[-1][:3], 0, 0)

    return [(arrivals._Seen, "look_at_file", fewer)]


def _hashed_apart_from_reading() -> list[Patch]:
    def digest(file: landing_files.LandingFile) -> str:
        with file.path.open("rb") as stream:
            return landing_files.hash_stream(stream)

    return [
        (landing_files.LandingFile, "digest", digest),
        (batch, "batch_fingerprint", lambda *_: None),
    ]


def _vanished_folders_unsaid() -> list[Patch]:
    landing_zone = operations.landing_zone

    def all_there(data: Path, lake: Any, *rest: Any) -> Any:
        landed, waiting = landing_zone(data, lake, *rest)
        return {**dict.fromkeys(lake.batches("well_metadata")), **landed}, waiting

    return [(status, "landing_zone", all_there)]


def _promotions_unlocked() -> list[Patch]:
    promotions = models.ModelRegistry.promotions

    def slow(self: models.ModelRegistry) -> Any:
        found = promotions(self)
        time.sleep(0.05)
        return found

    return [
        (models.ModelRegistry, "_pointer_lock", lambda _: contextlib.nullcontext()),
        (models.ModelRegistry, "promotions", slow),
    ]


def _written_in_place() -> list[Patch]:
    def in_place(path: Path, write: Callable[[Any], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write(file)

    return [(files, "_write_local", in_place)]


def _losses_of_the_last_training() -> list[Patch]:
    loss = report_figures.loss

    def of_table(_: Any) -> Any:
        from upath import UPath

        from tcell_assets.lake.store import Lake

        return loss(Lake(UPath(Lives.root / "lived" / "storage" / "lake")).read("training_history"))

    return [(report, "loss", of_table)]


UNMENDS: Mapping[str, tuple[str, Callable[[], list[Patch]]]] = {
    "model": (
        "tables of another model than the current one pass (roll back after one batch was scored)",
        lambda: _without_doubt(lambda reason: reason.kind == "model"),
    ),
    "inputs": (
        "a table whose inputs have changed passes (new expression beside old latents)",
        lambda: _says("has changed", "is new", "is gone"),
    ),
    "batches": (
        "which batches a screen table sums up is not compared (a batch scored while `screen` runs)",
        lambda: _says("made without", "made with tc"),
    ),
    "upstream": (
        "a table is current though its inputs are behind",
        lambda: _without_doubt(lambda reason: reason.kind == "upstream"),
    ),
    "code": (
        "tables of older code pass",
        lambda: _without_doubt(lambda reason: reason.kind == "code"),
    ),
    "plate files": (
        "changed plate files pass",
        lambda: _says("plate files have changed"),
    ),
    "losses": (
        "the report draws the last training's losses, whichever model is shown",
        _losses_of_the_last_training,
    ),
    "report": (
        "the report says nothing at its top",
        lambda: [(report, "_behind", lambda *_: [])],
    ),
    "export": (
        "exports refuse nothing",
        lambda: [(annotated_data, "require_current", lambda _: None)],
    ),
    "stamp": ("files are told by size and modification time alone", _sizes_and_times_alone),
    "read once": ("files are hashed apart from reading them", _hashed_apart_from_reading),
    "vanished": ("a landing folder that is gone is not said", _vanished_folders_unsaid),
    "copies": (
        "one data set under two names counts twice",
        lambda: [(copies, "find_copies", lambda screen: {name: {} for name in screen})],
    ),
    "changed copies": (
        "copies whose first was corrected or forgotten are not judged anew",
        lambda: [(judge, "changed_copies", lambda _: {})],
    ),
    "fit": (
        "counts stabilised by another fit than the model's pass",
        lambda: [(judge, "of_another_fit", lambda *_: False)],
    ),
    "promotions": ("two promotions at once are not kept apart", _promotions_unlocked),
    "in place": ("files are written in place", _written_in_place),
    "leftovers": (
        "what killed writers left is not swept",
        lambda: [(Storage, "sweep", lambda _: [])],
    ),
    "moves": (
        "a forgetting that was killed half way is not ended",
        lambda: [(archive, "_move_out", lambda *_: []), (archive, "is_move_unfinished", lambda *_: False)],
    ),
}


@dataclass(frozen=True)
class Tried:
    """What a while of trying lives did."""

    steps: int
    seconds: float
    found: str


def try_lives(
    broken: Broken, seconds: float, first_seed: int = 0, examples: int = EXAMPLES, steps: int = STEPS
) -> Tried:
    """Try lives until one breaks the rule or the time is over; steps of lives before are counted in `Lives.steps`."""
    before, started, number = sum(Lives.steps.values()), time.monotonic(), first_seed
    Lives.broken = staticmethod(broken.applied)
    Lives.oracle.mended = broken.mended
    # Beginnings are kept; these are another package's.
    shutil.rmtree(Lives.root / "begun", ignore_errors=True)
    found = ""
    while not found and time.monotonic() - started < seconds:
        number += 1
        try:
            run_state_machine_as_test(
                seed(number)(Lives),
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate],
                    report_multiple_bugs=False,
                ),
            )
        except BaseExceptionGroup as group:
            found = str(group.exceptions[0]).splitlines()[0]
        except KeyboardInterrupt:
            raise
        except Exception as error:
            found = (f"{type(error).__name__}: " * (not isinstance(error, LifeError))) + str(
                error
            ).splitlines()[0]
    return Tried(sum(Lives.steps.values()) - before, time.monotonic() - started, found)


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Give the machine its folders, and keep Dagster quiet."""
    logging.disable(logging.CRITICAL)
    # In memory where there is a place for it: half of the time is waiting for the disk.
    memory = next((str(place) for place in [Path("/dev/shm")] if os.access(place, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="lives-", dir=memory, ignore_cleanup_errors=True) as folder:
        Lives.root = Path(folder)
        Lives.oracle = Oracle(Path(folder) / "oracle", contextlib.nullcontext)
        yield


def unmend(names: list[str], seconds: float) -> int:
    """Break the package in each place, print a Markdown table, and return how many breaks were not noticed."""
    print("| taken out | noticed after | as |\n| --- | --- | --- |", flush=True)
    missed = 0
    for name in names or list(UNMENDS):
        what, patches = UNMENDS[name]
        tried = try_lives(Broken(patches()), seconds)
        missed += not tried.found
        after = (
            f"{tried.steps} steps, {tried.seconds:.0f} s" if tried.found else f"not in {tried.steps} steps"
        )
        print(f"| {name}: {what} | {after} | {tried.found} |", flush=True)
    return missed


def soak(minutes: float, first_seed: int) -> int:
    """Try lives of the whole package, print what was done, and return 1 where one broke the rule."""
    tried = try_lives(Broken(), minutes * 60, first_seed, examples=10, steps=40)
    done = ", ".join(f"{what} {number}" for what, number in sorted(Lives.steps.items()))
    print(f"{tried.steps} steps in {tried.seconds:.0f} s on {os.cpu_count()} cores: {done}")
    print(tried.found or "nothing was shown as current that was not")
    return int(bool(tried.found))


def main() -> None:
    """Run the named part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    breaks = parts.add_parser("unmend", help="take one mend out at a time")
    breaks.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(UNMENDS)}; default: all")
    breaks.add_argument("--seconds", type=float, default=240, help="the longest for one")
    long = parts.add_parser("soak", help="try lives of the whole package")
    long.add_argument("--minutes", type=float, default=60)
    long.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    with prepared():
        if arguments.part == "unmend":
            raise SystemExit(unmend(arguments.names, arguments.seconds))
        raise SystemExit(soak(arguments.minutes, arguments.seed))


if __name__ == "__main__":
    main()
