"""AnnData files: X or `layers["counts"]`, one observation a well."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.columns import recognise_columns
from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.matrices import in_value_kind
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingSettings, ValueKind
from tcell_assets.landing.tables import FILL_CELL, TextTable

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

COUNT_LAYER = "counts"
CONTENT_FILE = "content.json"
VALUES_FILE = "values.npz"


@dataclass(frozen=True)
class AnnotatedMatrix:
    """What an AnnData file holds of a batch.

    Attributes:
        file: Its name.
        names: ``obs_names``, one a well.
        genes: ``var_names``.
        values: Wells × genes: float64 VST or sparse int32 counts.
        observations: ``obs`` as a table of text, with the names as ``well_id`` where no column says the well.
    """

    file: str
    names: list[str]
    genes: list[str]
    values: npt.NDArray[np.float64] | csr_matrix
    observations: TextTable


def read_annotated_matrix(
    file: LandingFile, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> AnnotatedMatrix | None:
    """Read an AnnData file; ``layers["counts"]`` is taken before X unless the settings state VST.

    Args:
        file: A ``.h5ad`` file.
        settings: The stated value kind; claimed sizes and the time to open it are limited.
        problems: Receives what keeps the file from being read.
        notes: Receives a detected value kind.

    Returns:
        The file's content, or None where a problem was noted.
    """
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        return None
    if importlib.util.find_spec("anndata") is None:
        mend = "Install it with: pip install 'tcell-assets[anndata]'"
        problems.add("missing packages", file.name, "", "needs the package anndata", mend)
        return None
    with tempfile.TemporaryDirectory() as out:
        content = _open_in_a_process(file, Path(out), settings)
        if "problem" in content:
            kind, found, mend = content["problem"]
            problems.add(kind, file.name, "", found, mend)
            return None
        values = _load_values(Path(out))
    names, genes = content["names"], content["genes"]
    if values.shape != (len(names), len(genes)) or 0 in values.shape:
        found = f"has {values.shape} values for {len(names)} observations and {len(genes)} variables"
        problems.add("damaged files", file.name, "", found, "Write it again")
        return None
    if len(names) * len(genes) * 8 > settings.limits.max_unpacked_bytes:
        found = f"claims {len(names):,} wells × {len(genes):,} genes"
        mend = "If the file is meant, raise limits.max_unpacked_bytes"
        problems.add("files too large", file.name, "", found, mend)
        return None
    finite = np.abs(values if isinstance(values, np.ndarray) else values.data) <= np.finfo(np.float32).max
    if not finite.all():
        found = f"holds {np.count_nonzero(~finite)} values that are not finite or beyond 3.4e38"
        problems.add("non-finite cells", file.name, "", found, FILL_CELL)
        return None
    stated: ValueKind | None = "counts" if content["layer"] else None
    kept = in_value_kind(file.name, values, names, genes, stated, settings, problems, notes)
    return (
        None
        if kept is None
        else AnnotatedMatrix(file.name, names, genes, kept, _observations(file.name, content))
    )


def _open_in_a_process(file: LandingFile, out: Path, settings: LandingSettings) -> dict[str, Any]:
    """What `h5ad_process` says of the file; a crash or a hang of the HDF5 library is a problem like any other."""
    limits = settings.limits
    layer = "X" if settings.value_kind == "vst" else "layer"
    command = [sys.executable, "-m", "tcell_assets.landing.h5ad_process"]
    arguments = [str(file.path.resolve()), str(out), str(int(limits.max_unpacked_bytes)), layer]
    mend = "Write it again or copy it again"
    try:
        subprocess.run(
            [*command, *arguments], capture_output=True, timeout=limits.max_open_seconds, check=True
        )
    except subprocess.TimeoutExpired:
        found = f"cannot be opened within {limits.max_open_seconds:g} s"
        return {"problem": ("damaged files", found, f"{mend}, or raise limits.max_open_seconds")}
    except subprocess.CalledProcessError as error:
        found = f"crashes the HDF5 library (exit code {error.returncode})"
        return {"problem": ("damaged files", found, mend)}
    content: dict[str, Any] = json.loads((out / CONTENT_FILE).read_text(encoding="utf-8"))
    return content


def _load_values(out: Path) -> npt.NDArray[np.float64] | csr_matrix:
    from scipy.sparse import load_npz

    with np.load(out / VALUES_FILE, allow_pickle=False) as stored:
        if "dense" in stored:
            dense: npt.NDArray[np.float64] = stored["dense"]
            return dense
    return load_npz(out / VALUES_FILE)


def _observations(file: str, content: dict[str, Any]) -> TextTable:
    """``obs`` as text; its names serve as well_id where no column names the well."""
    header, columns = list(content["header"]), list(content["columns"])
    roles = recognise_columns(tuple(header), {})
    if "well" not in roles and "well_id" not in roles and not {"row", "column"} <= roles.keys():
        header.insert(0, "well_id")
        columns.insert(0, content["names"])
    return TextTable(file, tuple(header), [list(row) for row in zip(*columns, strict=True)], first_row=1)
