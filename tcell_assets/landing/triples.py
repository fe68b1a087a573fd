"""Counts as 10x or STARsolo write them: `matrix.mtx`, `barcodes.tsv` and `features.tsv`, genes in rows."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tcell_assets.landing.counts import to_counts
from tcell_assets.landing.files import LandingFile, read_file_bytes
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector, quoted
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MATRIX_NAMES = ("matrix.mtx", "matrix.mtx.gz")
BARCODE_NAMES = ("barcodes.tsv", "barcodes.tsv.gz")
FEATURE_NAMES = ("features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz")
TRIPLE_NAMES = frozenset({*MATRIX_NAMES, *BARCODE_NAMES, *FEATURE_NAMES})
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
    }
)
"""Folders that STARsolo and Cell Ranger put between a plate's folder and its files."""

SIZE_LINE = re.compile(rb"[ \t]*(\d{1,18})[ \t]+(\d{1,18})[ \t]+(\d{1,18})[ \t]*")
# "1 1 1" and its line end; the last line may lack the latter.
SHORTEST_ENTRY_BYTES = 6


@dataclass(frozen=True)
class Triple:
    """The three files of one plate; ``None`` where one is missing.

    Attributes:
        folder: Where they lie inside the batch folder.
        plate: The plate whose folder that is in; None directly in the batch folder.
        matrix: Counts, genes × barcodes.
        barcodes: One a line.
        features: Gene id, symbol, and more, one gene a line.
    """

    folder: str
    plate: str | None
    matrix: LandingFile | None
    barcodes: LandingFile | None
    features: LandingFile | None


def plate_folder_of(folder: str) -> str:
    """The folder without what the tools put below it: ``A1/Solo.out/Gene/raw`` → ``A1``."""
    parts = folder.split("/") if folder else []
    while parts and parts[-1] in TOOL_FOLDERS:
        parts.pop()
    return "/".join(parts)


def read_triple(
    triple: Triple, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read the counts of one plate.

    Genes are called by their symbol; where a symbol stands for several genes, each of these by its id.

    Args:
        triple: The three files.
        settings: Sizes and the length of names are limited.
        problems: Receives missing, damaged and disagreeing files.
        notes: Receives how many genes are called by their id.

    Returns:
        Wells × genes, row names the barcodes, or None where a problem was noted.
    """
    before = problems.total
    for what, file in (
        ("matrix.mtx", triple.matrix),
        ("barcodes.tsv", triple.barcodes),
        ("features.tsv", triple.features),
    ):
        if file is None:
            mend = "Copy all three files that the aligner wrote"
            problems.add("missing files", triple.folder or ".", "", f"holds no {what} (or {what}.gz)", mend)
    if triple.matrix is None or triple.barcodes is None or triple.features is None:
        return None
    limits = settings.limits
    barcodes = _read_lines(triple.barcodes, limits.max_wells, limits, problems)
    features = _read_lines(triple.features, limits.max_genes, limits, problems)
    counts = _read_market(triple.matrix, limits, problems)
    if barcodes is None or features is None or counts is None:
        return None
    for names, length, what in ((features, counts.shape[0], "rows"), (barcodes, counts.shape[1], "columns")):
        if len(names) != length:
            file = triple.features if what == "rows" else triple.barcodes
            found = f"has {len(names)} lines, but {triple.matrix.name} has {length} {what}"
            problems.add(
                "unequal lengths", file.name, "", found, "Copy the three files of one run of the aligner"
            )
    if problems.total > before:
        return None
    wells = [line[0].strip() for line in barcodes]
    genes = _gene_names(features, triple.features.name, notes)
    values = to_counts(triple.matrix.name, counts.T.tocsr(), wells, genes, problems)
    if values is None:
        return None
    return WellMatrix(triple.matrix.name, triple.plate, wells, genes, values, first_row=1)


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


def _read_market(file: LandingFile, limits: LandingLimits, problems: ProblemCollector) -> csr_matrix | None:
    """A Matrix Market file; what its header claims is checked before anything is allocated."""
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
    genes, wells, entries = (int(number) for number in size.groups())
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
    fault, matrix = _parse_entries(raw[end + 1 :] if end >= 0 else b"", genes, wells, entries)
    if fault:
        problems.add("damaged files", file.name, "", fault, "Copy the file again")
    return matrix


def _parse_entries(text: bytes, genes: int, wells: int, entries: int) -> tuple[str, csr_matrix | None]:
    """The lines ``gene well count`` as genes × wells, or what is wrong with them.

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


def _gene_names(features: Sequence[list[str]], file: str, notes: list[str]) -> list[str]:
    symbols = [(line[1] if len(line) > 1 and line[1].strip() else line[0]).strip() for line in features]
    times = Counter(symbols)
    genes = [
        symbol if times[symbol] == 1 else line[0].strip()
        for symbol, line in zip(symbols, features, strict=True)
    ]
    ambiguous = sum(times[symbol] > 1 for symbol in symbols)
    if ambiguous:
        notes.append(f"{file}: {ambiguous} genes share their symbol with another and are called by their id")
    return genes
