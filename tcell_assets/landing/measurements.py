"""From a matrix as it stands in its file to genes and values of a known kind.

What is no gene is left out, and what cannot be read as counts or VST is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.counts import to_counts
from tcell_assets.landing.gene_names import (
    describe_genes,
    difference_in_names,
    mangled_names,
    reason_no_gene,
    reasons_no_genes,
    told,
    totals_among,
    without_version,
)
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.plate_map import name_fault
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings, ValueKind
from tcell_assets.landing.tables import ROW_NAME_HEADERS
from tcell_assets.landing.value_kinds import WHAT_IT_IS, JudgedValues, judge_values, rounded_evidence

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LAND_INSTEAD = (
    "Land the raw UMI counts as counts.csv, or the values of a variance stabilisation (DESeq2's vst)"
)

VALUES_LOOKED_AT = 100_000


@dataclass(frozen=True)
class Measured:
    """What was understood of a batch's values and genes.

    Attributes:
        value_kind: Counts or VST.
        evidence: The numbers that say so, or that it was stated.
        genes: How many there are and how they are called.
        left_out: What was taken for no genes, by reason: names.
    """

    value_kind: ValueKind
    evidence: str
    genes: str
    left_out: Mapping[str, Sequence[str]]


def leave_out_no_genes(matrix: WellMatrix, notes: list[str]) -> WellMatrix:
    """The matrix without the columns that are no genes, which are counted in ``notes`` and kept by name."""
    reasons = reasons_no_genes(matrix.genes, matrix.values if isinstance(matrix.values, np.ndarray) else None)
    columns = {column for positions in reasons.values() for column in positions}
    if matrix.is_transposed:
        labels: dict[str, list[str]] = {}
    else:
        labels = _label_reasons(matrix)
    names = {
        reason: [matrix.genes[position] for position in positions] for reason, positions in reasons.items()
    }
    kept = matrix
    if columns and len(columns) < len(matrix.genes):
        kept = _without(matrix, columns)
    if isinstance(kept.values, np.ndarray) and not kept.is_transposed:
        totals = totals_among(kept.values)
        if totals:
            names["totals of all others"] = [kept.genes[column] for column in totals]
            kept = _without(kept, set(totals))
    left_out: dict[str, list[str]] = {}
    for found in (matrix.left_out, labels, names):
        for reason, ours in found.items():
            left_out.setdefault(reason, []).extend(ours)
    if left_out:
        told_of = "; ".join(f"{len(ours)} {reason} ({listed(ours, 3)})" for reason, ours in left_out.items())
        notes.append(f"{matrix.file}: left out as no genes: {told_of}")
    return replace(kept, left_out=left_out)


def _without(matrix: WellMatrix, columns: set[int]) -> WellMatrix:
    kept = [column for column in range(len(matrix.genes)) if column not in columns]
    return replace(matrix, genes=[matrix.genes[column] for column in kept], values=matrix.values[:, kept])


def _label_reasons(matrix: WellMatrix) -> dict[str, list[str]]:
    """Columns of text beside the genes that name no wells."""
    found: dict[str, list[str]] = {}
    for header, cells in matrix.labels.items():
        reason = reason_no_gene(header) or "columns of text"
        names_wells = [cell.strip() for cell in cells] == matrix.row_names or header in ROW_NAME_HEADERS
        if reason != "columns of a plate map" and not names_wells:
            found.setdefault(reason, []).append(header)
    return found


def settle_kind(
    matrix: WellMatrix, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> tuple[npt.NDArray[np.float64] | csr_matrix, JudgedValues] | None:
    """The values as counts (sparse int32) or VST (dense float64), and what they were judged to be.

    Args:
        matrix: Wells × genes, nothing else among them.
        settings: A stated value kind is believed where the values can be that at all.
        problems: Receives values that are neither counts nor VST, with what to land instead.
        notes: Receives a kind that was detected, with its evidence.
    """
    return in_value_kind(
        matrix.file,
        matrix.values,
        matrix.row_names,
        matrix.genes,
        matrix.stated,
        settings,
        problems,
        notes,
    )


def in_value_kind(
    file: str,
    values: npt.NDArray[np.float64] | csr_matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    stated: ValueKind | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> tuple[npt.NDArray[np.float64] | csr_matrix, JudgedValues] | None:
    """See `settle_kind`.

    Args:
        file: Named in problems and notes.
        values: Rows × columns, finite.
        rows: Row names.
        columns: Column names.
        stated: The kind its place or name states; the settings come first, and where neither does it is detected.
        settings: The stated value kind.
        problems: Receives values of other kinds, and values that are no counts where counts are expected.
        notes: Receives a detected kind.
    """
    if (settings.value_kind or stated) == "counts":
        if settings.value_kind is None and _share_of_whole(values) < 0.5:
            # Cell by cell there would be no end of fractional counts.
            _refuse_as_counts(file, judge_values(values), problems)
            return None
        counts = to_counts(file, values, rows, columns, problems)
        rounded = rounded_evidence(counts) if counts is not None and settings.value_kind is None else None
        if rounded:
            _refuse(file, JudgedValues("linear", rounded), problems)
            return None
        return None if counts is None else (counts, JudgedValues("counts", _stated_evidence(counts)))
    judged = judge_values(values)
    if settings.value_kind == "vst":
        if judged.kind == "linear":
            _refuse(file, judged, problems)
            return None
        if judged.kind != "vst":
            notes.append(
                f"{file}: looks like {WHAT_IT_IS[judged.kind]} ({judged.evidence}), and is read as VST because "
                "screen.yaml states value_kind: vst"
            )
        return _dense(values), JudgedValues("vst", f"stated in screen.yaml; {judged.evidence}")
    if not judged.is_readable:
        _refuse(file, judged, problems)
        return None
    notes.append(f"{file}: read as {WHAT_IT_IS[judged.kind]} (detected: {judged.evidence})")
    if judged.kind == "counts":
        counts = to_counts(file, values, rows, columns, problems)
        return None if counts is None else (counts, judged)
    return _dense(values), judged


def _refuse(file: str, judged: JudgedValues, problems: ProblemCollector) -> None:
    found = f"holds {WHAT_IT_IS[judged.kind]}, neither UMI counts nor VST ({judged.evidence})"
    mend = LAND_INSTEAD
    if judged.kind != "linear":
        mend += "; if these are VST values after all, state value_kind: vst in screen.yaml"
    if judged.evidence.startswith("whole numbers"):
        mend += "; if these are raw counts after all, state value_kind: counts in screen.yaml"
    problems.add("values of another kind", file, "", found, mend)


def _stated_evidence(counts: csr_matrix) -> str:
    largest = int(counts.data.max()) if counts.nnz else 0
    zeros = 1 - counts.nnz / max(int(np.prod(counts.shape)), 1)
    return f"stated; whole numbers, largest {largest:,}, {zeros:.1%} exact zeros"


def _share_of_whole(values: npt.NDArray[np.float64] | csr_matrix) -> float:
    """Of the first values that are not 0."""
    stored = values.ravel() if isinstance(values, np.ndarray) else values.data
    measured = stored[stored != 0][:VALUES_LOOKED_AT]
    return float(np.mean(measured == np.floor(measured))) if measured.size else 1.0


def _refuse_as_counts(file: str, judged: JudgedValues, problems: ProblemCollector) -> None:
    if not judged.is_readable:
        _refuse(file, judged, problems)
        return
    found = f"is called counts, but holds no whole numbers ({judged.evidence})"
    mend = "Land the raw UMI counts, or call the file expression.csv if these are VST values"
    problems.add("values of another kind", file, "", found, mend)


def _dense(values: Any) -> npt.NDArray[np.float64]:
    dense: npt.NDArray[np.float64] = values if isinstance(values, np.ndarray) else values.toarray()
    return dense


def check_genes(file: str, genes: Sequence[str], limits: LandingLimits, problems: ProblemCollector) -> bool:
    """Whether every gene has a usable name of its own; what has not becomes a problem."""
    before = problems.total
    doubled = [gene for gene, count in Counter(genes).items() if count > 1]
    for gene in doubled[:2]:
        columns = [str(column + 1) for column, name in enumerate(genes) if name == gene]
        numbers = ", ".join(columns[:5])
        found = f"names the gene {quoted(gene)} {len(columns)} times (genes number {numbers})"
        problems.add("duplicate genes", file, "", found, "Keep one of them or make the names differ")
    problems.count_unshown("duplicate genes", file, len(doubled[2:]))
    for number, gene in enumerate(genes, start=1):
        fault = "is empty" if not gene else name_fault(gene, limits.max_name_length)
        if fault:
            found = f"names gene number {number} {quoted(gene)}, which {fault}"
            problems.add("unusable names", file, "", found, "Correct the name")
        if problems.total - before >= SHOWN_PER_KIND:
            break
    mangled = mangled_names(genes)
    if mangled:
        found = f"names {len(mangled)} genes as a spreadsheet that takes them for dates does: {told(mangled)}"
        mend = (
            "Write them again as they were, from the aligner's own output or with the column imported as text; "
            "or land Ensembl ids beside the symbols"
        )
        problems.add("mangled gene names", file, "", found, mend)
    return problems.total == before


def check_alike(
    file: str, genes: Sequence[str], first_file: str, first_genes: Sequence[str], problems: ProblemCollector
) -> list[int] | None:
    """For each gene of the first matrix its column in another one of the batch, None where a problem was noted.

    Ensembl ids that differ in their version alone are the same genes.
    """
    if list(genes) == list(first_genes):
        return list(range(len(genes)))
    column_of = {gene: column for column, gene in enumerate(genes)}
    if column_of.keys() != set(first_genes):
        plain = {without_version(gene): column for column, gene in enumerate(genes)}
        plain_first = [without_version(gene) for gene in first_genes]
        if len(plain) == len(genes) and set(plain_first) == plain.keys() and len(plain) == len(plain_first):
            return [plain[gene] for gene in plain_first]
        difference = difference_in_names(genes, first_genes, first_file)
        if difference:
            problems.add("unequal genes", file, "", difference, "Call them alike in every plate")
            return None
    lacking, extra = set(first_genes) - column_of.keys(), column_of.keys() - set(first_genes)
    for missing, has, has_not in ((lacking, first_file, file), (extra, file, first_file)):
        if missing:
            found = f"{has} has {len(missing)} genes that {has_not} has not: {listed(sorted(missing))}"
            problems.add("unequal genes", file, "", found, "Write the same genes for every plate")
    return None if lacking or extra else [column_of[gene] for gene in first_genes]


def describe(matrix: WellMatrix, judged: JudgedValues) -> Measured:
    """What was understood of a matrix."""
    kind: ValueKind = "counts" if judged.kind == "counts" else "vst"
    return Measured(kind, judged.evidence, describe_genes(matrix.genes), matrix.left_out)
