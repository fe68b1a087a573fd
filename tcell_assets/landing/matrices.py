"""Expression and count matrices of a batch or plate, and the wells their rows stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tcell_assets.landing.columns import spelling
from tcell_assets.landing.counts import detect_value_kind, to_counts
from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.plate_map import WellEntry, name_fault
from tcell_assets.landing.problems import SHOWN_PER_KIND, ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings, ValueKind
from tcell_assets.landing.tables import NumericTable, read_numeric_table, report_non_finite
from tcell_assets.landing.wells import WELL_NAME, canonical_plate, parse_well, parse_well_id

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LABEL_HEADERS = frozenset({"well_id", "wellid", "plate", "plate_id", "well", "barcode"})
PANDAS_INDEX = "__index_level_0__"
# Of a Parquet file: all 40 000 at once take twice the memory.
COLUMNS_AT_ONCE = 1_000


@dataclass(frozen=True)
class WellMatrix:
    """A matrix whose rows are wells that are not yet matched with the plate map.

    Attributes:
        file: Name of its file.
        plate: The plate whose folder it lies in; None for a matrix of the whole batch.
        row_names: A well_id, well or barcode for each row.
        genes: Gene names.
        values: Wells × genes: float64 VST, all finite, or sparse int32 counts.
        first_row: What a person counts as its first row (2 below a header).
        is_transposed: Whether ``row_names`` and ``genes`` have changed places with the file's.
    """

    file: str
    plate: str | None
    row_names: list[str]
    genes: list[str]
    values: npt.NDArray[np.float64] | csr_matrix
    first_row: int = 2
    is_transposed: bool = False

    @property
    def value_kind(self) -> ValueKind:
        """What the values are."""
        return "vst" if isinstance(self.values, np.ndarray) else "counts"


def read_matrix(
    file: LandingFile,
    batch: str,
    plate: str | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> WellMatrix | None:
    """Read a matrix of wells × genes (or genes × wells, see `orient`) from CSV, TSV or Parquet.

    Args:
        file: The first column names the wells (``well_id``, ``well`` or ``barcode``, possibly after R's row names or
            beside a ``plate``), every other column is a gene.
        batch: The batch it belongs to.
        plate: The plate whose folder it lies in, or None.
        settings: The stated value kind; rows, columns, bytes and the length of names are limited.
        problems: Receives what keeps the file from being read.
        notes: Receives the value kind where it was detected.

    Returns:
        The matrix as it stands in the file, or None where a problem was noted.
    """
    is_parquet = file.name.endswith(".parquet")
    if is_parquet:
        table = _read_parquet(file, settings.limits, problems)
    else:
        table = read_numeric_table(file, LABEL_HEADERS, settings.limits, problems)
    if table is None:
        return None
    row_names = _row_names(table, batch)
    if row_names is None:
        found = f"names no wells: its columns begin {listed(table.columns)}"
        problems.add("missing columns", file.name, "row 1", found, "Name the first column 'well_id'")
        return None
    stated: ValueKind | None = "counts" if file.name.rpartition("/")[2].startswith("counts.") else None
    values = in_value_kind(
        file.name, table.values, row_names, table.columns, stated, settings, problems, notes
    )
    if values is None:
        return None
    return WellMatrix(file.name, plate, row_names, table.columns, values, first_row=1 if is_parquet else 2)


def in_value_kind(
    file: str,
    values: npt.NDArray[np.float64] | csr_matrix,
    rows: list[str],
    columns: list[str],
    stated: ValueKind | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> npt.NDArray[np.float64] | csr_matrix | None:
    """VST as a dense float64 array, counts as a sparse int32 matrix.

    Args:
        file: Named in problems and notes.
        values: Rows × columns, finite.
        rows: Row names.
        columns: Column names.
        stated: The kind its place or name states; the settings come first, and where neither does it is detected.
        settings: The stated value kind.
        problems: Receives values that are no counts where counts are expected.
        notes: Receives a detected kind.

    Returns:
        The values, or None where a problem was noted.
    """
    kind = settings.value_kind or stated
    if kind is None:
        kind = detect_value_kind(values if isinstance(values, np.ndarray) else values.data)
        notes.append(f"{file}: read as {'VST values' if kind == 'vst' else 'UMI counts'} (detected)")
    if kind == "counts":
        return to_counts(file, values, rows, columns, problems)
    return values if isinstance(values, np.ndarray) else values.toarray()


def check_genes(file: str, genes: Sequence[str], limits: LandingLimits, problems: ProblemCollector) -> bool:
    """Whether every gene has a usable name and stands once; what has not becomes a problem."""
    before = problems.total
    for gene, count in Counter(genes).items():
        if count > 1:
            columns = [str(column + 1) for column, name in enumerate(genes) if name == gene][:5]
            found = f"names the gene {quoted(gene)} {count} times (genes number {', '.join(columns)})"
            problems.add("duplicate genes", file, "", found, "Keep one of them or make the names differ")
        fault = "is empty" if not gene else name_fault(gene, limits.max_name_length)
        if fault:
            number = genes.index(gene) + 1
            found = f"names gene number {number} {quoted(gene)}, which {fault}"
            problems.add("unusable names", file, "", found, "Correct the name")
        if problems.total - before >= SHOWN_PER_KIND:
            break
    return problems.total == before


class WellLookup:
    """Finds the wells of a plate map by well_id, by well name or by barcode."""

    def __init__(self, batch: str, entries: Iterable[WellEntry], settings: LandingSettings) -> None:
        self._batch = batch
        self._pattern = settings.well_pattern or WELL_NAME
        self._entries = tuple(entries)

    def match(self, names: Sequence[str], plate: str | None) -> list[str | None]:
        """The well_id for each name, None where the plate map has no such well.

        Names are read in the one way (well_id, ``<plate>_<well>``, barcode or well) that finds most wells. A well
        name alone is enough where only one plate comes into question.
        """
        entries = [entry for entry in self._entries if plate is None or entry.id.plate == plate]
        known = {str(entry.id) for entry in entries}
        plates = {entry.id.plate for entry in entries}
        times = Counter(entry.barcode for entry in entries)
        barcodes = {
            entry.barcode: str(entry.id) for entry in entries if entry.barcode and times[entry.barcode] == 1
        }
        readings = [
            [well if well in known else None for well in map(self._well_id, names)],
            [
                well if well in known else None
                for well in (self._well_id(f"{self._batch}_{name}") for name in names)
            ],
            # 10x appends the library to each barcode: AACAGG-1.
            [barcodes.get(name) or barcodes.get(name.removesuffix("-1")) for name in names],
        ]
        if len(plates) == 1:
            only = next(iter(plates))
            wells = (self._well(name, only) for name in names)
            readings.append([well if well in known else None for well in wells])
        return max(readings, key=lambda reading: sum(well is not None for well in reading))

    def _well_id(self, name: str) -> str | None:
        try:
            return str(parse_well_id(name, self._batch))
        except ValueError:
            return None

    def _well(self, name: str, plate: str) -> str | None:
        try:
            return f"{self._batch}_{plate}_{parse_well(name, self._pattern).name}"
        except ValueError:
            return None


def orient(matrix: WellMatrix, lookup: WellLookup) -> WellMatrix:
    """The matrix with wells in rows: turned where more column names than row names are wells of the plate map."""
    in_rows = sum(well is not None for well in lookup.match(matrix.row_names, matrix.plate))
    in_columns = sum(well is not None for well in lookup.match(matrix.genes, matrix.plate))
    if in_columns <= in_rows:
        return matrix
    turned = matrix.values.T if isinstance(matrix.values, np.ndarray) else matrix.values.T.tocsr()
    return replace(matrix, row_names=matrix.genes, genes=matrix.row_names, values=turned, is_transposed=True)


def match_rows(
    matrix: WellMatrix,
    lookup: WellLookup,
    unmapped: Literal["refuse", "drop"],
    problems: ProblemCollector,
    notes: list[str],
) -> list[str | None]:
    """The well_id of each row, None where it is no well of the plate map.

    Args:
        matrix: Wells in rows.
        lookup: The plate map.
        unmapped: Whether rows that are no well of the plate map are a problem or a note.
        problems: Receives these and wells that stand twice.
        notes: Receives these.
    """
    wells = lookup.match(matrix.row_names, matrix.plate)
    unmatched = [row for row, well in enumerate(wells) if well is None]
    names = listed([matrix.row_names[row] for row in unmatched])
    found = f"{len(unmatched)} of {len(wells)} wells (or barcodes) are not on the plate map: {names}"
    if unmatched and unmapped == "drop" and len(unmatched) < len(wells):
        notes.append(f"{matrix.file}: {found}; they were dropped")
    elif unmatched:
        mend = "Add them to the plate map, correct the names, or state unmapped_wells: drop in screen.yaml"
        problems.add("wells not on the plate map", matrix.file, _place(matrix, unmatched), found, mend)
    first: dict[str, int] = {}
    for row, well in enumerate(wells):
        if well is not None and well in first:
            rows = _place(matrix, [first[well], row])
            problems.add(
                "duplicate wells", matrix.file, rows, f"holds the well {well} twice", "Keep one of them"
            )
        elif well is not None:
            first[well] = row
    return wells


def _place(matrix: WellMatrix, rows: list[int]) -> str:
    what, first = ("column", 2) if matrix.is_transposed else ("row", matrix.first_row)
    numbers = ", ".join(str(row + first) for row in rows[:5])
    return f"{what}{'s' if len(rows) > 1 else ''} {numbers}{', …' if len(rows) > 5 else ''}"


def _row_names(table: NumericTable, batch: str) -> list[str] | None:
    """One name a row from the label columns."""
    by_spelling = {spelling(name): values for name, values in table.labels.items()}
    plates, wells = by_spelling.get("plate") or by_spelling.get("plateid"), by_spelling.get("well")
    if plates and wells:
        try:
            pairs = zip(plates, wells, strict=True)
            return [f"{batch}_{canonical_plate(plate)}_{well.strip()}" for plate, well in pairs]
        except ValueError:
            return [f"{plate}_{well}" for plate, well in zip(plates, wells, strict=True)]
    named = [by_spelling[text] for text in ("wellid", "well", "barcode") if text in by_spelling]
    names = named or list(table.labels.values())
    return [name.strip() for name in names[0]] if names else None


def _read_parquet(
    file: LandingFile, limits: LandingLimits, problems: ProblemCollector
) -> NumericTable | None:
    try:
        return _read_parquet_columns(file, limits, problems)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        found = (
            f"is not a readable Parquet file ({str(error).splitlines()[0][:200] if str(error) else error!r})"
        )
        problems.add("damaged files", file.name, "", found, "Write it again or copy it again")
        return None


def _read_parquet_columns(
    file: LandingFile, limits: LandingLimits, problems: ProblemCollector
) -> NumericTable | None:
    if file.bytes == 0:
        problems.add("empty files", file.name, "", "is empty (0 bytes)", "Copy the file again")
        return None
    with pq.ParquetFile(file.path) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
        rows, names = metadata.num_rows, schema.names
        packed = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        claimed = max(packed, rows * len(names) * 8)
        if claimed > limits.max_unpacked_bytes or max(rows, len(names)) > limits.max_genes:
            found = f"claims {rows:,} rows × {len(names):,} columns, {claimed:,} bytes in memory"
            mend = "If the file is meant, raise limits.max_unpacked_bytes or limits.max_genes"
            problems.add("files too large", file.name, "", found, mend)
            return None
        if rows == 0:
            problems.add("files without rows", file.name, "", "has no row", "Add one row a well")
            return None
        if len(set(names)) < len(names):
            doubled = [name for name, count in Counter(names).items() if count > 1]
            found = f"names columns more than once: {listed(doubled)}"
            problems.add("duplicate genes", file.name, "", found, "Make the names differ")
            return None
        types = dict(zip(names, schema.types, strict=True))
    labels = [name for name, kind in types.items() if _is_text(kind) or name == PANDAS_INDEX]
    columns = [name for name in names if name not in set(labels)]
    wrong = [
        name
        for name in columns
        if not (pa.types.is_integer(types[name]) or pa.types.is_floating(types[name]))
    ]
    for name in wrong[:SHOWN_PER_KIND]:
        found = f"has the column {quoted(name)} of type {types[name]}, which holds no numbers"
        problems.add("non-numeric columns", file.name, "", found, "Write numbers or remove the column")
    if wrong or not columns:
        if not columns:
            problems.add("files without numbers", file.name, "", "has no column of numbers", "Add the genes")
        return None
    values = np.empty((rows, len(columns)))
    # A dictionary keeps one long text repeated in every row from filling the memory.
    texts_of = [name for name in labels if _is_text(types[name])]
    with pq.ParquetFile(file.path, read_dictionary=texts_of) as parquet:
        label_table = parquet.read(labels)
        for start in range(0, len(columns), COLUMNS_AT_ONCE):
            block = columns[start : start + COLUMNS_AT_ONCE]
            table = parquet.read(block)
            for position, name in enumerate(block, start):
                values[:, position] = table[name].to_numpy()
    texts: dict[str, list[str]] = {}
    for name in labels:
        if any(_longest(chunk) > limits.max_name_length for chunk in label_table[name].chunks):
            found = f"has a name longer than {limits.max_name_length} characters in column {quoted(name)}"
            problems.add("unusable names", file.name, "", found, "Correct the name")
            return None
        texts[name] = ["" if text is None else str(text) for text in label_table[name].to_pylist()]
    result = NumericTable(file.name, texts, columns, values)
    return result if report_non_finite(result, 1, problems) else None


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _longest(chunk: pa.Array) -> int:
    names = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    return max((len(str(name)) for name in names.to_pylist()), default=0)
