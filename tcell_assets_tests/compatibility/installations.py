"""Small installations driven by the `tcell` of an earlier commit, or of this one, through the shell alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
# The last commit of the first stage: what it wrote must open, and be made again, for as long as the platform lives.
EARLIER_COMMIT = "0d49115"

# A network of one narrow layer and two epochs: every stage runs, none takes longer than its imports.
TRAINING = ("d_model=16", "heads=2", "layers=1", "feed_forward=32", "use_zscore=true", "epochs=2")
STAGES: tuple[tuple[str, ...], ...] = (
    ("ingest",),
    ("train", *(part for setting in TRAINING for part in ("--set", setting))),
    ("ensemble", "--members", "2"),
    ("evaluate", "--scheme", "leave_metabolite_out", "--folds", "2"),
    ("score",),
    ("screen",),
    ("attribute", "--steps", "4"),
    ("explain",),
)
WITHOUT_STATISTICS = tuple(stage for stage in STAGES if stage[0] in ("ingest", "train", "score", "screen"))


@dataclass(frozen=True)
class Installation:
    """A folder with `data/` and `storage/`, and the checkout whose code works in it."""

    home: Path
    checkout: Path

    @property
    def lake(self) -> Path:
        """Its tables."""
        return self.home / "storage" / "lake"

    def tcell(self, *arguments: str) -> str:
        """Run `tcell` of this checkout in this installation and return what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TCELL_")}
        environment |= {
            "PYTHONPATH": str(self.checkout),
            "TCELL_HOME": str(self.home),
            "DAGSTER_HOME": str(self.home / "storage"),
            "OMP_NUM_THREADS": "1",
        }
        program = "from tcell_assets.cli import main; main()"
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, (
            f"tcell {' '.join(arguments)}:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        )
        return result.stdout

    def tables(self) -> dict[str, Path]:
        """Return every table of the lake by its path within it, without the suffix."""
        return {
            str(path.relative_to(self.lake).with_suffix("")): path
            for path in sorted(self.lake.rglob("*.parquet"))
        }


def unpack_earlier_commit(folder: Path) -> Path | None:
    """Write the earlier commit's files into `folder` and return it, or None where git does not know the commit."""
    archive = subprocess.run(
        ["git", "archive", EARLIER_COMMIT, "tcell_assets", "storage"], cwd=ROOT, capture_output=True
    )
    if archive.returncode != 0:
        return None
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def installation_of(home: Path, checkout: Path, data: Path) -> Installation:
    """Return a new installation with a copy of a landing zone, times of change included."""
    home.mkdir(parents=True)
    shutil.copytree(data, home / "data")
    return Installation(home, checkout)


def differences(earlier: Path, later: Path, ignored: frozenset[str] = frozenset()) -> list[str]:
    """Return how a table differs from what an earlier commit wrote: columns lost, rows, and columns not bit-equal.

    Columns that came later are no difference.
    """
    before, after = pq.read_table(earlier), pq.read_table(later)
    found = [f"column {name} is gone" for name in before.column_names if name not in after.column_names]
    if before.num_rows != after.num_rows:
        return [*found, f"{after.num_rows} rows instead of {before.num_rows}"]
    return found + [
        f"column {name}"
        for name in before.column_names
        if name in after.column_names and name not in ignored and not _bit_equal(before[name], after[name])
    ]


def _bit_equal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    left, right = before.combine_chunks(), after.combine_chunks()
    if left.type != right.type or left.null_count != right.null_count:
        return False
    if not pa.types.is_floating(left.type):
        return bool(left.equals(right))
    # NaN is no value of its own to Arrow's `equals`; its bits are.
    bits = pa.uint32() if left.type == pa.float32() else pa.uint64()
    return bool(
        left.is_null().equals(right.is_null())
        and left.fill_null(0).view(bits).equals(right.fill_null(0).view(bits))
    )
