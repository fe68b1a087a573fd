"""The published CSV set: one file a quantity, row i of every file is well i of `well_id.csv`."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tcell_assets.landing.conditions import settle_wells
from tcell_assets.landing.files import SETTINGS_FILE, LandingFile
from tcell_assets.landing.gene_names import is_no_gene
from tcell_assets.landing.joining import LandedParts
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.measurements import check_genes, describe, leave_out_no_genes, settle_kind
from tcell_assets.landing.names import folded
from tcell_assets.landing.plate_map import WellEntry, check_name
from tcell_assets.landing.problems import ProblemCollector, listed, quoted
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.tables import UNKNOWN, NumericTable, TextTable, read_numeric_table, read_text_table
from tcell_assets.landing.targets import read_target, read_target_columns
from tcell_assets.landing.wells import WellId, parse_well, parse_well_id
from tcell_assets.targets import ACTIVATION_LABEL, LEGACY_SCORE, TARGETS

EXPRESSION_FILE = "expr_mat.csv"
WELL_FILE = "well_id.csv"
METABOLITE_FILE = "meta_id.csv"
SCORE_FILE = "scores_3_z.csv"
LABEL_FILE = "labels_cls.csv"
CLUSTER_FILE = "cluster_id.csv"
# The pipeline reads the first name, its authors shipped the second.
ACTIVATION_FILES = ("activation_score_old.csv", "e.activation_score_old.csv")
REQUIRED_FILES = (EXPRESSION_FILE, SCORE_FILE, LABEL_FILE, METABOLITE_FILE, WELL_FILE)
PUBLISHED_FILES = frozenset({*REQUIRED_FILES, CLUSTER_FILE, *ACTIVATION_FILES})


def is_published(files: Sequence[LandingFile]) -> bool:
    """Whether any file of the published set lies here."""
    return any(file.name in PUBLISHED_FILES for file in files)


def read_published(
    files: Sequence[LandingFile],
    batch: str | None,
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
    needs_expression: bool = True,
) -> LandedParts:
    """Read the published CSV set.

    Args:
        files: What lies in the folder.
        batch: The batch every well must belong to; None where the wells name their batches.
        settings: Limits.
        problems: Receives missing files, unequal lengths, unreadable wells, cells and names.
        notes: Receives what was dropped.
        needs_expression: False reads the sample sheet alone, whether or not the matrix is there.

    Returns:
        Wells, expression and targets in the order of `well_id.csv`; no values where a problem was noted, and no
        wells where they could not be told from their metabolites.
    """
    before = problems.total
    unread = [file.name for file in files if file.name not in (*PUBLISHED_FILES, SETTINGS_FILE)]
    if unread:
        notes.append(f"files not read: {', '.join(unread)}")
    here = {file.name: file for file in files}
    for name in REQUIRED_FILES:
        if name not in here and (needs_expression or name != EXPRESSION_FILE):
            mend = "Export it from R with one row a well" if name == EXPRESSION_FILE else "Add the file"
            problems.add("missing files", name, "", "is missing", mend)
    tables: dict[str, TextTable] = {}
    for name in (WELL_FILE, METABOLITE_FILE, SCORE_FILE, LABEL_FILE, CLUSTER_FILE, *ACTIVATION_FILES):
        table = read_text_table(here[name], settings.limits, problems) if name in here else None
        if table is not None:
            tables[name] = table
            if table.first_column == 2:
                notes.append(f"{name}: R's row-name column was dropped")
    matrix = None
    if needs_expression and EXPRESSION_FILE in here:
        matrix = read_numeric_table(here[EXPRESSION_FILE], None, settings.limits, problems, notes, is_no_gene)
    columns = {name: _only_column(table, problems) for name, table in tables.items() if name != SCORE_FILE}
    lengths = {name: len(table.rows) for name, table in tables.items()}
    entries = _read_entries(tables, columns, batch, settings, problems)
    entries = settle_wells(entries, settings, problems, notes)
    targets = _read_targets(tables, columns, settings, problems, notes)
    if matrix is not None:
        lengths[EXPRESSION_FILE] = len(matrix.values)
        if not _is_transposed(matrix, tables.get(WELL_FILE), problems):
            genes = leave_out_no_genes(_well_matrix(matrix, ()), [])
            check_genes(EXPRESSION_FILE, genes.genes, settings.limits, problems)
            _check_lengths(lengths, problems)
    else:
        _check_lengths(lengths, problems)
    well_ids = tuple(str(entry.id) for entry in entries)
    if problems.total > before:
        return LandedParts(tuple(entries), well_ids, (), None, pd.DataFrame())
    known = pd.DataFrame(targets, index=pd.Index(well_ids), dtype=np.float64)
    if matrix is None:
        return LandedParts(tuple(entries), well_ids, (), None, known)
    order = _row_order(matrix, well_ids, batch, notes)
    genes_only = leave_out_no_genes(_well_matrix(matrix, well_ids), notes)
    settled = settle_kind(genes_only, settings, problems, notes)
    values, measured = (None, None) if settled is None else (settled[0], describe(genes_only, settled[1]))
    return LandedParts(
        entries=tuple(entries),
        well_ids=well_ids,
        genes=tuple(genes_only.genes),
        values=values if order is None or values is None else values[order],
        targets=known,
        measured=measured,
    )


def _well_matrix(matrix: NumericTable, well_ids: Sequence[str]) -> WellMatrix:
    return WellMatrix(matrix.file, None, list(well_ids), matrix.columns, matrix.values, labels=matrix.labels)


def _only_column(table: TextTable, problems: ProblemCollector) -> str | None:
    if len(table.header) == 1:
        return table.header[0]
    found = f"has {len(table.header)} columns ({listed(list(table.header))}) where one is expected"
    problems.add(
        "unexpected columns", table.file, "row 1", found, "Keep the one column, its header is not read"
    )
    return None


def _read_entries(
    tables: dict[str, TextTable],
    columns: dict[str, str | None],
    batch: str | None,
    settings: LandingSettings,
    problems: ProblemCollector,
) -> list[WellEntry]:
    wells, column = tables.get(WELL_FILE), columns.get(WELL_FILE)
    if wells is None or column is None:
        return []
    metabolites = [folded(name) for name in _cells(METABOLITE_FILE, tables, columns)]
    metabolites = [settings.names.get(name, name) for name in metabolites]
    clusters = _cells(CLUSTER_FILE, tables, columns)
    header = columns.get(METABOLITE_FILE)
    if header is None or len(metabolites) != len(wells.rows):
        return []
    for row, name in enumerate(metabolites):
        check_name("metabolite", name, tables[METABOLITE_FILE], row, header, settings, problems)
    entries: list[WellEntry] = []
    for row, cell in enumerate(wells.column(column)):
        well = _read_well_id(cell, wells.place(row, column), batch, problems)
        if well is None:
            continue
        cluster = clusters[row] if row < len(clusters) else ""
        entries.append(
            WellEntry(
                file=WELL_FILE,
                file_row=row + 2,
                id=well,
                position=parse_well(well.well),
                metabolite=metabolites[row],
                cluster=None if cluster in UNKNOWN else cluster,
            )
        )
    others = Counter(entry.id.batch for entry in entries if batch is not None and entry.id.batch != batch)
    for other, count in others.items():
        found = f"names {count} wells of batch {quoted(other)} in the folder of batch {quoted(str(batch))}"
        mend = "Split the folder by batch with `tcell import`"
        problems.add("wells of other batches", WELL_FILE, "", found, mend)
    return entries


def _read_well_id(cell: str, place: str, batch: str | None, problems: ProblemCollector) -> WellId | None:
    # A batch name with its own "_" is told from the plate's only by the folder's name.
    of_this_batch = batch is not None and cell.strip().startswith(f"{batch}_")
    try:
        well = parse_well_id(cell, batch if of_this_batch else None)
    except ValueError as error:
        found = f"holds {quoted(cell)}, which {error}"
        problems.add("unreadable wells", WELL_FILE, place, found, "Correct the name")
        return None
    return well


def _read_targets(
    tables: dict[str, TextTable],
    columns: dict[str, str | None],
    settings: LandingSettings,
    problems: ProblemCollector,
    notes: list[str],
) -> dict[str, list[float]]:
    known = {target.name: target for target in TARGETS}
    targets: dict[str, list[float]] = {}
    if SCORE_FILE in tables:
        targets |= read_target_columns(
            tables[SCORE_FILE], tables[SCORE_FILE].header, settings.limits.max_target, problems
        )
    label = columns.get(LABEL_FILE)
    if label is not None:
        targets[ACTIVATION_LABEL] = read_target(
            tables[LABEL_FILE], label, known[ACTIVATION_LABEL], settings.limits.max_target, problems
        )
    found = [name for name in ACTIVATION_FILES if columns.get(name) is not None]
    for name in found:
        column = columns[name]
        assert column is not None
        values = read_target(tables[name], column, known[LEGACY_SCORE], settings.limits.max_target, problems)
        if not np.array_equal(values, targets.setdefault(LEGACY_SCORE, values), equal_nan=True):
            mend = "Keep the one that is meant"
            problems.add("contradictions", name, "", f"differs from {found[0]}", mend)
    if not found:
        notes.append("no legacy activation score; its head will stay untrained")
    return targets


def _cells(name: str, tables: dict[str, TextTable], columns: dict[str, str | None]) -> list[str]:
    column = columns.get(name)
    return [] if column is None else [cell.strip() for cell in tables[name].column(column)]


def _check_lengths(lengths: dict[str, int], problems: ProblemCollector) -> None:
    wells = lengths.get(WELL_FILE)
    for name, length in lengths.items():
        if wells is not None and length != wells:
            found = f"has {length} rows, but {WELL_FILE} has {wells} wells"
            problems.add(
                "unequal lengths", name, "", found, "Row i of every file must be well i: export them together"
            )


def _is_transposed(matrix: NumericTable, wells: TextTable | None, problems: ProblemCollector) -> bool:
    if wells is None or len(matrix.values) == len(wells.rows) or len(matrix.columns) != len(wells.rows):
        return False
    found = f"has {len(matrix.values)} rows and {len(matrix.columns)} columns for {len(wells.rows)} wells"
    mend = "The matrix is transposed (genes in rows): write it with one row a well and one column a gene"
    problems.add("transposed matrices", matrix.file, "", found, mend)
    return True


def _row_order(
    matrix: NumericTable, well_ids: tuple[str, ...], batch: str | None, notes: list[str]
) -> list[int] | None:
    """Rows of the matrix by well where its row names are well_ids; None takes them in file order."""
    if not matrix.labels:
        return None
    names = next(iter(matrix.labels.values()))
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        try:
            rows[str(parse_well_id(name, batch))] = row
        except ValueError:
            break
    if set(rows) == set(well_ids):
        notes.append(f"{matrix.file}: R's row names are well_ids, so rows were joined by them")
        return [rows[well] for well in well_ids]
    notes.append(f"{matrix.file}: R's row-name column was dropped")
    return None
