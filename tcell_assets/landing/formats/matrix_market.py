"""Counts as sparse text with tables of names: 10x and STARsolo write genes × cells, kb-python cells × genes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tcell_assets.landing.files import LandingFile, read_file_bytes
from tcell_assets.landing.formats import MatrixFormat, Source
from tcell_assets.landing.gene_names import names_of_genes
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TABLE_SUFFIXES = (".tsv", ".tsv.gz", ".txt", ".txt.gz")
GENE_EXPRESSION = "Gene Expression"
TOOL_FOLDERS = frozenset(
    {
        "Solo.out",
        "Gene",
        "GeneFull",
        "raw",
        "filtered",
        "outs",
        "raw_feature_bc_matrix",
        "filtered_feature_bc_matrix",
        "raw_gene_bc_matrices",
        "filtered_gene_bc_matrices",
        "counts_unfiltered",
        "counts_filtered",
    }
)
"""Folders that STARsolo, Cell Ranger and kb-python put between a plate's folder and its files."""

SIZE_LINE = re.compile(rb"[ \t]*(\d{1,18})[ \t]+(\d{1,18})[ \t]+(\d{1,18})[ \t]*")
# "1 1 1" and its line end; the last line may lack the latter.
SHORTEST_ENTRY_BYTES = 6


# kb-python writes the sums over transcripts and, with --mtx-dir, other matrices beside; only this one holds genes.
KB_STEM = "cells_x_genes"


@dataclass(frozen=True)
class Names:
    """How a tool calls its three files, without ``.gz``.

    Attributes:
        matrix: The sparse matrix.
        wells: One barcode a line.
        genes: Gene id, symbol, and more, one gene a line; the first that is there is taken.
        symbols: One symbol a line in the order of ``genes``, where the tool writes them apart.
        genes_in_rows: Whether the matrix is genes × cells.
    """

    matrix: str
    wells: tuple[str, ...]
    genes: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    genes_in_rows: bool = True


TEN_X = Names("matrix.mtx", ("barcodes.tsv",), ("features.tsv", "genes.tsv"))
KB_PYTHON = Names(
    f"{KB_STEM}.mtx",
    (f"{KB_STEM}.barcodes.txt",),
    (f"{KB_STEM}.genes.txt",),
    (f"{KB_STEM}.genes.names.txt",),
    genes_in_rows=False,
)
TOOLS = (TEN_X, KB_PYTHON)


def matrix_of(name: str) -> str | None:
    """The folder's matrix that a file belongs to."""
    folder, _, base = name.rpartition("/")
    plain = base.removesuffix(".gz")
    for tool in TOOLS:
        if plain in (tool.matrix, *tool.wells, *tool.genes, *tool.symbols):
            return f"{folder}/{tool.matrix}".lstrip("/")
    return None


def plate_folder_of(matrix: str) -> str:
    """The folder without what the tools put below it: ``A1/Solo.out/Gene/raw/matrix.mtx`` → ``A1``."""
    parts = matrix.split("/")[:-1]
    while parts and parts[-1] in TOOL_FOLDERS:
        parts.pop()
    return "/".join(parts)


