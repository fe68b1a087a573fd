"""UMI counts of wells as a sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, quoted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LARGEST_COUNT = np.iinfo(np.int32).max


@dataclass(frozen=True)
class CountMatrix:
    """UMI counts.

    Attributes:
        values: Wells × genes, whole numbers ≥ 0, int32.
        well_ids: One a row.
        genes: One a column, each once.
    """

    values: csr_matrix
    well_ids: tuple[str, ...]
    genes: tuple[str, ...]


def to_counts(
    file: str,
    values: npt.NDArray[np.float64] | csr_matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    problems: ProblemCollector,
) -> csr_matrix | None:
    """The values as sparse int32 counts.

    Args:
        file: Named in problems.
        values: Rows × columns, wells in either.
        rows: Row names.
        columns: Column names.
        problems: Receives negative, fractional and absurdly large counts.

    Returns:
        The counts, or None where a problem was noted.
    """
    # Imported here: scipy.sparse is not needed where a batch is VST, nor to load the definitions.
    from scipy.sparse import csr_matrix

    sparse = csr_matrix(values)
    faults = {
        "negative counts": sparse.data < 0,
        "fractional counts": sparse.data != np.floor(sparse.data),
        "counts too large": sparse.data > LARGEST_COUNT,
    }
    before = problems.total
    for kind, is_fault in faults.items():
        positions = np.flatnonzero(is_fault)
        at_rows = np.searchsorted(sparse.indptr, positions[:SHOWN_PER_KIND], side="right") - 1
        for position, row in zip(positions, at_rows, strict=False):
            place = f"{quoted(rows[row])}, {quoted(columns[sparse.indices[position]])}"
            found = f"holds {sparse.data[position]:g} where UMI counts are expected ({kind})"
            mend = "Write raw counts, or state value_kind: vst in screen.yaml if these are VST values"
            problems.add(kind, file, place, found, mend)
        problems.count_unshown(kind, file, len(positions[SHOWN_PER_KIND:]))
    if problems.total > before:
        return None
    sparse.eliminate_zeros()
    return sparse.astype(np.int32)
