"""The process that `guarded` starts: `… -m tcell_assets.landing.guarded_process WHAT READER PATH OUT LIMIT OPTIONS`.

It calls ``READER`` (``module:function``) and leaves what that returns as `OUT/content.json`; values it has written
itself as `OUT/values.npz`.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tcell_assets.landing.guarded import CONTENT_FILE, MEND, VALUES_FILE


def save_values(out: Path, values: Any) -> None:
    """Write a matrix, dense or sparse, for `guarded.load_values`."""
    from scipy import sparse

    if isinstance(values, np.ndarray):
        np.savez(out / VALUES_FILE, dense=values.astype(np.float64, copy=False))
        return
    # Indices beyond the matrix would crash the conversion.
    values.check_format(full_check=True)
    sparse.save_npz(out / VALUES_FILE, sparse.csr_matrix(values.tocsr()), compressed=False)


def fault_of_store(store: Any, max_bytes: int) -> tuple[str, str, str] | None:
    """What must not be read of an open HDF5 file: links to other files, and sizes beyond the limit."""
    import h5py

    from tcell_assets.landing.problems import quoted

    claimed = 0
    groups: list[Any] = [store]
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
    return None


def main() -> None:
    """Call the reader named on the command line; whatever goes wrong is told in the result."""
    what, reader, path, out, max_bytes, options = sys.argv[1:]
    warnings.simplefilter("ignore")
    module, _, function = reader.partition(":")
    try:
        read = getattr(importlib.import_module(module), function)
        content = read(Path(path), Path(out), int(max_bytes), json.loads(options))
    # These libraries raise what they like on damaged or foreign files; every such error means the same here.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {str(error)[:200]}".split())
        content = {"problem": ("damaged files", f"is not a readable {what} ({reason})", MEND)}
    Path(out, CONTENT_FILE).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
