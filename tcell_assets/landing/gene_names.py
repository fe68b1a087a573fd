"""Names among the genes of a matrix: which are no genes, which a spreadsheet mangled, and what kind the rest are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from tcell_assets.landing.columns import COLUMN_SPELLINGS
from tcell_assets.landing.problems import listed, quoted
from tcell_assets.targets import spelling

IdentifierKind = Literal["Ensembl ids", "Ensembl ids with version", "Entrez ids", "transcript ids", "symbols"]

GENE_ID_HEADERS = frozenset({"geneid", "ensemblid", "ensemblgeneid", "ensembl", "featureid", "geneids", "id"})
SYMBOL_HEADERS = frozenset(
    {"genename", "symbol", "genesymbol", "genesymbols", "genenames", "hgncsymbol", "featurename", "externalgenename"}
)  # fmt: skip
"""Headers, letters and digits only, of the columns that name genes where these stand in rows."""

_ANNOTATION = frozenset(
    {"chr", "chromosome", "chrom", "seqname", "start", "end", "strand", "length", "genelength", "genebiotype",
     "biotype", "genetype", "description", "entrezgene", "entrezid", "featuretype"}
) | GENE_ID_HEADERS | SYMBOL_HEADERS  # fmt: skip
_QUALITY = frozenset(
    {"ncount", "nfeature", "ncounts", "ngenes", "ngene", "numi", "nreads", "totalcounts", "totalumi", "totalreads",
     "ngenesbycounts", "log1ptotalcounts", "log1pngenesbycounts", "sizefactor", "sizefactors", "librarysize", "libsize",
     "normfactors", "doubletscore", "predicteddoublet", "origident", "seuratclusters", "mitofraction", "fractionmito",
     "mitoratio", "riboratio", "leiden", "louvain", "umap1", "umap2", "log10genesperumi", "sumcounts",
     "sscore", "g2mscore", "ccdifference", "phase", "cellcyclephase", "totals", "detectedgenes", "mappedreads",
     "uniquereads", "genesdetected"}
)  # fmt: skip
_QUALITY_PATTERN = re.compile(
    r"(ncount|nfeature|percent|pctcounts|pct|subsets)(rna|umi|gene|sct|adt|hto|atac|mt|mito|ribo|hb|counts|intop)\w*"
)
_INDEX = frozenset({"index", "unnamed0", "level0", "rownames", "rownr", "rowindex", "rowid", "rownumber"})
# Also the rows that featureCounts and STAR write beside the genes.
_UNASSIGNED = re.compile(
    r"__\w+|N_(unmapped|multimapping|noFeature|ambiguous)|Unassigned_\w+"
    r"|(undetermined|unmapped|unassigned|ambiguous|no_feature|too_low_aQual|not_aligned|alignment_not_unique)",
    re.IGNORECASE,
)
# What a plate map names a role; as gene symbols none of them exists.
_ROLES = frozenset(text for texts in COLUMN_SPELLINGS.values() for text in texts)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# German, French and Spanish spreadsheets.
_MONTHS_ELSEWHERE = {
    "mrz": 3,
    "mär": 3,
    "mars": 3,
    "sept": 9,
    "okt": 10,
    "dez": 12,
    "déc": 12,
    "avr": 4,
    "dic": 12,
}
_DAY_MONTH = re.compile(r"(\d{1,2})[-. ]{1,2}([A-Za-zäé]{3,4})\.?(?:[- ]\d{2,4})?")
_MONTH_DAY = re.compile(r"([A-Za-zäé]{3,4})[-. ](\d{1,2})")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T]00:00:00)?")
_SLASH_DATE = re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}")
# Clones such as 2310009E13 become 2.31E+13.
_SCIENTIFIC = re.compile(r"\d\.\d+E\+?\d+", re.IGNORECASE)
# 1990-01-01 to 2049-12-31 as days since 1899-12-30.
_SERIAL_DAYS = range(32874, 54789)
_FAMILY_OF_MONTH = {3: "MARCH or MARC", 9: "SEPT", 12: "DEC", 10: "OCT"}

ENSEMBL = re.compile(r"ENS[A-Z]{0,4}G\d{11}")
_VERSIONED = re.compile(r"(ENS[A-Z]{0,4}G\d{11})\.\d+(?:_PAR_Y)?")
_TRANSCRIPT = re.compile(r"(ENS[A-Z]{0,4}T\d{11}|[NX][MR]_\d+)(\.\d+)?")


def reason_no_gene(name: str) -> str | None:
    """Why a name is no gene's: the kind of thing it is, as a plural noun; None where it may be a gene."""
    text = spelling(name)
    if _UNASSIGNED.fullmatch(name.strip()):
        return "reads of no gene"
    if text in _QUALITY or _QUALITY_PATTERN.fullmatch(text):
        return "quality figures"
    if text in _INDEX:
        return "row numbers"
    if text in _ANNOTATION:
        return "gene annotations"
    if text in _ROLES:
        return "columns of a plate map"
    return None


