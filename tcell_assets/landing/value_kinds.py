"""What the numbers of a matrix are: UMI counts, variance-stabilised values, or what must not be read as either.

Measured on counts of a real 384-well MAC-seq plate, of simulated screens and of deep wells, each as VST, CPM, log1p of
CPM, z-scores and fractions (`tcell_assets_tests/landing/test_value_kinds.py` repeats it):

| values | smallest | largest | exact zeros | spread of gene means ÷ sd within a gene |
| --- | --- | --- | --- | --- |
| VST | 1.7 to 6.7 | 7 to 15 | none | 1.6 to 4 |
| log2(1 + counts) of 60 well expressed genes | 0 | 9 | 1 % | 4 |
| CPM | 0 | 10 000 to 225 000 | 1 to 83 % | 4 to 8 |
| log1p of CPM or of normalised counts | 0 | 4 to 18 | 2 to 83 % | 1 to 5 |
| z-scores and centred values | -15 | 18 | none to 55 % | 0 to .3 |
| fractions | 0 | .1 to .4 | 1 to 83 % | 5 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Log-normalised values have a few whole numbers besides zeros; damaged counts have a few that are not whole.
WHOLE_SHARE_OF_COUNTS = 0.95
# A count fits 31 bits, so its log2 is below 32; VST of a well with ten million UMI ends at 23.
LARGEST_LOG_VALUE = 40.0
# VST gives a count of 0 a value that is 0 by accident only. Deep counts of well expressed genes as log2(1 + n), which
# behave like VST, had 1 %; log1p of sparse plates had 25 to 83 %, of deep ones with 2 to 4 % the totals tell.
ZERO_SHARE_OF_LOG1P = 0.05
# Back from the logarithm, the totals of normalised wells are equal but for rounding (two decimals of 60 genes: .1 %);
# those of raw counts vary by 5 % and more.
EQUAL_BACK_TRANSFORMED = 5e-3
# Of scaled genes the means lie within .3 sd even where one plate of a scaled screen is looked at; of fold changes
# against four wells they spread over up to 1.2 sd around a mean of up to .5; of VST over at least 1.6 sd, around 9.
CENTRED_SPREAD, CENTRED_MEAN = 1.3, 2.0
FEWEST_WELLS_FOR_SPREAD, FEWEST_GENES_FOR_SPREAD = 24, 20
FEWEST_WELLS_FOR_EXACT, FEWEST_GENES_FOR_EXACT = 6, 5
# CPM of 2 000 genes rounded to whole numbers sum to 1e6 within 1.2e-4 of it, and not all to the same; counts that were
# drawn down to one depth have exactly that.
EQUAL_ROUNDED_TOTALS = 1e-3
# Rounding to two decimals moves a total of 1e6 by less than 1e-6 of it; totals of VST vary by 1e-3 at the least.
EQUAL_TOTALS = 1e-4
GENES_AT_ONCE = 1_000
VALUES_AT_ONCE = 2**20

Kind = Literal["counts", "vst", "linear", "log1p", "z-scores", "fractions"]

WHAT_IT_IS: dict[Kind, str] = {
    "counts": "UMI counts",
    "vst": "VST values",
    "linear": "CPM, TPM or other normalised counts that are not on a log scale",
    "log1p": "log1p of counts or of normalised counts",
    "z-scores": "z-scores, or values centred on the mean of each gene",
    "fractions": "fractions of a well's total",
}


@dataclass(frozen=True)
class JudgedValues:
    """What the values of a matrix look like.

    Attributes:
        kind: What they are taken for.
        evidence: The numbers that say so: ``smallest 0, largest 9.13, 1.2 % exact zeros``.
    """

    kind: Kind
    evidence: str

    @property
    def is_readable(self) -> bool:
        """Whether a batch may land as this."""
        return self.kind in ("counts", "vst")


def are_counts(values: npt.NDArray[np.float64]) -> bool:
    """Whether nearly every non-zero value is a positive whole number.

    Args:
        values: All values of a matrix, or its non-zero ones; any shape.
    """
    flat = values.ravel()
    measured = whole = 0
    # In pieces: the whole matrix would be copied twice.
    for start in range(0, flat.size, VALUES_AT_ONCE):
        piece = flat[start : start + VALUES_AT_ONCE]
        measured += int(np.count_nonzero(piece))
        whole += int(np.count_nonzero((piece > 0) & (piece == np.floor(piece))))
    return whole >= WHOLE_SHARE_OF_COUNTS * measured


def judge_values(values: npt.NDArray[np.float64] | csr_matrix) -> JudgedValues:
    """Tell counts and VST from each other and from what is neither.

    Args:
        values: Wells × genes, finite; genes only.
    """
    stored = values.ravel() if isinstance(values, np.ndarray) else values.data
    n_zero = int(np.prod(values.shape)) - int(np.count_nonzero(stored))
    smallest, largest = _range(values, stored)
    zero_share = n_zero / max(int(np.prod(values.shape)), 1)
    evidence = f"smallest {smallest:.4g}, largest {largest:.4g}, {zero_share:.1%} exact zeros"
    if are_counts(stored):
        rounded = rounded_evidence(values)
        if rounded:
            return JudgedValues("linear", f"{rounded}, {evidence}")
        return JudgedValues("counts", f"whole numbers, {evidence}")
    if largest > LARGEST_LOG_VALUE:
        return JudgedValues("linear", f"{evidence}; no log2 of a count exceeds 32")
    if smallest >= 0:
        totals = np.asarray(values.sum(axis=1)).ravel()
        if len(totals) >= FEWEST_WELLS_FOR_EXACT and largest <= 1 and _are_equal(totals, 1.0):
            return JudgedValues("fractions", f"{evidence}, every well sums to 1")
        if len(totals) >= FEWEST_WELLS_FOR_EXACT and any(_are_equal(totals, one) for one in (1e2, 1e4, 1e6)):
            return JudgedValues("linear", f"{evidence}, every well sums to {np.median(totals):.6g}")
        if zero_share >= ZERO_SHARE_OF_LOG1P:
            return JudgedValues("log1p", f"{evidence}; VST of a count of 0 is not 0")
        if n_zero and isinstance(values, np.ndarray) and len(totals) >= FEWEST_WELLS_FOR_EXACT:
            base = next((base for base in (np.e, 2.0, 10.0) if _has_equal_totals(values, base)), None)
            if base is not None:
                name = {np.e: "e", 2.0: "2", 10.0: "10"}[base]
                return JudgedValues(
                    "log1p", f"{evidence}; with {name} ** value - 1 every well has the same total"
                )
        return JudgedValues("vst", evidence)
    centred = _centred_evidence(values) if isinstance(values, np.ndarray) else None
    if centred:
        return JudgedValues("z-scores", f"{evidence}, {centred}")
    return JudgedValues("vst", evidence)


def rounded_evidence(values: npt.NDArray[np.float64] | csr_matrix) -> str | None:
    """What says that whole numbers are normalised counts that were rounded, where they are."""
    totals = np.asarray(values.sum(axis=1), dtype=np.float64).ravel()
    totals = totals[totals > 0]
    if len(totals) < FEWEST_WELLS_FOR_EXACT:
        return None
    typical = float(np.median(totals))
    spread = float(np.ptp(totals))
    if not 0 < spread < EQUAL_ROUNDED_TOTALS * typical:
        return None
    return f"whole numbers, but every well sums to {typical:.6g} within {spread / typical:.1g} of it"


def _range(
    values: npt.NDArray[np.float64] | csr_matrix, stored: npt.NDArray[np.float64]
) -> tuple[float, float]:
    if not stored.size:
        return 0.0, 0.0
    smallest, largest = float(stored.min()), float(stored.max())
    if not isinstance(values, np.ndarray) and stored.size < np.prod(values.shape):
        return min(smallest, 0.0), max(largest, 0.0)
    return smallest, largest


def _are_equal(totals: npt.NDArray[np.float64], wanted: float) -> bool:
    return bool(np.abs(totals / wanted - 1.0).max() < EQUAL_TOTALS)


def _has_equal_totals(values: npt.NDArray[np.float64], base: float) -> bool:
    totals = np.zeros(len(values))
    for start in range(0, values.shape[1], GENES_AT_ONCE):
        totals += (base ** values[:, start : start + GENES_AT_ONCE] - 1.0).sum(axis=1)
    return bool(totals.std() < EQUAL_BACK_TRANSFORMED * totals.mean())


def _centred_evidence(values: npt.NDArray[np.float64]) -> str | None:
    """How far genes are centred and scaled, where they are."""
    n_wells, n_genes = values.shape
    means, spreads = np.empty(n_genes), np.empty(n_genes)
    for start in range(0, n_genes, GENES_AT_ONCE):
        block = values[:, start : start + GENES_AT_ONCE]
        means[start : start + GENES_AT_ONCE] = block.mean(axis=0)
        spreads[start : start + GENES_AT_ONCE] = block.std(axis=0)
    varies = spreads > 0
    if not varies.any():
        return None
    means, spreads = means[varies], spreads[varies]
    typical = float(spreads.mean())
    evidence = f"genes have a mean of {means.mean():.2g} ± {means.std():.2g} and an sd of {typical:.2g}"
    if n_wells >= FEWEST_WELLS_FOR_EXACT and varies.sum() >= FEWEST_GENES_FOR_EXACT:
        is_centred = np.abs(means).max() < 0.01 * typical
        if is_centred:
            return evidence
    if n_wells < FEWEST_WELLS_FOR_SPREAD or varies.sum() < FEWEST_GENES_FOR_SPREAD:
        return None
    is_centred = abs(float(means.mean())) < CENTRED_MEAN * typical and means.std() < CENTRED_SPREAD * typical
    return evidence if is_centred else None
