"""UMI counts of wells as a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.screen_settings import ValueKind

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


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


def detect_value_kind(values: npt.NDArray[np.float64]) -> ValueKind:
    """Counts where every value is a whole number ≥ 0, else VST.

    Args:
        values: All values of a matrix, or its non-zero ones.
    """
    return "counts" if bool((values >= 0).all() and (values == np.floor(values)).all()) else "vst"
