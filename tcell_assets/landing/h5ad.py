"""AnnData files: X or `layers["counts"]`, one observation a well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.matrices import in_value_kind
from tcell_assets.landing.plate_map import recognise_columns
from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings, ValueKind
from tcell_assets.landing.tables import FILL_CELL, TextTable

if TYPE_CHECKING:
    import h5py
    from scipy.sparse import csr_matrix

COUNT_LAYER = "counts"


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
        settings: The stated value kind; claimed sizes are limited.
        problems: Receives what keeps the file from being read.
        notes: Receives which matrix was taken and a detected value kind.

    Returns:
        The file's content, or None where a problem was noted.
    """
    try:
        # Optional, and slow to import.
        import anndata.io
        import h5py
    except ImportError:
        mend = "Install them with: pip install 'tcell-assets[anndata]'"
        problems.add("missing packages", file.name, "", "needs the packages anndata and h5py", mend)
        return None
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        return None
    try:
        with h5py.File(file.path, "r") as store:
            fault = _fault(store, settings.limits)
            if fault:
                kind, found, mend = fault
                problems.add(kind, file.name, "", found, mend)
                return None
            takes_layer = f"layers/{COUNT_LAYER}" in store and settings.value_kind != "vst"
            stated: ValueKind | None = "counts" if takes_layer else None
            observations = anndata.io.read_elem(store["obs"])
            genes = [str(name) for name in anndata.io.read_elem(store["var"]).index]
            values = anndata.io.read_elem(store[f"layers/{COUNT_LAYER}" if takes_layer else "X"])
    # HDF5 and AnnData raise what they like on damaged or foreign files; every such error means the same here.
    except Exception as error:
        found = f"is not a readable AnnData file ({type(error).__name__}: {str(error)[:200]})"
        problems.add(
            "damaged files", file.name, "", " ".join(found.split()), "Write it again or copy it again"
        )
        return None
    if len(observations) * len(genes) * 8 > settings.limits.max_unpacked_bytes:
        found = f"claims {len(observations):,} wells × {len(genes):,} genes"
        mend = "If the file is meant, raise limits.max_unpacked_bytes"
        problems.add("files too large", file.name, "", found, mend)
        return None
    if values.shape != (len(observations), len(genes)) or 0 in values.shape:
        found = f"has {values.shape} values for {len(observations)} observations and {len(genes)} variables"
        problems.add("damaged files", file.name, "", found, "Write it again")
        return None
    names = [str(name) for name in observations.index]
    table = _observation_table(file.name, names, observations)
    dense = np.asarray(values, dtype=np.float64) if isinstance(values, np.ndarray) else values.tocsr()
    finite = np.isfinite(dense if isinstance(dense, np.ndarray) else dense.data)
    if not finite.all():
        found = f"holds {np.count_nonzero(~finite)} values that are not finite"
        problems.add("non-finite cells", file.name, "", found, FILL_CELL)
        return None
    kept = in_value_kind(file.name, dense, names, genes, stated, settings, problems, notes)
    return None if kept is None else AnnotatedMatrix(file.name, names, genes, kept, table)


def _fault(store: h5py.File, limits: LandingLimits) -> tuple[str, str, str] | None:
    """What must not be read: links to other files, and sizes beyond the limits however few bytes they take here."""
    import h5py

    claimed = 0
    groups: list[h5py.Group] = [store]
    seen: set[int] = set()
    while groups:
        group = groups.pop()
        # HDF5 lets a group hold itself, which its readers follow without end.
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            return "links", f"holds the group {quoted(str(group.name))} more than once", "Write it once"
        seen.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                return "links", f"holds the link {quoted(f'{group.name}/{name}')}", "Write plain data"
            member = group[name]
            if isinstance(member, h5py.Group):
                groups.append(member)
                continue
            if not isinstance(member, h5py.Dataset):
                continue
            if member.is_virtual or member.external:
                found = f"keeps {quoted(str(member.name))} in another file"
                return "links", found, "Write the values into the file itself"
            claimed += member.size * member.dtype.itemsize if member.size else 0
    if claimed > limits.max_unpacked_bytes:
        found = f"claims {claimed:,} bytes of values"
        return "files too large", found, "If the file is meant, raise limits.max_unpacked_bytes"
    missing = [name for name in ("obs", "var") if name not in store]
    if missing or ("X" not in store and f"layers/{COUNT_LAYER}" not in store):
        found = f"has no {' and no '.join(missing) or 'X'}"
        return "damaged files", found, "Write it with AnnData.write_h5ad"
    return None


def _observation_table(file: str, names: list[str], observations: pd.DataFrame) -> TextTable:
    """``obs`` as text; its names serve as well_id where no column names the well."""
    header = [str(column) for column in observations.columns]
    columns = [
        ["" if pd.isna(cell) else str(cell) for cell in observations.iloc[:, at]] for at in range(len(header))
    ]
    roles = recognise_columns(tuple(header), {})
    if "well" not in roles and "well_id" not in roles and not {"row", "column"} <= roles.keys():
        header.insert(0, "well_id")
        columns.insert(0, names)
    return TextTable(file, tuple(header), [list(row) for row in zip(*columns, strict=True)], first_row=1)
