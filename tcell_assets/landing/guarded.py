"""Reads files of formats whose libraries can crash or hang in a process of its own: HDF5, Zarr, spreadsheets.

HDF5 is a C library that a damaged file can crash or send into an endless loop (seen: 1 of 1 500 files with a few
changed bytes). In a process of its own that ends this process and not the run.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.files import LandingFile, hash_stream, note_unreadable
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits
from tcell_assets.landing.tables import FILL_CELL

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CONTENT_FILE = "content.json"
VALUES_FILE = "values.npz"
MEND = "Write it again or copy it again"

Content = dict[str, Any]
"""What a reader returns: values for JSON, or a ``problem``: kind, finding and mend."""


def has_packages(file: str, packages: Sequence[str], extra: str, problems: ProblemCollector) -> bool:
    """Whether the packages that a format needs are there; what is missing becomes a problem."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        found = f"needs the package {' and '.join(missing)}"
        problems.add(
            "missing packages", file, "", found, f"Install it with: pip install 'tcell-assets[{extra}]'"
        )
    return not missing


@contextmanager
def guarded(
    file: LandingFile,
    what: str,
    reader: str,
    options: Content,
    limits: LandingLimits,
    problems: ProblemCollector,
) -> Iterator[tuple[Content, Path] | None]:
    """Read one file in a process of its own, from the descriptor whose bytes were hashed.

    Args:
        file: The file.
        what: What it should be (``AnnData file``).
        reader: ``module:function`` that is called there with the file's path, a folder for its values and the options.
        options: What else it is told, as JSON.
        limits: Bytes of the file and the time to read it are limited.
        problems: Receives what keeps the file from being read.

    Yields:
        What the reader returned and the folder it wrote into; None where a problem was noted.
    """
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        yield None
        return
    with tempfile.TemporaryDirectory() as out:
        content: Content | None = None
        try:
            with file.opened() as stream:
                file.parsed.sha256 = hash_stream(stream)
                path = f"/dev/fd/{stream.fileno()}"
                content = run_reader(what, reader, path, Path(out), options, limits, [stream.fileno()])
        except OSError as error:
            note_unreadable(file, error, problems)
            content = None
        if content is not None and "problem" in content:
            kind, found, mend = content["problem"]
            problems.add(kind, file.name, "", found, mend)
            content = None
        yield None if content is None else (content, Path(out))


def run_reader(
    what: str,
    reader: str,
    path: str,
    out: Path,
    options: Content,
    limits: LandingLimits,
    descriptors: Sequence[int] = (),
) -> Content:
    """Return what a reader says of a path; a crash or a hang of its library is a problem like any other."""
    command = [sys.executable, "-m", "tcell_assets.landing.guarded_process", what, reader, path, str(out)]
    command += [str(int(limits.max_unpacked_bytes)), json.dumps(options)]
    try:
        subprocess.run(
            command,
            capture_output=True,
            timeout=limits.max_open_seconds,
            check=True,
            pass_fds=list(descriptors),
        )
    except subprocess.TimeoutExpired:
        found = f"cannot be opened within {limits.max_open_seconds:g} s"
        return {"problem": ("damaged files", found, f"{MEND}, or raise limits.max_open_seconds")}
    except subprocess.CalledProcessError as error:
        found = f"crashes the library that reads it (exit code {error.returncode})"
        return {"problem": ("damaged files", found, MEND)}
    content: Content = json.loads((out / CONTENT_FILE).read_text(encoding="utf-8"))
    return content


def load_values(
    file: str,
    out: Path,
    names: Sequence[str],
    genes: Sequence[str],
    limits: LandingLimits,
    problems: ProblemCollector,
) -> npt.NDArray[np.float64] | csr_matrix | None:
    """Return the values that a reader has written, checked against the names; None where a problem was noted."""
    from scipy.sparse import load_npz

    with np.load(out / VALUES_FILE, allow_pickle=False) as stored:
        values: Any = stored.get("dense")
    if values is None:
        values = load_npz(out / VALUES_FILE)
    if values.shape != (len(names), len(genes)) or 0 in values.shape:
        found = f"has {values.shape} values for {len(names)} observations and {len(genes)} variables"
        problems.add("damaged files", file, "", found, "Write it again")
        return None
    if len(names) * len(genes) * 8 > limits.max_unpacked_bytes:
        found = f"claims {len(names):,} wells × {len(genes):,} genes"
        problems.add(
            "files too large", file, "", found, "If the file is meant, raise limits.max_unpacked_bytes"
        )
        return None
    finite = np.abs(values if isinstance(values, np.ndarray) else values.data) <= np.finfo(np.float32).max
    if not finite.all():
        found = f"holds {np.count_nonzero(~finite)} values that are not finite or beyond 3.4e38"
        problems.add("non-finite cells", file, "", found, FILL_CELL)
        return None
    kept: npt.NDArray[np.float64] | csr_matrix = values
    return kept