def is_no_gene(name: str) -> bool:
    """Whether a name is no gene's; see `reason_no_gene`."""
    return reason_no_gene(name) is not None


def reasons_no_genes(
    genes: Sequence[str], values: npt.NDArray[np.float64] | None = None
) -> dict[str, list[int]]:
    """Positions of what is no gene, by reason.

    Args:
        genes: Names.
        values: Wells × genes, dense: a column that counts 0, 1, 2 … is a row number, and one that is the sum of all
            others is a total, whatever they are called. None judges names alone.
    """
    found: dict[str, list[int]] = {}
    for position, gene in enumerate(genes):
        reason = reason_no_gene(gene)
        if reason:
            found.setdefault(reason, []).append(position)
    known = {position for positions in found.values() for position in positions}
    if values is not None and len(values) >= FEWEST_ROWS_FOR_A_COUNTER:
        steps = np.arange(len(values), dtype=np.float64)
        # The first and last row alone leave hardly a gene to be looked at.
        last = values[-1] - values[0] == len(values) - 1
        for position in map(int, np.flatnonzero(last & (values[0] >= 0) & (values[0] <= 1))):
            if position not in known and np.array_equal(values[:, position] - values[0, position], steps):
                found.setdefault("row numbers", []).append(position)
    return found


FEWEST_ROWS_FOR_A_COUNTER = 6


def totals_among(values: npt.NDArray[np.float64]) -> list[int]:
    """Columns that are the sum of all others in every row.

    Args:
        values: Wells × at least four columns of counts.
    """
    if values.shape[0] < FEWEST_ROWS_FOR_A_COUNTER or values.shape[1] < 4:
        return []
    sums = values.sum(axis=1)
    if not (sums > 0).all():
        return []
    likely = np.flatnonzero(2 * values[0] == sums[0])
    return [int(column) for column in likely if np.array_equal(2 * values[:, column], sums)]


def mangled_names(genes: Sequence[str]) -> dict[str, str]:
    """Names that a spreadsheet made of gene names, and what each may have been (``the 2nd of the SEPT family``).

    Whole numbers count where most names are none: Entrez ids are numbers too.
    """
    numbers = sum(gene.isdecimal() for gene in genes)
    takes_serials = numbers * 2 < len(genes)
    found: dict[str, str] = {}
    for gene in genes:
        meant = _meant(gene, takes_serials)
        if meant:
            found[gene] = meant
    return found


