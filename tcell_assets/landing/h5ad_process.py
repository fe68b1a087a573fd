"""Opens one AnnData file in a process of its own: `python -m tcell_assets.landing.h5ad_process FILE OUT LIMIT LAYER`.

HDF5 is a C library that a damaged file can crash or send into an endless loop (seen: 1 of 1 500 files with a few
changed bytes). Here that ends this process and not the run. The result is `OUT/content.json` and `OUT/values.npz`.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import anndata.io
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.landing.h5ad import CONTENT_FILE, COUNT_LAYER, VALUES_FILE
from tcell_assets.landing.problems import quoted


def read_content(file: Path, out: Path, max_bytes: int, takes_layer: bool) -> dict[str, Any]:
    """Read a file and save its values.

    Args:
        file: An AnnData file.
        out: Receives the values: a sparse matrix, or ``dense`` as float64.
        max_bytes: What the file may claim in memory.
        takes_layer: Whether ``layers["counts"]`` is taken before X.

    Returns:
        ``names, genes, header, columns`` (``obs`` as text) and ``layer``; or a ``problem``: kind, finding and mend.
    """
    with h5py.File(file, "r") as store:
        problem = _fault(store, max_bytes)
        if problem:
            return {"problem": problem}
        layer = takes_layer and f"layers/{COUNT_LAYER}" in store
        observations = anndata.io.read_elem(store["obs"])
        genes = [str(name) for name in anndata.io.read_elem(store["var"]).index]
        values = anndata.io.read_elem(store[f"layers/{COUNT_LAYER}" if layer else "X"])
    if isinstance(values, np.ndarray):
        np.savez(out / VALUES_FILE, dense=values.astype(np.float64, copy=False))
    else:
        # Indices beyond the matrix would crash the conversion.
        values.check_format(full_check=True)
        sparse.save_npz(out / VALUES_FILE, values.tocsr(), compressed=False)
    return {
        "names": [str(name) for name in observations.index],
        "genes": genes,
        "header": [str(column) for column in observations.columns],
        "columns": [
            ["" if pd.isna(cell) else str(cell) for cell in observations.iloc[:, at]]
            for at in range(observations.shape[1])
        ],
        "layer": layer,
    }


def _fault(store: h5py.File, max_bytes: int) -> tuple[str, str, str] | None:
    """What must not be read: links to other files, and sizes beyond the limits however few bytes they take here."""
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
    if claimed > max_bytes:
        found = f"claims {claimed:,} bytes of values"
        return "files too large", found, "If the file is meant, raise limits.max_unpacked_bytes"
    missing = [name for name in ("obs", "var") if name not in store]
    if missing or ("X" not in store and f"layers/{COUNT_LAYER}" not in store):
        found = f"has no {' and no '.join(missing) or 'X'}"
        return "damaged files", found, "Write it with AnnData.write_h5ad"
    return None


def main() -> None:
    """Read the file named on the command line; whatever goes wrong is told in the result."""
    file, out, max_bytes, takes_layer = sys.argv[1:]
    warnings.simplefilter("ignore")
    try:
        content = read_content(Path(file), Path(out), int(max_bytes), takes_layer == "layer")
    # HDF5 and AnnData raise what they like on damaged or foreign files; every such error means the same here.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {str(error)[:200]}".split())
        found = f"is not a readable AnnData file ({reason})"
        content = {"problem": ("damaged files", found, "Write it again or copy it again")}
    Path(out, CONTENT_FILE).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