def read(
    source: Source, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read the counts of one plate.

    Genes are called by their symbol; where a symbol stands for several genes, each of these by its id. Features that
    are no genes, as antibodies and guides are, are left out.
    """
    before = problems.total
    tool = next(tool for tool in TOOLS if source.name.endswith(tool.matrix))
    matrix, barcodes_file, features_file = (
        _first(source, names) for names in ((tool.matrix,), tool.wells, tool.genes)
    )
    for what, file in ((tool.matrix, matrix), (tool.wells[0], barcodes_file), (tool.genes[0], features_file)):
        if file is None:
            mend = "Copy all three files that the aligner wrote"
            folder = source.name.rpartition("/")[0] or "."
            problems.add("missing files", folder, "", f"holds no {what} (or {what}.gz)", mend)
    if matrix is None or barcodes_file is None or features_file is None:
        return None
    limits = settings.limits
    barcodes = _read_lines(barcodes_file, limits.max_wells, limits, problems)
    features = _read_lines(features_file, limits.max_genes, limits, problems)
    counts = _read_market(matrix, limits, tool.genes_in_rows, problems)
    symbols = _read_symbols(source, tool, features, limits, problems)
    if barcodes is None or features is None or counts is None:
        return None
    for names, length, file in (
        (features, counts.shape[0], features_file),
        (barcodes, counts.shape[1], barcodes_file),
    ):
        if len(names) != length:
            what = "rows" if (file is features_file) == tool.genes_in_rows else "columns"
            found = f"has {len(names)} lines, but {matrix.name} has {length} {what}"
            problems.add(
                "unequal lengths", file.name, "", found, "Copy the three files of one run of the aligner"
            )
    if problems.total > before:
        return None
    kinds = [line[2].strip() if len(line) > 2 else "" for line in features]
    is_gene = [kind in ("", GENE_EXPRESSION) or GENE_EXPRESSION not in kinds for kind in kinds]
    others: dict[str, list[str]] = {}
    for line, kind, kept in zip(features, kinds, is_gene, strict=True):
        if not kept:
            others.setdefault(f"features of type {kind}", []).append(line[0].strip())
    ids = [line[0].strip() for line, kept in zip(features, is_gene, strict=True) if kept]
    genes, n_shared, n_mangled = names_of_genes(
        ids, [symbol for symbol, kept in zip(symbols, is_gene, strict=True) if kept]
    )
    if n_shared:
        notes.append(
            f"{features_file.name}: {n_shared} genes share their symbol with another and are called by their id"
        )
    if n_mangled:
        notes.append(
            f"{features_file.name}: {n_mangled} symbols that a spreadsheet turned into dates were replaced by their id"
        )
    values = counts.T.tocsr() if all(is_gene) else counts[np.flatnonzero(is_gene)].T.tocsr()
    wells = [line[0].strip() for line in barcodes]
    return WellMatrix(
        matrix.name, source.plate, wells, genes, values, first_row=1, stated="counts", left_out=others
    )


def _first(source: Source, names: Sequence[str]) -> LandingFile | None:
    """The first of these files that is there, packed or not."""
    bases = {name.rpartition("/")[2]: file for name, file in source.files.items()}
    candidates = [packed for name in names for packed in (name, f"{name}.gz")]
    return next((bases[name] for name in candidates if name in bases), None)


def _read_symbols(
    source: Source,
    tool: Names,
    features: list[list[str]] | None,
    limits: LandingLimits,
    problems: ProblemCollector,
) -> list[str]:
    """One symbol a gene, its id where there is none."""
    if features is None:
        return []
    file = _first(source, tool.symbols)
    apart = None if file is None else _read_lines(file, limits.max_genes, limits, problems)
    if apart is not None and len(apart) == len(features):
        return [line[0].strip() for line in apart]
    return [(line[1] if len(line) > 1 and line[1].strip() else line[0]).strip() for line in features]


def _read_lines(
    file: LandingFile, max_lines: int, limits: LandingLimits, problems: ProblemCollector
) -> list[list[str]] | None:
    """The tab-separated fields of each line."""
    raw = read_file_bytes(file, limits, problems)
    if raw is None:
        return None
    try:
        lines = raw.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        problems.add("encodings", file.name, f"byte {error.start + 1}", "is not UTF-8", "Copy the file again")
        return None
    if len(lines) > max_lines:
        found = f"has {len(lines):,} lines, more than the limit of {max_lines:,}"
        problems.add("files too large", file.name, "", found, "Keep the barcodes of this plate's wells only")
        return None
    return [line.split("\t") for line in lines]


def _read_market(
    file: LandingFile, limits: LandingLimits, genes_in_rows: bool, problems: ProblemCollector
) -> csr_matrix | None:
    """A Matrix Market file as genes × wells; what its header claims is checked before anything is allocated."""
    raw = read_file_bytes(file, limits, problems)
    if raw is None:
        return None
    header = re.match(
        rb"%%MatrixMarket matrix coordinate (integer|real) general[ \t\r]*\n", raw, re.IGNORECASE
    )
    body = header.end() if header else 0
    while raw[body : body + 1] == b"%":
        body = raw.find(b"\n", body) + 1 or len(raw)
    end = raw.find(b"\n", body)
    size = SIZE_LINE.fullmatch(raw[body : end if end >= 0 else len(raw)].rstrip(b"\r"))
    if header is None or size is None:
        found = f"does not begin as a sparse matrix of numbers ({quoted(raw[:40].decode('latin-1'))})"
        problems.add(
            "damaged files", file.name, "row 1", found, "Write it as MatrixMarket coordinate integer general"
        )
        return None
    rows, columns, entries = (int(number) for number in size.groups())
    genes, wells = (rows, columns) if genes_in_rows else (columns, rows)
    if genes > limits.max_genes or wells > limits.max_wells:
        found = (
            f"claims {genes:,} genes × {wells:,} wells, more than {limits.max_genes:,} × {limits.max_wells:,}"
        )
        problems.add("files too large", file.name, "", found, "Keep the barcodes of this plate's wells only")
        return None
    room = (len(raw) - body) // SHORTEST_ENTRY_BYTES + 1
    if entries > min(room, genes * wells):
        found = f"claims {entries:,} entries, but there is room for {min(room, genes * wells):,} at most"
        problems.add("damaged files", file.name, "", found, "The copy was probably cut short: copy it again")
        return None
    fault, matrix = _parse_entries(raw[end + 1 :] if end >= 0 else b"", genes, wells, entries, genes_in_rows)
    if fault:
        problems.add("damaged files", file.name, "", fault, "Copy the file again")
    return matrix


def _parse_entries(
    text: bytes, genes: int, wells: int, entries: int, genes_in_rows: bool
) -> tuple[str, csr_matrix | None]:
    """The lines ``gene well count``, or ``well gene count``, as genes × wells, or what is wrong with them.

    Not scipy's reader: a few changed bytes make it crash the process.
    """
    from scipy.sparse import coo_matrix

    try:
        with warnings.catch_warnings():
            # NumPy before 2.3 only warns of text that is no number.
            warnings.simplefilter("error", DeprecationWarning)
            numbers = np.fromstring(text, sep=" ")
    except (ValueError, DeprecationWarning):
        return "holds lines that are not three numbers", None
    if numbers.size != 3 * entries:
        return f"holds {numbers.size} numbers, but its header claims {entries:,} lines of three", None
    rows, columns, values = numbers.reshape(-1, 3).T
    if not genes_in_rows:
        rows, columns = columns, rows
    is_cell = (rows >= 1) & (rows <= genes) & (columns >= 1) & (columns <= wells)
    is_cell &= (rows == np.floor(rows)) & (columns == np.floor(columns)) & np.isfinite(values)
    if not is_cell.all():
        line = int(np.flatnonzero(~is_cell)[0])
        shown = " ".join(f"{number:g}" for number in numbers[3 * line : 3 * line + 3])
        return (
            f"holds the line '{shown}', which is no count of one of {genes} genes in one of {wells} wells",
            None,
        )
    positions = (rows.astype(np.int64) - 1, columns.astype(np.int64) - 1)
    matrix = coo_matrix((values, positions), shape=(genes, wells)).tocsr()
    if matrix.nnz != entries:
        return f"holds {entries - matrix.nnz} cells more than once", None
    return "", matrix


FORMAT = MatrixFormat("10x, STARsolo or kb-python matrix", matrix_of, plate_folder_of, read)