def _meant(gene: str, takes_serials: bool) -> str | None:
    if _SCIENTIFIC.fullmatch(gene):
        return "a clone such as 2310009E13"
    if gene.isdecimal() and takes_serials and int(gene) in _SERIAL_DAYS:
        day = date(1899, 12, 30) + timedelta(days=int(gene))
        return f"{day.isoformat()} as a day number"
    match = _ISO_DATE.fullmatch(gene)
    if match:
        return _family(int(match[2]), match[3]) if 1 <= int(match[2]) <= 12 else None
    if _SLASH_DATE.fullmatch(gene):
        return "a date"
    match = _DAY_MONTH.fullmatch(gene)
    day_text, month_text = (match[1], match[2]) if match else ("", "")
    if match is None and (match := _MONTH_DAY.fullmatch(gene)):
        day_text, month_text = match[2], match[1]
    month = _month(month_text)
    return _family(month, day_text) if month and 1 <= int(day_text) <= 31 else None


def _month(text: str) -> int | None:
    lower = text.lower()
    return _MONTHS.index(lower) + 1 if lower in _MONTHS else _MONTHS_ELSEWHERE.get(lower)


def _family(month: int, day: str) -> str:
    family = _FAMILY_OF_MONTH.get(month)
    return " or ".join(f"{name}{int(day)}" for name in family.split(" or ")) if family else "a date"


def identifier_kind(genes: Sequence[str]) -> IdentifierKind:
    """What most names are."""
    counts: Counter[IdentifierKind] = Counter(_kind(gene) for gene in genes)
    return counts.most_common(1)[0][0] if counts else "symbols"


def describe_genes(genes: Sequence[str]) -> str:
    """The number of genes and how they are called, such as ``60 genes, called by symbols``, others named."""
    kind = identifier_kind(genes)
    others = [gene for gene in genes if _kind(gene) != kind]
    rest = f" ({len(others)} otherwise: {listed(others, 2)})" if others else ""
    return f"{len(genes):,} genes, called by {kind}{rest}"


def without_version(gene: str) -> str:
    """An Ensembl id without its version: ``ENSG00000000003.15`` → ``ENSG00000000003``; other names as they are."""
    match = _VERSIONED.fullmatch(gene)
    return match[1] if match else gene


def names_of_genes(ids: Sequence[str], symbols: Sequence[str]) -> tuple[list[str], int, int]:
    """One name a gene: its symbol, or its id where the symbol is missing, mangled or stands for several genes.

    Returns:
        The names, how many genes share their symbol with another, and how many symbols a spreadsheet had mangled.
    """
    given = [symbol.strip() or gene.strip() for gene, symbol in zip(ids, symbols, strict=True)]
    mangled = mangled_names(given)
    times = Counter(given)
    names = [
        symbol if times[symbol] == 1 and symbol not in mangled else gene.strip()
        for symbol, gene in zip(given, ids, strict=True)
    ]
    return names, sum(times[symbol] > 1 for symbol in given), len(mangled)


def difference_in_names(own: Sequence[str], others: Sequence[str], other: str) -> str | None:
    """What tells the gene names of two matrices apart where they are of different kinds, else None.

    Args:
        own: Names of one matrix ("…").
        others: Names of the other.
        other: What the other is: ``batch tc1``.
    """
    kind, other_kind = identifier_kind(own), identifier_kind(others)
    if kind == other_kind or not own or not others:
        return None
    first, second = listed(sorted(own), 2), listed(sorted(others), 2)
    return f"calls genes by {kind} ({first}), but {other} by {other_kind} ({second})"


def _kind(gene: str) -> IdentifierKind:
    if ENSEMBL.fullmatch(gene):
        return "Ensembl ids"
    if _VERSIONED.fullmatch(gene):
        return "Ensembl ids with version"
    if gene.isdecimal():
        return "Entrez ids"
    if _TRANSCRIPT.fullmatch(gene):
        return "transcript ids"
    return "symbols"


def told(mangled: dict[str, str]) -> str:
    """Mangled names with what they may have been, the first three."""
    shown = [f"{quoted(gene)} ({meant})" for gene, meant in list(mangled.items())[:3]]
    rest = f" and {len(mangled) - 3} more" if len(mangled) > 3 else ""
    return ", ".join(shown) + rest
